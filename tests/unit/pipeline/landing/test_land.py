"""Landing: counts that add up or nothing lands, the rate at its very limit, and what one commit
records.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.contracts import SLICE
from batchinfer.errors import InputError, TooManyQuarantined
from batchinfer.lake.ledger import landed_files, landed_sizes, landed_slices
from batchinfer.pipeline.landing import land as landing
from batchinfer.pipeline.landing.increment import Increment, StagedRecords
from batchinfer.pipeline.landing.landed_commits import landed_schema
from batchinfer.pipeline.landing.landing_task import LandingResult

BAD = "no row\n"
Change = Callable[[LandingResult], LandingResult]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the block ends in which the increments of extractions are committed."""
    found: list[str] = []
    real = landing.find_increment

    def watched(*arguments: Any) -> Increment | None:
        increment = real(*arguments)
        if increment is None:
            return None

        @contextmanager
        def staging(*how: Any) -> Generator[StagedRecords | None]:
            try:
                with increment.staging(*how) as staged:
                    yield staged
            except (InputError, TooManyQuarantined):
                found.append("refused")
                raise
            found.append("landed")

        return replace(increment, staging=staging)

    monkeypatch.setattr(landing, "find_increment", watched)
    return found


def changing(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Tasks whose results are not what they did."""
    real = landing.find_increment

    def found(*arguments: Any) -> Increment | None:
        increment = real(*arguments)
        assert increment is not None

        @contextmanager
        def staging(*how: Any) -> Generator[StagedRecords | None]:
            with increment.staging(*how) as staged:
                yield staged and replace(
                    staged, results=[change(result) for result in staged.results]
                )

        return replace(increment, staging=staging)

    monkeypatch.setattr(landing, "find_increment", found)


def has_landed(project: SmallProject) -> bool:
    return (project.root / "var/lake/landed/small/_delta_log").exists()


def parquet_files(project: SmallProject) -> list[Path]:
    return list((project.root / "var/lake").rglob("*.parquet"))


@pytest.mark.parametrize(
    "change",
    [
        lambda result: replace(result, rows_in=result.rows_in + 1),
        lambda result: replace(result, reasons={**result.reasons, "another": 1}),
    ],
    ids=["in", "quarantined"],
)
def test_a_record_that_is_not_accounted_for_ends_the_run_and_leaves_no_file(
    local: SmallProject, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    local.write("in/a.csv", csv_of(range(5)) + BAD)
    with monkeypatch.context() as patch:
        changing(patch, change)
        with pytest.raises(RuntimeError, match="rows were lost"):
            local.extract()
    assert [path for path in parquet_files(local) if "runs" not in path.parts] == []
    assert not has_landed(local)
    assert local.extract().rows_landed == 5, "the files are still new"


def test_as_many_bad_records_as_are_allowed_land_and_one_more_does_not(
    local: SmallProject, told: list[str]
) -> None:
    local.write("in/a.csv", csv_of(range(4)) + BAD)
    with pytest.raises(TooManyQuarantined) as caught:
        local.extract(DAY, "checks.max_quarantine_rate=0.19")
    assert caught.value.exit_code == 5
    said = str(caught.value)
    assert "1 of 5 records cannot be landed (field_count 1): a rate of 0.2000" in said
    assert "First: a.csv:6: got 1 fields; the schema has 4" in said
    shown = f"batchinfer quarantine {local.named} --set checks.max_quarantine_rate=0.19"
    assert f"{shown} --slice {DAY} shows why" in str(caught.value.hint)
    assert told == ["refused"] and not has_landed(local)
    assert [row["published"] for row in local.table("quarantine").to_pylist()] == [False]
    report = local.extract(DAY, "checks.max_quarantine_rate=0.2")
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (5, 4, 1)
    assert told == ["refused", "landed"]
    assert [row["published"] for row in local.table("quarantine").to_pylist()] == [True]


def test_the_commit_of_the_rows_says_what_of_the_source_they_are(local: SmallProject) -> None:
    text = csv_of(range(6))
    local.write("in/a.csv", text)
    local.edit("slice: ingest_date", "slice: color")
    report = local.extract(None)
    table = report.table
    assert landed_slices(table) == dict.fromkeys(("red", "blue", "green"), report.version)
    [fingerprint] = landed_files(table, "*", ["a.csv"]).values()
    assert fingerprint is not None
    assert landed_sizes(table, "*", ["a.csv"]) == {"a.csv": len(text)}
    entry = DeltaTable(table).history(1)[0]
    assert (entry["command"], entry["run_id"]) == ("extract", report.run_id)
    local.write("in/b.csv", "id,color,size,big\n7,red,1.0,no\n")
    later = local.extract(None)
    assert landed_slices(table) == {
        "red": later.version, "blue": report.version, "green": report.version,
    }  # fmt: skip


def test_keys_that_may_repeat_where_the_file_says_so_need_no_spark(local: SmallProject) -> None:
    local.edit("source:\n", "source:\n  key: id\n  unique: assumed\n")
    local.write("in/a.csv", csv_of(range(3)) + csv_of(range(3)).split("\n", 1)[1])
    assert local.extract().rows_landed == 6


def test_a_file_whose_columns_differ_from_those_that_landed_is_refused_whole(
    local: SmallProject,
) -> None:
    local.write("in/a.csv", csv_of(range(3)))
    local.extract()
    local.edit("size: double", "size: float")
    local.write("in/b.csv", csv_of(range(3, 5)))
    before = parquet_files(local)
    with pytest.raises(InputError, match="column size is double"):
        local.extract()
    assert local.table("landed").num_rows == 3
    new = {path for path in parquet_files(local) if "landed" in path.parts} - set(before)
    assert new == set()


def test_a_landed_table_has_the_sources_columns_the_place_and_the_slice() -> None:
    schema = landed_schema(
        {"id": pa.int32(), "source_file": pa.string(), "source_line": pa.int64()}
    )
    assert schema.names == ["id", "source_file", "source_line", SLICE]
    assert all(field.metadata[b"comment"] for field in schema)
