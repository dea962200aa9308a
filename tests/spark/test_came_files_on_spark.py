"""Slices of the files that came since the day before (`changes_since`), read by Spark after
OPTIMIZE took those files out of the table.
"""

from __future__ import annotations

import pytest
from learned_from import learned
from spark.lakes import DAYS, LakeProject

ALL = (*DAYS, "2026-11-22", "2026-11-23")
# The update of the last day rewrote the file of the day before.

OF_DAYS = {
    day: list(range(*span))
    for day, span in zip(ALL, [(0, 20), (20, 30), (30, 40), (30, 40)], strict=True)
}
FILTER = "prepare:\n  - filter: {rule: id >= 0, name: known}\nfeatures:\n"


@pytest.fixture
def days(lake: LakeProject) -> LakeProject:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    lake.create(partitioned=False)
    lake.insert(range(10))
    lake.insert(range(10, 20))
    lake.extract(DAYS[0])
    lake.insert(range(20, 30))
    lake.sql("OPTIMIZE {here}")
    assert lake.extract(DAYS[1]).rows_in == 10
    lake.insert(range(30, 40))
    assert lake.extract(ALL[2]).rows_in == 10
    lake.sql("UPDATE {here} SET size = 99.0 WHERE id = 33")
    assert lake.extract(ALL[3]).rows_in == 10
    return lake


def scored(days: LakeProject, *overrides: str) -> dict[str, list[int]]:
    """The rows that each slice published."""
    for day in ALL:
        days.score(day, *overrides)
    rows = days.table_of("predictions").to_pylist()
    return {day: sorted(row["id"] for row in rows if row["slice"] == day) for day in ALL}


@pytest.mark.parametrize("road", ["direct", "arrow", "pandas"])
def test_every_road_scores_what_came_on_a_day(days: LakeProject, road: str) -> None:
    assert scored(days, f"model.road={road}") == OF_DAYS


def test_table_steps_see_what_came_on_a_day(days: LakeProject) -> None:
    days.edit_lake("features:\n", FILTER)
    assert scored(days) == OF_DAYS


@pytest.mark.parametrize("steps", ["features:\n", FILTER])
def test_train_learns_from_what_came_on_all_days(days: LakeProject, steps: str) -> None:
    days.edit_lake("features:\n", steps)
    with learned(days) as (_, found, rows):
        assert found is not None and found.rows == 10, "an update rewrote a file of ten rows"
        sizes = {row["id"]: row["size"] for row in rows}
        assert len(rows) == 40 and sorted(sizes) == list(range(40)) and sizes[33] == 99.0
