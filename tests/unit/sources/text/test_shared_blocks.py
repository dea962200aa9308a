"""Small files share blocks: what is read of them is what each gives when it is read alone."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import CsvSource, JsonSource, LogSource, Source
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.source_splits import TextSplit
from batchinfer.sources.text.byte_ranges import align, count_range, needs_count, plan_text_splits

Texts = CsvSource | JsonSource | LogSource
# fmt: off
CSV_PIECES = [
    b"1,x,y\n", b"2,\"q,r\",z\n", b"\n", b"  \n", b"3,\xff,y\n", b"one,x,y\n", b"4,x\n",
    b"5,x,y\r\n", b"6,\"open,y\n",
    b"a,b,c\n", b"7,a\rb,c\n", b"8,x,y",
]
JSON_PIECES = [
    b'{"a":1,"b":"x","c":null}\n', b'{"a":"no"}\n', b"\n", b"[]\n", b'{"a":2,"b":"\xc3\xa9"}\n',
    b'{"b":"\xff"}\n',
    b"{}",
]
LOG_PIECES = [b"1 x y\n", b"2 x\n", b"\n", b"3 \xff y\n", b"4 x y\r\n", b"no x y\n", b"5 x y"]
# fmt: on


def source_of(folder: Path, kind: str, options: dict[str, Any]) -> Any:
    schema = {"a": "int", "b": "string", "c": "string"}
    value = {"kind": kind, "path": [str(folder)], "schema": schema, "options": options}
    return TypeAdapter(Source).validate_python(value)


def splits_of(source: Texts, folder: Path, target_bytes: int = 2**24) -> list[TextSplit]:
    splits = plan_text_splits(list_files(source.path, folder), source, target_bytes)
    return align([count_range(split) if needs_count(split) else split for split in splits])


def told(blocks: list[Parsed]) -> Mapping[str, Any]:
    """All that blocks say, however the records are spread over them."""
    return {
        "rows": [row for block in blocks for row in block.rows.to_pylist()],
        "bad": [bad for block in blocks for bad in block.bad],
        "counts": (
            sum(block.records_in for block in blocks),
            sum(block.blank_lines for block in blocks),
        ),
        "raw": [
            block.raw_at(place)
            for block in blocks
            if block.raw_at
            for place in range(block.rows.num_rows)
        ],
    }


@pytest.mark.parametrize(
    ("kind", "options", "pieces"),
    [
        ("csv", {"header": False}, CSV_PIECES),
        ("csv", {"header": False, "multi_line": True}, CSV_PIECES),
        ("csv", {"header": False, "encoding": "latin-1"}, CSV_PIECES),
        ("json", {}, JSON_PIECES),
        ("text_log", {"pattern": r"^(?P<a>\S+) (?P<b>\S+) (?P<c>\S+)$"}, LOG_PIECES),
    ],
    ids=["csv", "multi_line", "latin-1", "json", "log"],
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(data=st.data())
def test_files_that_share_blocks_give_what_each_gives_alone(
    tmp_path: Path, kind: str, options: dict[str, Any], pieces: list[bytes], data: st.DataObject
) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    files = data.draw(
        st.lists(st.lists(st.sampled_from(pieces), max_size=6), min_size=1, max_size=6)
    )
    for number, lines in enumerate(files):
        (tmp_path / f"{number}.txt").write_bytes(b"".join(lines))
    block_bytes = data.draw(st.sampled_from([1, 20, 60, 2**21]))
    source = source_of(tmp_path, kind, options)
    fields = schema_fields(source)
    assert fields is not None
    splits = splits_of(source, tmp_path, data.draw(st.sampled_from([5, 2**24])))
    together = list(read_splits(splits, source, fields, block_bytes))
    alone = [
        block for split in splits for block in read_splits([split], source, fields, block_bytes)
    ]
    assert told(together) == told(alone)


def test_many_files_are_few_blocks(tmp_path: Path) -> None:
    for number in range(500):
        content = b"a,b,c\n" + b"%d,x,y\n" % number
        name, written = (
            (f"{number:03}.csv.gz", gzip.compress(content))
            if number % 2
            else (f"{number:03}.csv", content)
        )
        (tmp_path / name).write_bytes(written)
    source = source_of(tmp_path, "csv", {"header": True})
    fields = schema_fields(source)
    assert fields is not None
    [block] = read_splits(splits_of(source, tmp_path), source, fields)
    rows = block.rows.to_pylist()
    assert [(row["source_file"][:3], row["source_line"], row["a"]) for row in rows] == [
        (f"{n:03}", 2, n) for n in range(500)
    ]


def test_files_with_other_columns_share_no_block(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b,c\n1,x,y\n")
    (tmp_path / "2.csv").write_text("c,b,a\ny,x,2\n")
    source = source_of(tmp_path, "csv", {"header": True})
    fields = schema_fields(source)
    assert fields is not None
    blocks = list(read_splits(splits_of(source, tmp_path), source, fields))
    assert [(row["a"], row["c"]) for block in blocks for row in block.rows.to_pylist()] == [
        (1, "y"),
        (2, "y"),
    ]


def test_logs_without_a_year_share_no_block_when_their_years_differ(tmp_path: Path) -> None:
    for year, seconds in ((2015, 1431000000), (2020, 1589000000)):
        path = tmp_path / f"{year}.log"
        path.write_text("Jan  3 10:00:00 host cron[1]: x\n")
        os.utime(path, (seconds, seconds))
    value = {
        "kind": "text_log",
        "path": [str(tmp_path)],
        "options": {"format": "syslog"},
        "slice": {"column": "ts"},
    }
    source: Any = TypeAdapter(Source).validate_python(value)
    fields = schema_fields(source)
    assert fields is not None
    blocks = list(read_splits(splits_of(source, tmp_path), source, fields))
    assert [row["ts"].year for block in blocks for row in block.rows.to_pylist()] == [2015, 2020]


def test_a_row_of_an_array_on_one_line_knows_its_own_bytes(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text('[{"a": 1}, {"a": "x"}, {"b": "second"}]')
    source = source_of(tmp_path, "json", {"array": True})
    fields = schema_fields(source)
    assert fields is not None
    [block] = read_splits(splits_of(source, tmp_path), source, fields)
    assert block.raw_at is not None
    assert [block.raw_at(place) for place in range(2)] == [b'{"a": 1}', b'{"b": "second"}']


def test_a_character_cut_by_the_end_of_a_file_is_not_made_whole_by_the_next_file(
    tmp_path: Path,
) -> None:
    (tmp_path / "1.csv").write_bytes(b"1,x,\xc3")
    (tmp_path / "2.csv").write_bytes(b"\xa9,x,y\n3,x,y\n")
    source = source_of(tmp_path, "csv", {"header": False})
    fields = schema_fields(source)
    assert fields is not None
    [block] = read_splits(splits_of(source, tmp_path), source, fields)
    assert [row["a"] for row in block.rows.to_pylist()] == [3]
    aside = [(bad.source_file, bad.source_line, bad.raw, bad.reason) for bad in block.bad]
    assert aside == [("1.csv", 1, b"1,x,\xc3", "not_utf8"), ("2.csv", 1, b"\xa9,x,y", "not_utf8")]


def test_blank_lines_before_a_header_leave_the_encoding_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_bytes("\na,b,c\nno,é,y\n".encode("latin-1"))
    source = source_of(tmp_path, "csv", {"header": True, "encoding": "latin-1"})
    fields = schema_fields(source)
    assert fields is not None
    [block] = read_splits(splits_of(source, tmp_path), source, fields)
    assert block.blank_lines == 1
    assert [(bad.source_line, bad.raw) for bad in block.bad] == [(3, "no,é,y".encode("latin-1"))]
