"""A `source.slice` that changed after two days had landed: nothing lands twice, no copy is learned
from, and under another name the new rule cuts the same records.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError

NEXT = "2026-11-22"
DAYS, OF_DAYS = "slice: ingest_date", "slice: {column: seen, unit: day}"


def dated(numbers: range) -> str:
    rows = (
        f"{n},2015-01-0{n % 3 + 1},{n * 0.37:.2f},{'yes' if n % 7 > 3 else 'no'}" for n in numbers
    )
    return "\n".join(("id,seen,size,big", *rows)) + "\n"


def test_a_changed_rule_lands_nothing_twice_and_a_new_name_takes_it(
    tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spark.projects import PIPELINE

    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    project.edit("color: string", "seen: date")
    project.edit("  - one_hot: {columns: color}\n", "")
    project.write("in/a.csv", dated(range(60)))
    assert project.extract(DAY).rows_landed == 60
    project.write("in/a.csv", dated(range(90)))
    assert project.extract(NEXT).rows_landed == 90
    assert project.train().status == "registered"
    project.edit(DAYS, OF_DAYS)
    for command in (lambda: project.extract(None), project.train, lambda: project.score(NEXT)):
        with pytest.raises(ConfigError, match="was cut by slice: ingest_date") as caught:
            command()
        assert caught.value.exit_code == 2
    assert project.table("landed").num_rows == 150
    project.edit("name: small", "name: small2")
    report = project.extract(None)
    assert (report.rows_landed, report.slices) == (90, ["2015-01-01", "2015-01-02", "2015-01-03"])
    assert report.table.endswith("landed/small2")
