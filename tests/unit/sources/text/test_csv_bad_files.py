"""CSV files that are odd as a whole: foreign content, headers that break the contract or come
twice, very many columns.
"""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import pytest
from csv_files import bad_of, csv_source, read_file, read_text, rows_of, zstd

from batchinfer.errors import InputError


@pytest.mark.parametrize("multi_line", [False, True])
def test_a_header_in_the_middle_of_a_file_goes_aside(tmp_path: Path, multi_line: bool) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b,c\n1,"x",y\na,b,c\n2,a,b\n "a" ,"b",c\r\n\n3,b,c\n')
    strings = dict.fromkeys(("a", "b", "c"), "string")
    for target in (2**20, 9):
        blocks = read_file(
            path, csv_source(path, strings, header=True, multi_line=multi_line), target_bytes=target
        )
        assert rows_of(blocks) == [("1", "x", "y", 2), ("2", "a", "b", 4), ("3", "b", "c", 7)]
        assert bad_of(blocks) == [(3, b"a,b,c", "header"), (5, b' "a" ,"b",c', "header")]
    without = read_file(path, csv_source(path, strings, header=False))
    assert len(rows_of(without)) == 6, "where no header is told of, a line of names is a record"


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (gzip.compress(b"a,b,c\n1,x,y\n"), {}, "gzip data; allowed: options.compression: gzip"),
        (bz2.compress(b"a,b,c\n1,x,y\n"), {}, "bzip2 data; allowed: options.compression: bzip2"),
        (
            zstd(b"a,b,c\n1,x,y\n"),
            {"header": False},
            "zstd data; allowed: options.compression: zstd",
        ),
        (
            "a,b,c\n1,x,y\n".encode("utf-16"),
            {},
            "text in UTF-16; allowed: options.encoding: utf-16",
        ),
        (b"PK\x03\x04rest", {"header": False}, "a ZIP archive"),
    ],
    ids=["gzip", "bzip2", "zstd", "utf-16", "zip"],  # a gzip header says when it was made
)
def test_what_is_no_text_is_told_by_its_first_bytes(
    tmp_path: Path, content: bytes, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=f"x.csv: it holds {words}"):
        read_text(tmp_path, content, **({"header": True} | options))


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_compressed_files_that_are_none_or_are_broken_say_which(
    tmp_path: Path, suffix: str, compress: Any
) -> None:
    path, text = tmp_path / f"x.csv.{suffix}", b"a,b,c\n" + b"1,x,y\n" * 9
    whole = compress(text)
    for content, words in (
        (
            text,
            r"holds no \w+ data: it begins with 61 2c 62; allowed: \w+ data, or "
            r"options.compression: none",
        ),
        (whole[:20], "is cut short: its .* data has no end"),
        (b"", "is cut short"),
        (whole[:-8] + b"\xff" * 8, "is damaged: its .* data cannot be decompressed"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=rf"x\.csv\.{suffix} {words}"):
            read_file(path, csv_source(path, header=True))
    path.write_bytes(whole)
    assert len(rows_of(read_file(path, csv_source(path, header=True)))) == 9


def test_json_that_is_read_as_csv_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"x\.csv:1: the first record cannot be read: .*; it looks like JSON, which "
        r"kind: json",
    ):
        read_text(tmp_path, b'{"a": 1, "b": "x"}\n', header=True)


def test_a_header_of_very_many_columns_is_told_in_a_few_words(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    names = [f"c{number}" for number in range(20_000)]
    path.write_text(f"{','.join(names)}\n")
    with pytest.raises(
        InputError, match=r"missing: 'a', 'b', 'c'; not in the schema: 'c0', .* and 19,980 more"
    ) as caught:
        read_file(path, csv_source(path, header=True))
    assert len(str(caught.value)) < 1_000
    path.write_text(f"{'x' * 3_000_000},b\n")
    with pytest.raises(InputError, match="x…"):
        read_file(path, csv_source(path, header=True))


def test_twenty_thousand_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    names = [f"c{number}" for number in range(20_000)]
    rows = [[str(line * number % 7) for number in range(20_000)] for line in range(3)]
    path.write_text("\n".join(",".join(row) for row in [names, *rows, rows[0][1:]]))
    blocks = read_file(path, csv_source(path, dict.fromkeys(names, "int"), header=True))
    assert [row[:-1] for row in rows_of(blocks)] == [tuple(map(int, row)) for row in rows]
    assert [(line, reason) for line, _, reason in bad_of(blocks)] == [(5, "field_count")]
    few = read_text(tmp_path, b"1,x,y\n" + ",".join(rows[0]).encode())
    assert (rows_of(few), [bad[2] for bad in bad_of(few)]) == ([(1, "x", "y", 1)], ["field_count"])


@pytest.mark.parametrize(
    ("renamed", "meant"), [("A,b,c", "'A' stands for 'a'"), ("a,b,C_ ", "'C_' stands for 'c'")]
)
def test_a_name_that_nearly_is_the_one_is_asked_about(
    tmp_path: Path, renamed: str, meant: str
) -> None:
    with pytest.raises(InputError, match=f"x.csv:2: .*Perhaps {meant}"):
        read_text(tmp_path, f"\n{renamed}\n1,x,y\n".encode(), header=True)


def test_a_first_record_with_a_broken_quote(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'1,"open,y\n2,x,y\n')
    for optional in (None, "b", "c"):
        blocks = read_file(path, csv_source(path), optional=optional)
        assert (rows_of(blocks), bad_of(blocks)) == (
            [(2, "x", "y", 2)],
            [(1, b'1,"open,y', "quote")],
        )
    with pytest.raises(
        InputError,
        match=r"x\.csv:1: the first record cannot be read: field 2: its quote is never closed",
    ):
        read_file(path, csv_source(path, header=True))
