"""A slice of few rows: landed and fitted on in the command's process, scored by one process beside
it, with the same tables as by the executors, whatever the rows do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from e2e.commands import DAY, SMALL_ROWS, Project, extract_small, quarantined

# Two of the twenty rows end a process that scores them, once the file is there.
NET = """
import ctypes
import time
from pathlib import Path

import torch

FAULTS = Path(__file__).with_name("faults")


class Net(torch.nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features):
        print("a model that talks")
        if FAULTS.exists() and bool((features[:, 0] > 1.6).any()):
            ctypes.string_at(0)
        if FAULTS.exists() and bool((features[:, 0] < -1.6).any()):
            time.sleep(3600)
        return self.layer(features)
"""


def _table(project: Project) -> pa.Table:
    table = DeltaTable(str(project.lake / "predictions" / "small")).to_pyarrow_table()
    return table.drop_columns(["run_id", "scored_at"]).sort_by("source_line")


def _score(project: Project, *more: str) -> dict[str, Any]:
    result = project.run(
        "score", "-p", "small", "--slice", DAY, "--force", *more, PYTHONPATH=str(project.root)
    )
    assert result.code == 0, result.stderr
    assert "a model that talks" not in result.stdout
    return result.json


def test_few_rows_are_scored_beside_the_driver(small: Project) -> None:
    small.write("talking.py", NET)
    small.edit(
        "conf/pipelines/small.yaml", "train:\n", "train:\n  model: {python: 'talking:Net'}\n"
    )
    small.edit("conf/pipelines/small.yaml", "hidden: [4], ", "")
    assert extract_small(small).code == 0
    trained = small.run("train", "-p", "small", PYTHONPATH=str(small.root))
    assert trained.code == 0, trained.stderr

    planned = small.run("plan", "-p", "small", "--slice", DAY, PYTHONPATH=str(small.root)).json
    assert (planned["road"], planned["workers"], planned["threads_per_worker"]) == ("direct", 1, 1)
    report = _score(small)
    assert (report["road"], report["road_reason"], report["workers"]) == (
        "direct",
        planned["road_reason"],
        1,
    )
    assert report["stage_seconds"]["session"] == 0, "nothing here needs Spark"
    beside = _table(small)
    forced = _score(small, "--set", "model.road=direct")
    assert forced["workers"] > 1
    assert forced["stage_seconds"]["session"] > 0
    assert forced["road_reason"] == "the pipeline file asks for it"
    executors = _table(small)
    assert beside.drop_columns("source_version") == executors.drop_columns("source_version")

    small.write("faults", "now")
    report = _score(small, "--set", "model.batch={rows: 4, timeout_s: 5}")
    assert (
        report["rows_in"],
        report["rows_scored"] + report["rows_reused"],
        report["rows_quarantined"],
    ) == (20, 18, 2)
    assert "processes one after another" in report["explanation"]
    assert sorted(
        (row["reason"], row["source_line"]) for row in quarantined(small) if row["stage"] == "score"
    ) == [
        ("crash", 21),
        ("hang", 2),
    ]
    kept = beside.filter(
        pa.array([line not in (2, 21) for line in beside["source_line"].to_pylist()])
    )
    assert _table(small) == kept


def test_checks_of_few_rows_say_what_spark_says(small: Project) -> None:
    small.edit(
        "conf/pipelines/small.yaml",
        "checks: {",
        "checks: {input: conf/input.yaml, predictions: conf/predictions.yaml, ",
    )
    small.write(
        "conf/input.yaml", "- expect_column_max_to_be_between: {column: size, max_value: 20}"
    )
    small.write(
        "conf/predictions.yaml",
        "- expect_column_values_to_be_between: {column: score, min_value: 2, mostly: 0.5}\n"
        "- expect_column_values_to_be_in_set: {column: slice, value_set: ['2026-11-21']}\n"
        "- expect_table_column_count_to_equal: {value: 4}\n"
        "- expect_column_to_exist: {column: slice, column_index: 1}\n",
    )
    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0

    def score(*more: str) -> tuple[Any, Any]:
        result = small.run("score", "-p", "small", "--slice", DAY, *more)
        told = {name: result.json[name] for name in ("status", "errors", "checks_failed")}
        return (result.code, told), result.json["session"]

    beside, session = score()
    assert (beside[0], len(beside[1]["errors"]), session) == (4, 3, "")
    assert score("--set", "model.road=direct") == (beside, "model.road: direct")
    small.write(
        "conf/input.yaml", "- expect_column_max_to_be_between: {column: size, max_value: 9}"
    )
    failed = small.run("score", "-p", "small", "--slice", DAY)
    by_spark = small.run("score", "-p", "small", "--slice", DAY, "--set", "model.road=direct")
    assert (failed.code, failed.json["errors"]) == (3, by_spark.json["errors"])
    assert "input check of slice" in failed.json["errors"][0]


def test_a_model_that_cannot_be_loaded_there_is_exit_7(small: Project) -> None:
    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    planned = small.run("plan", "-p", "small", "--slice", DAY, "--set", "model.device=cuda")
    result = small.run("score", "-p", "small", "--slice", DAY, "--set", "model.device=cuda")
    assert (planned.code, result.code) == (7, 7)
    assert planned.json["errors"] == result.json["errors"]
    assert "no usable GPU" in result.json["errors"][0]


def test_a_small_night_needs_no_java(small: Project, tmp_path: Path) -> None:
    no_java = str(tmp_path / "no-java")
    extracted = extract_small(small, slice_="2026-11-20")
    trained = small.run("train", "-p", "small", JAVA_HOME=no_java)
    assert (extracted.code, trained.code) == (0, 0), trained.stderr
    assert (extracted.json["session"], trained.json["session"]) == ("", "")
    small.write("in/b.csv", SMALL_ROWS.replace(".5,", ".25,"))
    night = small.run("nightly", "-p", "small", "--slice", DAY, JAVA_HOME=no_java)
    assert night.code == 0, night.stderr
    assert (night.json["landed"], night.json["scored"]) == ([DAY], [DAY])
    again = small.run("nightly", "-p", "small", "--slice", DAY, JAVA_HOME=no_java)
    assert (again.code, again.json["status"]) == (0, "unchanged")
    assert "tarting Spark" not in extracted.stderr + trained.stderr + night.stderr + again.stderr
    by_session = small.run(
        "extract", "-p", "small", "--slice", "2026-11-22", "--env", "session", JAVA_HOME=no_java
    )
    assert by_session.code == 2 and "JAVA_HOME" in by_session.json["errors"][0]
