"""JSON: every line or element becomes the row that plain Python makes of it, or a bad record with its reason, or is blank."""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import json_reference
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import JsonSource
from batchinfer.errors import InputError
from batchinfer.sources.json_fast import FastRoad
from batchinfer.sources.json_shape import Shape
from batchinfer.sources.json_sieve import Lines, read_fast
from batchinfer.sources.listing import list_files
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.readers import read_splits
from batchinfer.sources.splits import align, count_range, needs_count, plan_text_splits

UTC = datetime.timezone.utc


def json_source(path: Path, schema: dict[str, Any], **options: Any) -> JsonSource:
    return JsonSource.model_validate({"kind": "json", "path": [str(path)], "schema": schema, "options": options})


def read_file(path: Path, source: JsonSource, block_bytes: int = 2**21, target_bytes: int = 2**24) -> list[Parsed]:
    splits = plan_text_splits(list_files([str(path)], path.parent), source, target_bytes)
    splits = align([count_range(split) if needs_count(split) else split for split in splits])
    return list(read_splits(splits, source, schema_fields(source), block_bytes))


def read_text(folder: Path, text: bytes, schema: dict[str, Any], name: str = "x.jsonl", **options: Any) -> list[Parsed]:
    path = folder / name
    path.write_bytes(text)
    return read_file(path, json_source(path, schema, **options))


def rows_of(blocks: list[Parsed], *without: str) -> list[dict[str, Any]]:
    gone = {"source_file", *without}
    return [{name: row[name] for name in row if name not in gone} for block in blocks for row in block.rows.to_pylist()]


def bad_of(blocks: list[Parsed]) -> list[tuple[int | None, bytes, str]]:
    return [(bad.source_line, bad.raw, bad.reason) for block in blocks for bad in block.bad]


def messages(blocks: list[Parsed]) -> list[str]:
    return [bad.message for block in blocks for bad in block.bad]


def blank_of(blocks: list[Parsed]) -> int:
    return sum(block.blank_lines for block in blocks)


STATUS = {
    "id": "bigint",
    "created_at": "timestamp",
    "name": {"type": "string", "path": "user.name"},
    "tag": {"type": "string", "path": "entities.hashtags[0].text"},
    "places": {"type": "array<array<int>>", "path": "entities.places"},
    "dotted": {"type": "int", "path": 'meta["a.b"].n'},
    "a.c": "string",
}


def test_nested_fields_by_path(tmp_path: Path) -> None:
    status = {
        "created_at": "Mon Apr 06 07:05:03 +0200 2015",
        "id": 2**60,
        "user": {"name": "Zoë", "followers": 3},
        "entities": {"hashtags": [{"text": "spark"}, {"text": "delta"}], "places": [[1, 2], [], None]},
        "meta": {"a.b": {"n": 5}},
        "a.c": "a key with a dot",
    }
    text = "\n".join([json.dumps(status), "", json.dumps({"id": 2, "entities": {"hashtags": []}, "user": None}), "{}"])
    blocks = read_text(tmp_path, text.encode(), STATUS, timestamp_format="%a %b %d %H:%M:%S %z %Y")
    absent = dict.fromkeys(STATUS)
    assert rows_of(blocks) == [
        {
            "id": 2**60,
            "created_at": datetime.datetime(2015, 4, 6, 5, 5, 3, tzinfo=UTC),
            "name": "Zoë",
            "tag": "spark",
            "places": [[1, 2], [], None],
            "dotted": 5,
            "a.c": "a key with a dot",
            "source_line": 1,
        },
        {**absent, "id": 2, "source_line": 3},
        {**absent, "source_line": 4},
    ]
    assert (bad_of(blocks), blank_of(blocks)) == ([], 1)


@pytest.mark.parametrize(
    ("type_", "written", "value"),
    [
        ("string", "1.50", "1.50"),
        ("string", '{"b": [1, 2.0, "é"]}', '{"b":[1,2.0,"é"]}'),
        ("string", "true", "true"),
        ("string", '"\\ud83d\\ude00"', "😀"),
        ("bigint", "-9223372036854775808", -(2**63)),
        ("decimal(38,2)", "123456789012345678901234567890123456.78", decimal.Decimal("123456789012345678901234567890123456.78")),
        ("decimal(10,2)", '"12.5"', decimal.Decimal("12.50")),
        ("decimal(10,2)", "1e2", decimal.Decimal("100.00")),
        ("double", "3", 3.0),
        ("float", "0.1", 0.10000000149011612),
        ("date", '"2015-04-06"', datetime.date(2015, 4, 6)),
        ("binary", '"QUJD"', b"ABC"),
        ("map<string,date>", '{"x": "2015-04-06", "y": null}', [("x", datetime.date(2015, 4, 6)), ("y", None)]),
        (
            "struct<t: timestamp, l: array<date>>",
            '{"t": "2015-04-06T07:00:00", "l": ["2015-04-06"], "more": 1}',
            {"t": datetime.datetime(2015, 4, 6, 7, tzinfo=UTC), "l": [datetime.date(2015, 4, 6)]},
        ),
        ("int", "null", None),
    ],
)
def test_values_that_a_type_takes(tmp_path: Path, type_: str, written: str, value: object) -> None:
    blocks = read_text(tmp_path, b'{"a": %s}\n' % written.encode() * 5, {"a": type_})
    assert bad_of(blocks) == []
    assert [row["a"] for row in rows_of(blocks)] == [value] * 5


@pytest.mark.parametrize(
    ("type_", "written", "told"),
    [
        ("int", "1.0", "column a: got 1.0; allowed: int (a whole number from -2147483648 to 2147483647)"),
        ("int", "true", "column a: got true; allowed: int"),
        ("int", '"5"', 'column a: got "5"; allowed: int'),
        ("tinyint", "128", "column a: got 128; allowed: tinyint (a whole number from -128 to 127)"),
        ("double", "1e400", "column a: got 1e400; allowed: double"),
        ("double", "9" * 400, "allowed: double"),
        ("double", '"1"', 'column a: got "1"; allowed: double'),
        ("float", "3.5e38", "column a: got 3.5e38; allowed: float"),
        ("boolean", "1", "column a: got 1; allowed: true or false"),
        ("decimal(4,2)", "1.234", "column a: got 1.234; allowed: decimal(4,2) without rounding"),
        ("decimal(4,2)", "123", "column a: got 123; allowed: decimal(4,2) without rounding"),
        ("decimal(38,2)", "9" * 38, "allowed: decimal(38,2) without rounding"),
        (
            "timestamp",
            "1428303903",
            "column a: got 1428303903; allowed: timestamp (ISO 8601, such as 2015-05-18 07:05:03), as text",
        ),
        ("timestamp", '"yesterday"', 'column a: got "yesterday"; allowed: timestamp'),
        ("array<date>", '["2015-04-06", "x"]', 'column a, at [1]: got "x"; allowed: date'),
        ("map<string,date>", '{"k": "x"}', 'column a, at .k: got "x"; allowed: date'),
        ("struct<b: struct<c: int>>", '{"b": {"c": "x"}}', 'column a, at .b.c: got "x"; allowed: int'),
        ("array<int>", "{}", "column a: got {}; allowed: a list"),
        ("binary", '"*"', 'column a: got "*"; allowed: Base64'),
        ("string", '"\\ud800"', "column a: got"),
    ],
)
def test_values_that_a_type_does_not_take(tmp_path: Path, type_: str, written: str, told: str) -> None:
    line = b'{"a": %s}' % written.encode()
    blocks = read_text(tmp_path, b"{}\n{}\n{}\n{}\n" + line + b"\n{}\n", {"a": type_})
    assert bad_of(blocks) == [(5, line, "type")]
    assert told in messages(blocks)[0]
    assert [row["source_line"] for row in rows_of(blocks)] == [1, 2, 3, 4, 6]


def test_every_bad_value_of_a_record_is_told(tmp_path: Path) -> None:
    schema = {"a": "int", "b": "date", "c": {"type": "int", "path": "x.y"}}
    [message] = messages(read_text(tmp_path, b'{"a": "x", "b": 1, "x": "no object"}', schema))
    assert message.split("; column ") == [
        'column a: got "x"; allowed: int (a whole number from -2147483648 to 2147483647)',
        "b: got 1; allowed: date (ISO 8601, such as 2015-05-18), as text",
        'c, at x: got "no object"; allowed: an object',
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "json"),
        (b'{"a": 1,}', "json"),
        (b'{"a": 01}', "json"),
        (b'{"z": NaN}', "json"),
        (b'{"z": -Infinity}', "json"),
        (b'{"z": "a\tb"}', "json"),
        (b'{"a": 1}{"a": 2}', "json"),
        (b'{"a": 1} {"a": 2}', "json"),
        (b"{'a': 1}", "json"),
        (b"\x00", "json"),
        (b'\xef\xbb\xbf{"a": 1}', "json"),
        (b'[{"a": 1}]', "not_object"),
        (b'"a"', "not_object"),
        (b"null", "not_object"),
        (b'{"z": "\xff"}', "not_utf8"),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "json"),
    ],
)
def test_lines_that_are_no_record(tmp_path: Path, line: bytes, reason: str) -> None:
    good = b'{"a": 7}\n'
    blocks = read_text(tmp_path, good * 5 + line + b"\n" + good * 5, {"a": "int"})
    assert bad_of(blocks) == [(6, line, reason)]
    assert [row["source_line"] for row in rows_of(blocks)] == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]


def test_of_a_key_that_stands_twice_the_last_value_counts(tmp_path: Path) -> None:
    assert rows_of(read_text(tmp_path, b'{"a": 1, "a": 2}\n' * 5, {"a": "int"}), "source_line") == [{"a": 2}] * 5


def test_what_no_column_needs_may_be_anything_that_is_json(tmp_path: Path) -> None:
    """Numbers that no type holds, halves of surrogate pairs, thousands of brackets: none of them is the columns' business."""
    lines = [b'{"a": 1, "z": 1e999}', b'{"a": 2, "z": "\\ud800"}', b'{"a": 3, "z": %s}' % (b"9" * 5000)]
    lines.append(b'{"a": 4, "z": ' + b"[" * 5000 + b"]" * 5000 + b"}")
    blocks = read_text(tmp_path, b"\n".join(lines), {"a": "int"})
    assert bad_of(blocks) == []
    assert [row["a"] for row in rows_of(blocks)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("x.json", lambda text: b"\xef\xbb\xbf" + text),
        ("x.json", lambda text: text.replace(b"\n", b"\r\n")),
        ("x.json.gz", gzip.compress),
        ("x.json.bz2", bz2.compress),
    ],
)
def test_how_files_are_written(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    text = '{"a": "é"}\n\n{"a": \n{"a": "b"}'.encode()
    blocks = read_text(tmp_path, pack(text), {"a": "string"}, name)
    assert rows_of(blocks) == [{"a": "é", "source_line": 1}, {"a": "b", "source_line": 4}]
    assert (bad_of(blocks), blank_of(blocks)) == ([(3, b'{"a": ', "json")], 1)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = '{"a": "é"}\n{"é": }\n'
    blocks = read_text(tmp_path, text.encode(encoding), {"a": "string"}, encoding=encoding)
    assert rows_of(blocks) == [{"a": "é", "source_line": 1}]
    [(line, raw, reason)] = bad_of(blocks)
    assert (line, raw.decode(encoding), reason) == (2, '{"é": }', "json")


EXPLODED = {
    "order": "int",
    "sku": {"type": "string", "path": "cart.items.sku"},
    "n": {"type": "int", "path": "cart.items.n"},
    "first": {"type": "string", "path": "cart.owner"},
    "item": {"type": "struct<sku: string>", "path": "cart.items"},
}


def test_a_list_is_exploded(tmp_path: Path) -> None:
    lines = [
        {"order": 1, "cart": {"owner": "a", "items": [{"sku": "x", "n": 1}, None, {"sku": "y"}]}},
        {"order": 2, "cart": {"items": []}},
        {"order": 3, "cart": {"items": [{"sku": "z", "n": "many"}, {"sku": "w", "n": 1}]}},
        {"order": 4},
        {"order": 5, "cart": {"items": {"sku": "q"}}},
        {"order": 6, "cart": {"items": [{"sku": "v", "n": 9}]}},
    ]
    blocks = read_text(tmp_path, "\n".join(map(json.dumps, lines)).encode(), EXPLODED, explode="cart.items")
    assert [tuple(row.values()) for row in rows_of(blocks)] == [
        (1, "x", 1, "a", {"sku": "x"}, 1),
        (1, None, None, "a", None, 1),
        (1, "y", None, "a", {"sku": "y"}, 1),
        (6, "v", 9, None, {"sku": "v"}, 6),
    ]
    assert [(line, reason) for line, _, reason in bad_of(blocks)] == [(3, "type"), (5, "type")]
    assert messages(blocks)[1] == 'explode, at cart.items: got {"sku":"q"}; allowed: a list'
    assert sum(block.without_items for block in blocks) == 2


def test_items_that_are_no_objects(tmp_path: Path) -> None:
    schema = {"x": {"type": "int", "path": "l[1]"}, "all": {"type": "array<int>", "path": "l"}}
    blocks = read_text(tmp_path, b'{"l": [[1, 2], [3]]}', schema, explode="l")
    assert rows_of(blocks, "source_line") == [{"x": 2, "all": [1, 2]}, {"x": None, "all": [3]}]


ARRAY = b"""\xef\xbb\xbf[
  {"a": 1, "s": "],[{"},
  {
    "a": 2
  }, {"a": 3},
  {"a": tru},
  7,
  {"a": 4} {"a": 5}
  ,,
  {"a": 6}
]
"""


@pytest.mark.parametrize("block_bytes", [1, 7, 30, 2**21])
def test_elements_of_an_array_have_their_own_lines_and_bytes(tmp_path: Path, block_bytes: int) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(ARRAY)
    blocks = read_file(path, json_source(path, {"a": "int"}, array=True), block_bytes)
    assert rows_of(blocks) == [{"a": a, "source_line": line} for a, line in ((1, 2), (2, 3), (3, 5), (6, 10))]
    assert bad_of(blocks) == [
        (6, b'{"a": tru}', "json"),
        (7, b"7", "not_object"),
        (8, b'{"a": 4} {"a": 5}', "json"),
        (9, b"", "json"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'[{"a": 1},\n', "line 1: the text ends"),
        (b'[{"a": 1}]\n\n{"a": 2}', "line 3: got '{\"a\": 2}' behind the array's end"),
        (b'\n{"a": 1}\n{"a": 2}', 'line 2: got \'{"a": 1}'),
        (b'[{"a": [1}]\n', "line 1: got '}', which closes no bracket that is open"),
        (b'[\n{"a": 1}}]', "line 2: got '}' where ']' or a comma belongs"),
        (b'[{"a": 1},\n{"a": "x}]\n', "line 2: a string that starts here has no end on its line"),
    ],
)
@pytest.mark.parametrize("block_bytes", [1, 2**21])
def test_a_file_that_is_not_one_array(tmp_path: Path, text: bytes, told: str, block_bytes: int) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_file(path, json_source(path, {"a": "int"}, array=True), block_bytes)
    assert caught.value.problems[0].startswith(f"{path}, {told}")


def test_an_array_file_without_text_or_elements_has_no_records(tmp_path: Path) -> None:
    for text in (b"", b" \n", b"[ ]"):
        assert sum(block.records_in for block in read_text(tmp_path, text, {"a": "int"}, array=True)) == 0


SCALARS = st.one_of(
    st.sampled_from(["null", "0", "-0", "1", "12.50", "1e2", "-2147483649", "9223372036854775808", "1e999", "true", "false"]),
    st.sampled_from(
        ['"x"', '""', '"é"', '"2020-01-02T03:04:05"', '"2020-13-02T03:04:05"', '"7.25"', '"NaN"', "NaN", "Inf", "9" * 60]
    ),
    st.sampled_from(["[]", "{}", '[{"text": "t", "n": 5}]', '[null, {"n": 2.5}]', '[{"n": 1, "more": [1]}]', '[{"text": 5}]']),
    st.sampled_from(
        ['{"name": "n"}', '{"name": 3}', '{"name": [1, {"a": 2.5}]}', '{"name": "\\ud83d\\ude00"}', '{"name": "\\udc00"}']
    ),
)
FITTING = {
    "id": st.integers(-(2**63), 2**63 - 1).map(str),
    "ratio": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "ok": st.sampled_from(["true", "false", "null"]),
    "price": st.sampled_from(["1", "9999.99", "-0.5", '"3.1"']),
    "at": st.sampled_from(['"2020-01-02T03:04:05"', "null"]),
    "user": st.text(max_size=5).map(lambda name: json.dumps({"name": name})),
    "tags": st.lists(st.text(max_size=3), max_size=3).map(lambda texts: json.dumps([{"text": each, "n": 1} for each in texts])),
}


@st.composite
def records(draw: st.DrawFn) -> bytes:
    odd = draw(st.sets(st.sampled_from(sorted(FITTING)), max_size=1)) if draw(st.integers(0, 3)) == 0 else set()
    names = draw(st.lists(st.sampled_from([*FITTING, "other"]), unique=True))
    pairs = [(name, draw(SCALARS if name in odd or name == "other" else FITTING[name])) for name in names]
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
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], block_bytes: int, target_bytes: int
) -> None:
    """Rows, bad records and blank lines are those of the reference, whole or cut into small blocks and splits."""
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
@settings(max_examples=150)
def test_what_the_fast_road_reads_is_what_plain_python_reads(lines: list[bytes]) -> None:
    """Straight, without the screen: the fast road gives the reference's row for a line, or leaves the line."""
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
    assert [len(piece.records) for piece in read_fast(fast, Lines.of(b"\n".join([*lines, b""])))[0]] == [500]
    for number, bad in ((3, b'{"id": }'), (90, b"{"), (200, b'{"id": "x"}'), (333, b'{"id": 1.5}')):
        lines[number] = bad
    pieces, left = read_fast(fast, Lines.of(b"\n".join([*lines, b""])))
    assert set(left.tolist()) >= {3, 90, 200, 333}
    assert len(left) <= 12
    assert sum(len(piece.records) for piece in pieces) == 500 - len(left)
