"""JSON, any lines at all: the fast road and the slow one give the rows that plain Python gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import json_reference
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from json_files import bad_of, blank_of, json_source, read_file, rows_of

from batchinfer.config.schema import schema_fields
from batchinfer.sources.json.fast_road import FastRoad
from batchinfer.sources.json.shape import Shape
from batchinfer.sources.json.sieve import Lines, read_fast

SCALARS = st.one_of(
    st.sampled_from(
        [
            "null",
            "0",
            "-0",
            "1",
            "12.50",
            "1e2",
            "-2147483649",
            "9223372036854775808",
            "1e999",
            "true",
            "false",
        ]
    ),
    st.sampled_from(
        [
            '"x"',
            '""',
            '"é"',
            '"2020-01-02T03:04:05"',
            '"2020-13-02T03:04:05"',
            '"7.25"',
            '"NaN"',
            "NaN",
            "Inf",
            "9" * 60,
        ]
    ),
    st.sampled_from(
        [
            "[]",
            "{}",
            '[{"text": "t", "n": 5}]',
            '[null, {"n": 2.5}]',
            '[{"n": 1, "more": [1]}]',
            '[{"text": 5}]',
        ]
    ),
    st.sampled_from(
        [
            '{"name": "n"}',
            '{"name": 3}',
            '{"name": [1, {"a": 2.5}]}',
            '{"name": "\\ud83d\\ude00"}',
            '{"name": "\\udc00"}',
        ]
    ),
)


FITTING = {
    "id": st.integers(-(2**63), 2**63 - 1).map(str),
    "ratio": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "ok": st.sampled_from(["true", "false", "null"]),
    "price": st.sampled_from(["1", "9999.99", "-0.5", '"3.1"']),
    "at": st.sampled_from(['"2020-01-02T03:04:05"', "null"]),
    "user": st.text(max_size=5).map(lambda name: json.dumps({"name": name})),
    "tags": st.lists(st.text(max_size=3), max_size=3).map(
        lambda texts: json.dumps([{"text": each, "n": 1} for each in texts])
    ),
}


@st.composite
def records(draw: st.DrawFn) -> bytes:
    odd = (
        draw(st.sets(st.sampled_from(sorted(FITTING)), max_size=1))
        if draw(st.integers(0, 3)) == 0
        else set()
    )
    names = draw(st.lists(st.sampled_from([*FITTING, "other"]), unique=True))
    pairs = [
        (name, draw(SCALARS if name in odd or name == "other" else FITTING[name])) for name in names
    ]
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in pairs) + "}").encode()


def broken(line: bytes, place: int, what: bytes) -> bytes:
    place %= len(line) + 1
    return line[:place] + what + line[place:]


MARKS = [b'"', b"{", b"}", b"[", b",", b" ", b"\\", b"\xff", b"\r", b"0"]


LINE = st.one_of(
    records(),
    records(),
    records(),
    st.builds(broken, records(), st.integers(0, 300), st.sampled_from(MARKS)),
    st.sampled_from([b"", b" \t", b"[]", b"1", b"{", b"}", b"{}{}", b'{"id": 1} ', b' {"id": 1}']),
)


def expected(lines: list[bytes]) -> tuple[list[dict[str, Any]], list[tuple[int, bytes, str]], int]:
    rows: list[dict[str, Any]] = []
    bad: list[tuple[int, bytes, str]] = []
    blank = 0
    for number, line in enumerate(lines, start=1):
        if not line.removesuffix(b"\r").strip(b" \t"):
            blank += 1
            continue
        try:
            rows.append({**json_reference.row(line), "source_line": number})
        except json_reference.Bad as error:
            bad.append((number, line.removesuffix(b"\r"), str(error)))
    return rows, bad, blank


@given(st.lists(LINE, max_size=12), st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=150)
def test_any_lines_are_read_as_plain_python_reads_them(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[bytes],
    block_bytes: int,
    target_bytes: int,
) -> None:
    """Rows, bad records and blank lines are those of the reference, whole or cut into small blocks
    and splits.
    """
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(b"\n".join(lines))
    kept = lines if lines and lines[-1] else lines[:-1]
    source = json_source(path, json_reference.SCHEMA)
    rows, bad, blank = expected(kept)
    for blocks in (read_file(path, source), read_file(path, source, block_bytes, target_bytes)):
        assert rows_of(blocks) == rows
        assert bad_of(blocks) == bad
        assert blank_of(blocks) == blank
        assert sum(block.records_in for block in blocks) + blank == len(kept)


@given(st.lists(LINE, min_size=1, max_size=12))
@example([b'{"tags": [], "id": -100, "at": " 2020-01-02T03:04:05", "price": -0.5, "ok": true}'])
@settings(max_examples=150)
def test_what_the_fast_road_reads_is_what_plain_python_reads(lines: list[bytes]) -> None:
    """Straight, without the screen: the fast road gives the reference's row for a line, or leaves
    the line.
    """
    lines = [line for line in lines if not any(mark in line for mark in (b"\xff", b"\r"))]
    text = Lines.of(b"".join(line + b"\n" for line in lines))
    source = json_source(Path("x"), json_reference.SCHEMA)
    fields = schema_fields(source)
    assert fields is not None
    fast = FastRoad.of(Shape.of(source.schema_, fields))
    assert fast is not None
    if not lines:
        return
    pieces, left = read_fast(fast, text)
    for piece in pieces:
        assert sorted([*piece.records.tolist(), *left.tolist()]) == list(range(len(lines)))
        for place, number in enumerate(piece.records.tolist()):
            row = {name: column[place].as_py() for name, column in piece.columns.items()}
            assert row == json_reference.row(lines[number])


def test_clean_lines_take_the_fast_road_and_a_few_bad_ones_do_not_cost_it() -> None:
    source = json_source(Path("x"), json_reference.SCHEMA)
    fields = schema_fields(source)
    assert fields is not None
    fast = FastRoad.of(Shape.of(source.schema_, fields))
    assert fast is not None
    good = b'{"id": 1, "user": {"name": "n"}, "tags": [{"text": "t", "n": 1}], "ratio": 0.5}'
    lines = [good] * 500
    assert [
        len(piece.records) for piece in read_fast(fast, Lines.of(b"\n".join([*lines, b""])))[0]
    ] == [500]
    for number, bad in ((3, b'{"id": }'), (90, b"{"), (200, b'{"id": "x"}'), (333, b'{"id": 1.5}')):
        lines[number] = bad
    pieces, left = read_fast(fast, Lines.of(b"\n".join([*lines, b""])))
    assert set(left.tolist()) >= {3, 90, 200, 333}
    assert len(left) <= 12
    assert sum(len(piece.records) for piece in pieces) == 500 - len(left)
