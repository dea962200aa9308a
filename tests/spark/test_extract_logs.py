"""Logs of servers land in the slices of their days, with what is said about them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from spark.projects import SmallProject

PIPELINE = """\
name: small
source:
  kind: text_log
  path: in/*.log
  options: {format: %s}
  slice: {column: ts, unit: day}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""


@pytest.fixture
def logs(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SmallProject:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    return SmallProject(tmp_path, lambda: spark)


def test_days_of_a_log_whose_times_are_numbers(logs: SmallProject) -> None:
    logs.write("conf/pipelines/small.yaml", PIPELINE % "caddy")
    # More digits than a double has: it would be the next day.
    lines = [
        f'{{"ts": {ts}, "request": {{"uri": "/a"}}, "status": 200}}'
        for ts in ("1709337599.9999999", "1709337600", '"x"')
    ]
    logs.write("in/a.log", "\n".join(lines) + "\n")
    report = logs.extract(None)
    assert (report.rows_landed, report.rows_quarantined) == (2, 1)
    assert report.slices == ["2024-03-01", "2024-03-02"]
    last = dt.datetime(2024, 3, 1, 23, 59, 59, 999999, dt.timezone.utc)
    assert min(row["ts"] for row in logs.table("landed").to_pylist()) == last


def test_lists_land_and_bytes_that_are_no_text_are_said(logs: SmallProject) -> None:
    logs.write("conf/pipelines/small.yaml", PIPELINE % "haproxy")
    line = (
        "192.0.2.1:5 [02/Mar/2024:10:00:00.125] web app/one 1/2/3/4/10 200 500 - - ---- "
        '5/4/3/2/1 7/6 {q#22|#E9|} "GET /a HTTP/1.1"\n'
    )
    logs.write("in/a.log", line * 2)
    report = logs.extract(None)
    assert (report.rows_landed, report.rows_quarantined) == (2, 0)
    (first, _) = logs.table("landed").to_pylist()
    assert first["request_captures"] == ['q"', "\ufffd", None]
    assert report.warnings == [
        "2 values of the log with bytes that are not UTF-8: U+FFFD stands for these; unescape: "
        "false lands values as the server wrote them"
    ]
