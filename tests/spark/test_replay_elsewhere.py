"""Replays of what is read in place, and of slices from which steps remove rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable
from spark.lakes import LakeProject
from spark.projects import DAY
from spark.readings import DAYS, project_of, write_days
from spark.refusing import again, aside, refuse, with_own_net


def test_rows_of_a_table_that_is_read_in_place(lake: LakeProject) -> None:
    with_own_net(lake, "lake")
    lake.make("spark", range(40), partitioned=False)
    lake.extract(None)
    lake.train()
    lake.score(DAY)
    expected = {key: score for key, (score, _) in lake.published().items()}
    refuse(lake, 1.2)
    report = lake.score(DAY, force=True)
    assert report.rows_quarantined > 0
    refuse(lake, 1e9)
    assert again(lake).rows_scored == report.rows_quarantined
    assert {key: score for key, (score, _) in lake.published().items()} == pytest.approx(
        expected, rel=1e-5
    )
    assert lake.quarantined() == []


def test_removed_rows_are_not_scored(
    tmp_path: Path, spark: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a table transform removes stays in quarantine; rows that look back see the rows before
    them as in the whole slice.
    """
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    project = project_of(tmp_path, spark)
    with_own_net(project)
    write_days(project)
    project.extract(None)
    project.train()
    day = DAYS[1]
    project.score(day)
    table = str(project.root / "var/lake/predictions/small")

    def found() -> dict[int, float]:
        return {
            row["id"]: row["prediction"] for row in DeltaTable(table).to_pyarrow_table().to_pylist()
        }

    expected = found()
    refuse(project, 0.5)
    report = project.score(day, "checks.max_quarantine_rate=0.9", force=True)
    failed = report.rows_quarantined - report.rows_removed
    assert failed > 0 < report.rows_removed
    refuse(project, 1e9)
    done = again(project, day)
    assert (done.rows_in, done.rows_scored, done.rows_quarantined) == (failed, failed, 0)
    assert found() == pytest.approx(expected, rel=1e-5)
    assert len([row for row in aside(project) if row["slice"] == day]) == report.rows_removed
