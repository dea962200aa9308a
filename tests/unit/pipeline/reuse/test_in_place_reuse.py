"""Delta tables that are read in place: their files may hold rows of other slices too."""

from __future__ import annotations

import datetime as dt
import shutil
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.projects import SmallProject

from batchinfer.errors import InputError, StorageError

from .landed_files import fail_after, land_five

FIRST, SECOND = "2026-11-20", "2026-11-21"
COLORS = ("red", "blue", "green")


def rows(numbers: range, *days: str) -> pa.Table:
    return pa.table(
        {
            "id": pa.array(numbers, pa.int32()),
            "color": [COLORS[n % 3] for n in numbers],
            "size": [n * 0.37 for n in numbers],
            "day": [dt.date.fromisoformat(days[n % len(days)]) for n in numbers],
        }
    )


@pytest.fixture
def table(ready: SmallProject, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    """Three files of two days each, and two of the second day alone."""
    land_five(ready, monkeypatch)
    for start in (0, 8, 16):
        _append(ready, rows(range(start, start + 8), FIRST, SECOND))
    for start in (24, 30):
        _append(ready, rows(range(start, start + 6), SECOND))
    ready.edit("kind: csv", "kind: delta")
    ready.edit("path: in/*.csv", "path: in/table")
    ready.edit("slice: ingest_date", "slice: {column: day, unit: day}\n  key: id")
    text = (ready.root / "conf/pipelines/small.yaml").read_text()
    lines = [line for line in text.splitlines() if "schema:" not in line]
    head, _, tail = "\n".join(lines).partition("train:")
    ready.write("conf/pipelines/small.yaml", head + tail[tail.index("model: {uri") :])
    # The rows that the model was learned from were landed; these are not.
    shutil.rmtree(ready.root / "var/lake/landed")
    ready.extract(None)
    return ready


def _append(project: SmallProject, more: pa.Table) -> None:
    write_deltalake(str(project.root / "in/table"), more, mode="append")


def told(project: SmallProject) -> list[tuple[Any, ...]]:
    found = project.table("predictions").to_pylist()
    return sorted((row["id"], row["score"], row["label"]) for row in found)


def test_what_has_rows_of_other_slices_is_taken_over_and_does_not_stay(
    table: SmallProject,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        tasks = fail_after(patch, 3)
        with pytest.raises(StorageError):
            table.score(SECOND)
    read = sum(task.split.rows for task in tasks[:3])
    report = table.score(SECOND)
    assert (report.rows_in, report.road) == (24, "direct")
    # Of what the tasks have read, some rows are of the other day.
    assert read - 12 <= report.rows_resumed < read
    assert [row[0] for row in told(table)] == sorted([*range(1, 24, 2), *range(24, 36)])
    before = told(table)
    _append(table, rows(range(36, 40), SECOND))
    table.extract(None)
    again = table.score(SECOND)
    assert (again.rows_in, again.rows_kept) == (28, 0)
    assert told(table)[:24] == before


def test_files_of_one_slice_alone_stay(table: SmallProject) -> None:
    source = DeltaTable(str(table.root / "in/table"))
    source.delete(f"day = '{FIRST}'")
    table.extract(None)
    first = table.score(SECOND)
    assert first.rows_in == 24
    _append(table, rows(range(36, 40), SECOND))
    table.extract(None)
    again = table.score(SECOND)
    assert (again.rows_in, again.rows_kept) == (28, 24)
    before = told(table)
    table.score(SECOND, force=True)
    assert told(table) == before


@pytest.mark.parametrize(("day", "count"), [(SECOND, 24), ("2026-11-22", 4)])
def test_a_suite_about_the_slice_alone_judges_every_row(
    table: SmallProject, day: str, count: int
) -> None:
    """The slice is no column of the table; files of the last day hold no rows of others."""
    _append(table, rows(range(36, 40), "2026-11-22"))
    table.extract(None)
    line = "- expect_column_values_to_not_be_in_set: {column: slice, value_set: ['%s']}"
    table.write("conf/slices.yaml", line % day)
    with pytest.raises(InputError, match=f"{count} of {count} rows"):
        table.score(day, "checks.input=conf/slices.yaml")
    table.write("conf/slices.yaml", line % FIRST)
    assert table.score(day, "checks.input=conf/slices.yaml").status == "published"
