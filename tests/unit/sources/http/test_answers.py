"""Records are taken out of answers of many shapes, byte for byte; anything else is refused with its
URL.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.sources.http.answers import digest_records, read_body

URL = "https://api.example.com/orders?page=2"


def records(body: bytes, path: str | None = None) -> tuple[bytes, ...]:
    return read_body(body, URL, path).records


def test_raw_bytes_are_kept() -> None:
    assert records(b'[{"a": 1.00, "b":"x"} ,\n {"a":2}]') == (b'{"a": 1.00, "b":"x"}', b'{"a":2}')


def test_line_ends_inside_a_record_become_spaces() -> None:
    [record] = records(b'{"items": [{\r\n  "a": "x\\ny",\n  "b": [1,\n 2]\n}]}')
    assert b"\n" not in record and b"\r" not in record
    assert json.loads(record) == {"a": "x\ny", "b": [1, 2]}


@pytest.mark.parametrize(
    ("body", "path", "found"),
    [
        ([{"a": 1}], None, ""),
        ({"data": {"items": [{"a": 1}]}, "tags": ["x"]}, None, "data.items"),
        ({"items": [{"a": 1}], "errors": []}, None, "items"),
        ({"data": {"items": [{"a": 1}], "other": [{"b": 2}]}}, "data.items", "data.items"),
        ([{"rows": [{"a": 1}]}], "[0].rows", "[0].rows"),
    ],
)
def test_where_records_stand(body: Any, path: str | None, found: str) -> None:
    read = read_body(json.dumps(body).encode(), URL, path)
    assert [json.loads(record) for record in read.records] == [{"a": 1}]
    assert read.path == found


def test_what_is_no_object_is_a_record_all_the_same() -> None:
    assert records(b'{"items": [{"a": 1}, null, 7]}') == (b'{"a": 1}', b"null", b"7")


def test_a_page_without_records() -> None:
    for body in (b"[]", b'{"items": []}', b'{"items": [], "errors": []}', b"", b"  \n"):
        assert records(body) == ()
    assert records(b'{"data": {"items": null}}', "data.items") == ()
    assert read_body(b'{"items": []}', URL, None).path is None


def test_bytes_that_are_not_utf8_stay_in_their_record() -> None:
    assert records(b'[{"a": "\xff"}, {"a": "\xc3\xa9"}]') == (
        b'{"a": "\xff"}',
        b'{"a": "\xc3\xa9"}',
    )


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        (b"<html><body>Sorry</body>", None, "no JSON .* it begins with '<html><body>Sorry</body>'"),
        (b'{"items": [{"a": 1}, {"a"', None, "no JSON"),
        (b"[" * 100_000, None, "nested too deeply"),
        (
            b'{"a": [{"x": 1}], "b": [{"x": 2}]}',
            None,
            r"where are the records\? Got 2 lists of objects \(a, b\)",
        ),
        (
            b'{"message": "none", "tags": ["x"]}',
            None,
            r"no list of objects, but an object with message, tags",
        ),
        (b'"text"', None, "no list of objects, but text"),
        (
            b'{"data": {"rows": []}}',
            "data.items",
            r"no list of records at data.items \(got nothing\).* data.rows",
        ),
        (
            b'{"data": {"items": {"a": 1}}}',
            "data.items",
            r"at data.items \(got an object\).*in this page: none",
        ),
        (b'{"data": null}', "data.items", r"got nothing"),
    ],
)
def test_other_answers_are_refused(body: bytes, path: str | None, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read_body(body, URL, path)
    assert refused.value.problems[0].startswith(f"{URL}: ")


def test_digests_see_values_only() -> None:
    same = digest_records([b'{"a": 1, "b": 2.0}', b"null"])
    assert digest_records([b'{"b":2.00,"a":1}', b" null"]) == same
    assert digest_records([b'{"a": 1, "b": 2.5}', b"null"]) != same
    assert digest_records([b"null", b'{"a": 1, "b": 2.0}']) != same
    assert digest_records([b'{"a": "\xff"}']) != digest_records([b'{"a": "\xfe"}'])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(
    items=st.lists(_VALUES, min_size=1), indent=st.sampled_from([None, 0, 2]), ascii_=st.booleans()
)
def test_any_list_comes_out_as_it_went_in(
    items: list[Any], indent: int | None, ascii_: bool
) -> None:
    text = json.dumps({"meta": [1], "data": {"items": items}}, indent=indent, ensure_ascii=ascii_)
    lines = records(text.encode("utf-8", "surrogatepass"), "data.items")
    assert all(b"\n" not in line for line in lines)
    assert [json.loads(line) for line in lines] == items
