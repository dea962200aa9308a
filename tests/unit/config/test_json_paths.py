"""Paths into JSON, and the rules of a pipeline file about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.json_paths import read_json_path, written_path

Problems = Callable[..., list[str]]

JSON = """\
name: statuses
source:
  kind: json
  path: in/*.jsonl
  schema: {id: bigint, text: string, tag: {type: string, path: "entities.tags[0].text"}}
  key: id
  slice: ingest_date
model: {uri: models:/statuses/1}
sink: {table: predictions/statuses}
"""


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", ("a",)),
        ("a.b[0].c", ("a", "b", 0, "c")),
        ("[2][10].x", (2, 10, "x")),
        ('["a.b"].c["d e"][1]', ("a.b", "c", "d e", 1)),
        ('a["\\u00e9]\\""]', ("a", 'é]"')),
        ("$oid.@type.a-b.naïve", ("$oid", "@type", "a-b", "naïve")),
        ('[""]', ("",)),
    ],
)
def test_paths(text: str, steps: tuple[str | int, ...]) -> None:
    assert read_json_path(text) == steps


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a[",
        "a[x]",
        "a[-1]",
        "a[*]",
        "a[0]b",
        'a["x]',
        "a.[0]",
        " a",
    ],
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: keys with dots between them"):
        read_json_path(text)


@given(
    st.lists(
        st.one_of(st.text(alphabet=st.characters(codec="utf-8")), st.integers(0, 10**6)), min_size=1
    )
)
def test_written_paths_read_back(steps: list[str | int]) -> None:
    assert read_json_path(written_path(steps)) == tuple(steps)


def test_a_good_pipeline(problems: Problems, project: Path) -> None:
    assert problems(JSON) == []
    assert (
        problems(JSON.replace("kind: json", "kind: json\n  array: true\n  explode: entities.tags"))
        == []
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "entities.tags[0].text",
            "entities..text",
            "(source.schema.tag.path): got 'entities..text', in which '..text'",
        ),
        (
            "entities.tags[0].text",
            "[0].text",
            "(source.schema.tag.path): got '[0].text', which starts with an item of a list",
        ),
        (
            "id: bigint",
            'id: "map<int,string>"',
            "(source.schema.id): got a map with keys of type int; allowed in JSON: map",
        ),
        (
            "slice: ing",
            "options: {explode: 'a[*]'}\n  slice: ing",
            "(source.options.explode): got 'a[*]', in which '[*]' cannot",
        ),
        (
            "slice: ing",
            "explode: 'a b'\n  slice: ing",
            "(source.explode): got 'a b', in which ' b' cannot",
        ),
        (
            "  key: id",
            "  options: {explode: a}",
            "(source.options.explode): got explode: a with the key source_file, source_line",
        ),
        (
            "key: id",
            "key: [source_file, source_line]\n  explode: a",
            "(source.key): got explode: a with the key source_file",
        ),
        (
            "key: id",
            "key: id\n  array: true\n  on_changed: append",
            "(source.on_changed): got append with array: true",
        ),
    ],
)
def test_problems_are_told_with_their_place(
    problems: Problems, old: str, new: str, sentence: str
) -> None:
    assert old in JSON
    [told] = problems(JSON.replace(old, new))
    assert sentence in told
