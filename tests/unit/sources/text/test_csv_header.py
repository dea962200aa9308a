"""Headers of CSV files: columns in any order, what breaks the contract, files without records."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from csv_files import blank_of, csv_source, read_file, read_text, rows_of

from batchinfer.errors import InputError


def test_only_the_optional_last_column_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\n1,x\n2,y\n3,z,extra\n")
    assert rows_of(read_file(path, csv_source(path), optional="c")) == [
        (1, "x", None, 2),
        (2, "y", None, 3),
    ]
    assert [
        bad.message
        for block in read_file(path, csv_source(path), optional="c")
        for bad in block.bad
    ] == ["got 3 fields; the file's first record has 2"]
    assert rows_of(read_file(path, csv_source(path), optional="b")) == [(3, "z", "extra", 4)]
    assert rows_of(read_file(path, csv_source(path))) == [(3, "z", "extra", 4)]


def test_headers_in_any_order_and_physical_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'\xef\xbb\xbf\n"c", a,b\nz,1,x\n\nw,2,y\n')
    for target in (2**20, 5):
        blocks = read_file(path, csv_source(path, header=True), target_bytes=target)
        assert rows_of(blocks) == [(1, "x", "z", 3), (2, "y", "w", 5)]
        assert blank_of(blocks) == 2
    path.write_bytes(b"b,a\nx,1\n")
    assert rows_of(read_file(path, csv_source(path, header=True), optional="c")) == [
        (1, "x", None, 2)
    ]


def test_header_over_two_lines_in_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    schema = {"a": "int", "b\nb": "string"}
    path.write_bytes(gzip.compress(b'a,"b\nb"\n1,"x\ny"\n2,z\n'))
    blocks = read_file(path, csv_source(path, schema, header=True, multi_line=True))
    assert rows_of(blocks) == [(1, "x\ny", 3), (2, "z", 5)]


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("a,b", "missing: 'c'"),
        ("a,b,d", "missing: 'c'; not in the schema: 'd'"),
        ("a,b,c,d", "not in the schema: 'd'"),
        ("a,b,b,c", "twice: 'b'"),
        ("1,x,y", "missing: 'a', 'b', 'c'"),
    ],
)
def test_headers_that_break_the_contract(tmp_path: Path, header: str, words: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{header}\n1,x,y\n")
    with pytest.raises(InputError, match=words) as caught:
        read_file(path, csv_source(path, header=True))
    assert caught.value.exit_code == 3
    assert "a,b,c" in str(caught.value)


def test_files_without_records(tmp_path: Path) -> None:
    for header in (True, False):
        assert rows_of(read_text(tmp_path, b"", header=header)) == []
        blocks = read_text(tmp_path, b"\n \n", header=header)
        assert (rows_of(blocks), blank_of(blocks)) == ([], 2)
    blocks = read_text(tmp_path, b"\na,b,c\n", header=True)
    assert (rows_of(blocks), blank_of(blocks)) == ([], 1)
