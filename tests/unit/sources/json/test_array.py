"""The scanner of JSON arrays: what it cuts is what Python's own reader finds."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.sources.json.array import cut_elements, read_array

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(
    st.lists(VALUES, max_size=6), st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 40)
)
@settings(max_examples=200)
def test_elements_are_those_of_json(
    values: list[Any], indent: int | None, ascii_: bool, size: int
) -> None:
    """With their bytes and lines, however the text is cut into chunks."""
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_).encode("utf-8", "surrogatepass")
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    found = list(read_array(iter(chunks), "x.json"))
    assert [json.loads(each.raw) for each in found] == values
    spans = cut_elements(text)
    assert [text[start:end] for start, end in spans] == [each.raw for each in found]
    assert [text.count(b"\n", 0, start) + 1 for start, _ in spans] == [each.line for each in found]


@given(st.lists(VALUES, max_size=4), st.dictionaries(st.text(), VALUES, max_size=3), st.text())
@settings(max_examples=100)
def test_a_list_inside_a_document(values: list[Any], beside: dict[str, Any], key: str) -> None:
    document = json.dumps({**beside, key: {"x": [1, values]}}).encode()
    spans = cut_elements(document, f"[{json.dumps(key)}].x[1]")
    assert [json.loads(document[start:end]) for start, end in spans] == values


def test_the_last_of_two_keys_counts_as_everywhere_in_json() -> None:
    document = b'{"a": [1], "b": 2, "a": [3, 4]}'
    assert [document[start:end] for start, end in cut_elements(document, "a")] == [b"3", b"4"]


@pytest.mark.parametrize(
    ("document", "path", "told"),
    [
        (b'{"a": {}}', "a.b.c", "nothing stands at a.b"),
        (b'{"a": [1]}', "a[1]", "nothing stands at a[1]"),
        (b'{"a": {"b": 1}}', "a", "got '{\"b\": 1}}' at a; allowed: a list"),
        (b'{"a": 1}', None, "got '{\"a\": 1}'; allowed: a list"),
        (b"", None, "got ''; allowed: a list"),
        (b"[1, [2}]", None, "closes no bracket"),
    ],
)
def test_no_list_at_the_path(document: bytes, path: str | None, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        cut_elements(document, path)
