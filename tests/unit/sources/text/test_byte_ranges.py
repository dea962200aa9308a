"""Splits: together they hold every line of a file once, each starts at a line's start and knows its
number.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.config.sources import CsvSource
from batchinfer.errors import InputError
from batchinfer.json_values import from_json, to_json
from batchinfer.sources.listing import list_files
from batchinfer.sources.source_splits import TextSplit
from batchinfer.sources.text.byte_ranges import (
    align,
    count_range,
    needs_count,
    plan_text_splits,
)


def source(path: Path, **options: object) -> CsvSource:
    return CsvSource.model_validate(
        {
            "kind": "csv",
            "path": [str(path)],
            "schema": {"a": "string"},
            "options": {"header": False, **options},
        }
    )


def aligned(path: Path, target_bytes: int, **options: object) -> list[TextSplit]:
    splits = plan_text_splits(
        list_files([str(path)], path.parent), source(path, **options), target_bytes
    )
    return align([count_range(split) if needs_count(split) else split for split in splits])


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(st.sampled_from([b"", b"x", b"four", b"a longer line"]), max_size=15),
    final=st.booleans(),
    target=st.integers(1, 40),
)
def test_splits_hold_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], final: bool, target: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    data = b"\n".join(lines) + (b"\n" if final else b"")
    path.write_bytes(data)
    splits = aligned(path, target)
    assert [from_json(TextSplit, to_json(split)) for split in splits] == splits
    assert b"".join(data[split.start : split.end] for split in splits) == data
    for split in splits:
        assert split.start == 0 or data[split.start - 1 : split.start] == b"\n"
        assert split.line == 1 + data.count(b"\n", 0, split.start)
        assert split.end > split.start


def test_small_files_need_no_count_and_large_ones_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1234\n" * 100)
    (small,) = plan_text_splits(list_files([str(path)], tmp_path), source(path), 500)
    assert (needs_count(small), small.line, small.start, small.end) == (False, 1, 0, 500)
    ranges = plan_text_splits(list_files([str(path)], tmp_path), source(path), 200)
    assert [needs_count(each) for each in ranges] == [True, True, True]
    with pytest.raises(ValueError, match="was not counted"):
        align(ranges)
    assert [split.line for split in aligned(path, 200)] == [1, 41, 81]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.csv.gz", {}),
        ("x.csv", {"multi_line": True}),
        ("x.csv", {"encoding": "utf-16"}),
        ("x", {"compression": "bzip2"}),
    ],
)
def test_what_cannot_be_cut_is_one_stream(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"1234\n" * 100)
    (split,) = plan_text_splits(list_files([str(path)], tmp_path), source(path, **options), 20)
    assert (split.is_stream, split.end, needs_count(split)) == (True, None, False)


def test_all_broken_headers_are_told_at_once(tmp_path: Path) -> None:
    for name in ("p.csv", "q.csv", "r.csv"):
        (tmp_path / name).write_text("a\nx\n" if name == "q.csv" else "b\nx\n")
    with pytest.raises(InputError) as caught:
        plan_text_splits(list_files(["*.csv"], tmp_path), source(tmp_path, header=True))
    assert [problem.split(":")[0][-5:] for problem in caught.value.problems] == ["p.csv", "r.csv"]


def test_a_range_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"1234\n" * 100)
    ranges = plan_text_splits(list_files([str(path)], tmp_path), source(path), 200)
    path.write_bytes(b"1234\n" * 90)
    with pytest.raises(InputError, match="changed while"):
        count_range(ranges[0])
