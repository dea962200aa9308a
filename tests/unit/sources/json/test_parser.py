"""JSON: every line or element becomes the row that plain Python makes of it, or a bad record with
its reason, or is blank.
"""

from __future__ import annotations

import bz2
import datetime
import decimal
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from json_files import bad_of, blank_of, json_source, messages, read_file, read_text, rows_of

from batchinfer.errors import InputError

UTC = datetime.timezone.utc


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
        "entities": {
            "hashtags": [{"text": "spark"}, {"text": "delta"}],
            "places": [[1, 2], [], None],
        },
        "meta": {"a.b": {"n": 5}},
        "a.c": "a key with a dot",
    }
    text = "\n".join(
        [
            json.dumps(status),
            "",
            json.dumps({"id": 2, "entities": {"hashtags": []}, "user": None}),
            "{}",
        ]
    )
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
        (
            "decimal(38,2)",
            "123456789012345678901234567890123456.78",
            decimal.Decimal("123456789012345678901234567890123456.78"),
        ),
        ("decimal(10,2)", '"12.5"', decimal.Decimal("12.50")),
        ("decimal(10,2)", "1e2", decimal.Decimal("100.00")),
        ("double", "3", 3.0),
        ("float", "0.1", 0.10000000149011612),
        ("date", '"2015-04-06"', datetime.date(2015, 4, 6)),
        ("binary", '"QUJD"', b"ABC"),
        (
            "map<string,date>",
            '{"x": "2015-04-06", "y": null}',
            [("x", datetime.date(2015, 4, 6)), ("y", None)],
        ),
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
        (
            "int",
            "1.0",
            "column a: got 1.0; allowed: int (a whole number from -2147483648 to 2147483647)",
        ),
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
            "column a: got 1428303903; allowed: timestamp (ISO 8601, such as 2015-05-18 07:05:03), "
            "as text",
        ),
        ("timestamp", '"yesterday"', 'column a: got "yesterday"; allowed: timestamp'),
        ("array<date>", '["2015-04-06", "x"]', 'column a, at [1]: got "x"; allowed: date'),
        ("map<string,date>", '{"k": "x"}', 'column a, at .k: got "x"; allowed: date'),
        (
            "struct<b: struct<c: int>>",
            '{"b": {"c": "x"}}',
            'column a, at .b.c: got "x"; allowed: int',
        ),
        ("array<int>", "{}", "column a: got {}; allowed: a list"),
        ("binary", '"*"', 'column a: got "*"; allowed: Base64'),
        ("string", '"\\ud800"', "column a: got"),
    ],
)
def test_values_that_a_type_does_not_take(
    tmp_path: Path, type_: str, written: str, told: str
) -> None:
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
    assert (
        rows_of(read_text(tmp_path, b'{"a": 1, "a": 2}\n' * 5, {"a": "int"}), "source_line")
        == [{"a": 2}] * 5
    )


def test_what_no_column_needs_may_be_anything_that_is_json(tmp_path: Path) -> None:
    """Numbers that no type holds, halves of surrogate pairs, thousands of brackets: none of them is
    the columns' business.
    """
    lines = [
        b'{"a": 1, "z": 1e999}',
        b'{"a": 2, "z": "\\ud800"}',
        b'{"a": 3, "z": %s}' % (b"9" * 5000),
    ]
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
    blocks = read_text(
        tmp_path, "\n".join(map(json.dumps, lines)).encode(), EXPLODED, explode="cart.items"
    )
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
def test_elements_of_an_array_have_their_own_lines_and_bytes(
    tmp_path: Path, block_bytes: int
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(ARRAY)
    blocks = read_file(path, json_source(path, {"a": "int"}, array=True), block_bytes)
    assert rows_of(blocks) == [
        {"a": a, "source_line": line} for a, line in ((1, 2), (2, 3), (3, 5), (6, 10))
    ]
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
def test_a_file_that_is_not_one_array(
    tmp_path: Path, text: bytes, told: str, block_bytes: int
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(InputError) as caught:
        read_file(path, json_source(path, {"a": "int"}, array=True), block_bytes)
    assert caught.value.problems[0].startswith(f"{path}, {told}")


def test_an_array_file_without_text_or_elements_has_no_records(tmp_path: Path) -> None:
    for text in (b"", b" \n", b"[ ]"):
        assert (
            sum(block.records_in for block in read_text(tmp_path, text, {"a": "int"}, array=True))
            == 0
        )


SINCE_1970 = {
    "ts": "timestamp",
    "day": "date",
    "all": "array<timestamp>",
    "in": "struct<at: timestamp>",
}


@pytest.mark.parametrize("road", ["fast", "plain"])
def test_times_that_are_numbers(tmp_path: Path, road: str) -> None:
    # Arrow's reader knows no NaN that is told apart, so a line with one takes the plain road.
    lines = [
        '{"ts": 1795934425.0363867, "day": -1, "all": [0, "1.5", null], "in": {"at": 7}}',
        '{"ts": "1795934425.0363867", "day": "86400"}',
        '{"ts": 1.795934425e9}',
        '{"ts": null}',
    ]
    if road == "plain":
        lines = [line[:-1] + ', "n": {"x": -Infinity}}' for line in lines]
        lines = [line.replace("-Infinity", '"%s"' % (":NaN" * 9)) for line in lines]
    blocks = read_text(tmp_path, "\n".join(lines).encode(), SINCE_1970, timestamp_format="epoch_s")
    when = datetime.datetime(2026, 11, 29, 6, 40, 25, 36386, tzinfo=UTC)
    start = datetime.datetime(1970, 1, 1, tzinfo=UTC)
    found = rows_of(blocks, "source_line")
    assert [row["ts"] for row in found] == [when, when, when.replace(microsecond=0), None]
    assert found[0]["day"] == datetime.date(1969, 12, 31)
    assert found[1]["day"] == datetime.date(1970, 1, 2)
    assert found[0]["all"] == [start, start + datetime.timedelta(seconds=1.5), None]
    assert found[0]["in"] == {"at": start + datetime.timedelta(seconds=7)}


def test_what_is_no_number_since_1970_goes_aside(tmp_path: Path) -> None:
    values = ["true", "[1]", "{}", '"2026-11-29"', "1e400", "9" * 40, "253402300800", '""']
    lines = [f'{{"ts": {value}}}' for value in values]
    blocks = read_text(
        tmp_path, "\n".join(lines).encode(), {"ts": "timestamp"}, timestamp_format="epoch_s"
    )
    assert rows_of(blocks) == []
    assert [reason for *_, reason in bad_of(blocks)] == ["type"] * len(values)
    assert "seconds since 1970, as a number of the years 1 to 9999" in messages(blocks)[3]
