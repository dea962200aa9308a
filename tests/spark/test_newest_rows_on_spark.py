"""Older copies of rows, found and left out by Spark: of more rows than the driver compares, before
table transforms, and of tables that are read in place.
"""

from __future__ import annotations

import pytest
from learned_from import learned
from spark.lakes import DAYS, LakeProject
from spark.projects import SmallProject

FILTER = "prepare:\n  - filter: {rule: id >= 0, name: known}\nfeatures:\n"
LAG = "prepare:\n  - lag: {columns: size, by: color, order: id, periods: 1}\nfeatures:\n"


def numbered(rows: dict[int, float]) -> str:
    return "id,color,size,big\n" + "".join(
        f"{id_},red,{size},{'yes' if id_ % 2 else 'no'}\n" for id_, size in rows.items()
    )


@pytest.fixture
def nights(small: SmallProject) -> SmallProject:
    """Ten rows; the next day other sizes for five of them, and two new rows."""
    small.write("in/a.csv", numbered({n: 1.0 for n in range(10)}))  # noqa: C420 - as the next
    small.extract(DAYS[0])
    small.write("in/a.csv", numbered({n: 2.0 for n in range(5, 12)}))  # noqa: C420
    small.extract(DAYS[1])
    return small


NEWEST = {n: 1.0 + (n >= 5) for n in range(12)}


@pytest.mark.parametrize("most_rows", [1000, 5])
def test_spark_and_the_driver_leave_the_same_rows_out(
    nights: SmallProject, monkeypatch: pytest.MonkeyPatch, most_rows: int
) -> None:
    monkeypatch.setattr("batchinfer.pipeline.training.newest_rows._MOST_ROWS", most_rows)
    with learned(nights) as (data, found, rows):
        assert found is not None and (found.rows, found.masks is None) == (5, most_rows == 5)
        assert {row["id"]: row["size"] for row in rows} == NEWEST and len(rows) == data.rows == 12


@pytest.mark.parametrize("steps", ["features:\n", LAG])
def test_rows_known_by_file_and_line_are_told_apart_by_spark_too(
    nights: SmallProject, monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    nights.edit("features:\n", steps)
    monkeypatch.setattr("batchinfer.pipeline.training.newest_rows._MOST_ROWS", 5)
    key = "source.key=[source_file, source_line]"
    with learned(nights, key) as (_, found, rows):
        assert found is not None and found.rows == 7
        assert sorted((row["id"], row["size"]) for row in rows) == [
            *((n, 2.0) for n in range(5, 7)),
            *((n, size) for n in range(7, 10) for size in (1.0, 2.0)),
            *((n, 2.0) for n in range(10, 12)),
        ]  # fmt: skip


def test_steps_look_back_into_older_copies_as_they_do_where_a_slice_is_scored(
    nights: SmallProject,
) -> None:
    nights.edit("features:\n", LAG)
    with learned(nights) as (_, found, rows):
        assert found is not None and found.rows == 5
        assert {row["id"]: row["size"] for row in rows} == NEWEST and len(rows) == 12
    nights.edit(LAG, "prepare:\n  - filter: {rule: 'size < 2 or id > 8', name: big}\nfeatures:\n")
    with learned(nights) as (_, found, rows):
        # A newest row that a step removes leaves no older copy in its place.
        assert {row["id"]: row["size"] for row in rows} == {
            n: size for n, size in NEWEST.items() if n < 5 or n > 8
        }


@pytest.mark.parametrize("steps", ["features:\n", FILTER])
def test_a_file_that_an_update_rewrote_brings_older_copies(lake: LakeProject, steps: str) -> None:
    lake.edit_lake("slice: {column: day, unit: day}", "slice: ingest_date\n  changes_since: auto")
    lake.edit_lake("features:\n", steps)
    lake.create(partitioned=False)
    lake.insert(range(20))
    lake.extract(DAYS[0])
    lake.insert(range(20, 30))
    lake.update("spark", 99.0, "id = 3")
    lake.extract(DAYS[1])
    with learned(lake) as (_, found, rows):
        assert found is not None and found.rows == 20
        sizes = {row["id"]: row["size"] for row in rows}
        assert len(rows) == 30 and sizes[3] == 99.0 and sorted(sizes) == list(range(30))
