"""A column that came into a landed table later: slices that landed before are scored, with null in
it, along every road.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from spark.projects import DAY, SmallProject, csv_of

NEXT_DAY = "2026-11-22"


@pytest.fixture
def project(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    from spark.projects import PIPELINE

    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = SmallProject(tmp_path, lambda: spark)
    project.write("conf/pipelines/small.yaml", PIPELINE)
    return project


def with_more(text: str) -> str:
    head, *lines = text.splitlines()
    return "\n".join([f"{head},more", *(f"{line},{number}.5" for number, line in enumerate(lines))])


def test_an_earlier_slice_is_scored_with_null_in_a_later_column(project: SmallProject) -> None:
    project.write("in/a.csv", csv_of(range(20)))
    project.extract()
    project.edit("big: string}", "big: string, more: double}")
    project.edit(
        "standardize: {columns: size}",
        "impute: {columns: more, strategy: mean}\n  - standardize: {columns: [size, more]}",
    )
    project.write("in/a.csv", with_more(csv_of(range(20))) + "\n")
    report = project.extract(NEXT_DAY)
    assert "new in the landed table, and null in what landed before: more double" in report.warnings
    project.train()
    scores = {}
    for road in ("direct", "arrow", "pandas"):
        assert project.score(DAY, f"model.road={road}", force=True).rows_scored == 20
        scores[road] = project.predictions(DAY)
    assert scores["direct"] == scores["arrow"] == scores["pandas"]
    assert project.score(NEXT_DAY, force=True).rows_scored == 20
    assert project.predictions(NEXT_DAY) != scores["direct"]
