"""The newest landed row of a key, of landed tables and of tables that are read in place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.projects import DAY, IN_PLACE, SmallProject, csv_of

from batchinfer.pipeline.answering.feature_rows import feature_rows

NEXT = "2026-11-22"
DAYS = [dt.date.fromisoformat(day) for day in (NEXT, DAY)]


@pytest.fixture
def no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file is looked through."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the table was filtered")

    monkeypatch.setattr("batchinfer.pipeline.answering.feature_rows._filtered", refuse)


@pytest.mark.usefixtures("no_filter")
def test_of_landed_slices_the_greatest_that_has_the_key_counts(local: SmallProject) -> None:
    local.write("in/a.csv", csv_of(range(5)))
    local.extract(NEXT)
    local.write("in/a.csv", csv_of(range(3)))
    local.extract("2026-11-23")
    landed = DeltaTable(str(local.root / "var/lake/landed/small")).to_pyarrow_table()
    [file] = set(landed["source_file"].to_pylist())
    keys = [{"source_file": file, "source_line": line} for line in ("2", "6", "99", 2)]
    rows = feature_rows(local.context(), keys)
    found = [None if row is None else (row["id"], row["slice"]) for row in rows]
    assert found == [(0, "2026-11-23"), (4, NEXT), None, (0, "2026-11-23")]


def in_place(local: SmallProject, **partitions: Any) -> None:
    """The newer rows are in the file before: not the order of files, but the day counts."""
    local.write("conf/pipelines/small.yaml", IN_PLACE)
    for day in DAYS:
        rows = {"id": pa.array([1, 2], pa.int32()), "day": [day] * 2, "served": [False] * 2}
        write_deltalake(str(local.root / "in/table"), pa.table(rows), mode="append", **partitions)
    local.extract(None)


@pytest.mark.usefixtures("no_filter")
@pytest.mark.parametrize("partitions", [{}, {"partition_by": ["day"]}])
def test_of_a_table_in_place_the_newest_day_counts(
    local: SmallProject, partitions: Mapping[str, Any]
) -> None:
    in_place(local, **partitions)
    rows = feature_rows(local.context(), [{"id": 2}, {"id": 7}])
    assert rows == [{"id": 2, "day": DAYS[0], "served": False}, None]


@pytest.mark.usefixtures("no_filter")
def test_a_table_whose_files_lack_the_key_is_looked_through(local: SmallProject) -> None:
    in_place(local, partition_by=["id"])
    with pytest.raises(AssertionError, match="the table was filtered"):
        feature_rows(local.context(), [{"id": 2}])


def test_what_is_found_by_looking_through_is_the_same(local: SmallProject) -> None:
    in_place(local, partition_by=["id"])
    rows = feature_rows(local.context(), [{"id": 2}, {"id": 7}])
    assert rows == [{"id": 2, "day": DAYS[0], "served": False}, None]
