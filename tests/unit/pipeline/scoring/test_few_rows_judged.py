"""Few rows are judged beside the driver: no session is opened, whatever the suites say of them; and
where Spark has to judge, the report says why.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from typing import Any

import psutil
import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer.errors import ChecksFailed, ConfigError, InputError
from batchinfer.inference.road_choice import Road
from batchinfer.lake.runs import LatestRun
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.scoring.few_rows import are_few
from batchinfer.pipeline.slices.slice_data import SliceData

from ..one_process import OneProcess

INPUT = """\
- expect_column_values_to_not_be_null: {column: color}
- expect_column_values_to_be_between: {column: size, min_value: 0, max_value: MOST}
- expect_column_values_to_be_in_set: {column: slice, value_set: ['2026-11-21']}
- expect_table_columns_to_match_ordered_list:
    column_list: [id, color, size, big, source_file, source_line, slice]
"""
PREDICTIONS = """\
- expect_column_values_to_be_between: {column: score, min_value: LEAST, max_value: 1}
- expect_column_values_to_be_in_set: {column: label, value_set: ['yes', other, 'no']}
- expect_column_values_to_be_in_set: {column: slice, value_set: ['2026-11-21']}
- expect_table_row_count_to_equal: {value: 40}
"""


class SessionAsked(Exception):
    """A session was to be opened."""


@pytest.fixture
def checked(ready: SmallProject) -> SmallProject:
    """Forty rows and a model, with suites that hold; nobody may open a session."""

    def no_session() -> Any:
        raise SessionAsked

    ready.overrides = ("checks.input=conf/input.yaml", "checks.predictions=conf/predictions.yaml")
    ready.open_session = no_session
    suites(ready)
    return ready


def suites(project: SmallProject, most: str = "100", least: str = "0") -> None:
    project.write("conf/input.yaml", INPUT.replace("MOST", most))
    project.write("conf/predictions.yaml", PREDICTIONS.replace("LEAST", least))


def test_suites_that_hold_publish_without_a_session(checked: SmallProject) -> None:
    report = checked.score()
    assert (report.status, report.rows_scored, report.checks_passed) == ("published", 40, 8)
    assert (report.session, report.stage_seconds["session"], report.workers) == ("", 0, 1)
    assert report.stage_seconds["checks"] > 0
    assert not [one for one in psutil.Process().children() if "judging" in " ".join(one.cmdline())]


def test_an_input_that_breaks_its_suite_is_not_scored(checked: SmallProject) -> None:
    suites(checked, most="14")
    with pytest.raises(InputError) as caught:
        checked.score()
    assert caught.value.problems == (
        f"input check of slice {DAY}: expect_column_values_to_be_between(size, 0..14): "
        "2 of 40 rows (5%) outside; examples 14.06, 14.43",
    )


def test_predictions_that_break_their_suite_are_not_published(checked: SmallProject) -> None:
    suites(checked, least="0.999")
    with pytest.raises(ChecksFailed) as caught:
        checked.score()
    (problem,) = caught.value.problems
    assert "expect_column_values_to_be_between(score, 0.999..1): 40 of 40 rows (100%)" in problem
    assert caught.value.facts["session"] == ""
    assert len(caught.value.facts["checks_failed"]) == 1
    assert not list(checked.root.glob("var/lake/predictions/*/_delta_log"))


def test_a_suite_about_the_slice_alone_judges_every_row(checked: SmallProject) -> None:
    line = "- expect_column_values_to_not_be_in_set: {column: slice, value_set: ['%s']}"
    checked.write("conf/predictions.yaml", line % "2026-11-21")
    with pytest.raises(ChecksFailed, match="40 of 40 rows"):
        checked.score()
    checked.write("conf/predictions.yaml", line % "2026-11-20")
    assert checked.score().session == ""


def test_arguments_that_the_library_refuses_publish_nothing(checked: SmallProject) -> None:
    line = "- expect_column_values_to_match_strftime_format: {column: label, strftime_format: '%Q'}"
    checked.write("conf/predictions.yaml", line)
    with pytest.raises(ConfigError, match="strftime_format: got '%Q'"):
        checked.score()
    assert not list(checked.root.glob("var/lake/predictions/*/_delta_log"))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (
            "- expect_column_values_to_match_regex: {column: label, regex: ^y}",
            "expect_column_values_to_match_regex at {path}:1:3 is judged by Spark",
        ),
        (
            "- expect_column_values_to_not_be_null: {column: scored_at}",
            "expect_column_values_to_not_be_null at {path}:1:3 is judged by Spark for the type of "
            "column scored_at",
        ),
    ],
)
def test_what_spark_has_to_judge_opens_a_session_and_the_plan_says_why(
    checked: SmallProject, line: str, why: str
) -> None:
    path = checked.write("conf/predictions.yaml", line)
    assert plan_slice(checked.context(), DAY)["session"] == why.format(path=path)
    with pytest.raises(SessionAsked):
        checked.score()
    suites(checked)
    assert plan_slice(checked.context(), DAY)["session"] == ""


def test_the_bound_follows_from_what_earlier_runs_measured(checked: SmallProject) -> None:
    checked.write("in/a.csv", csv_of(range(5_001)))
    checked.open_session = OneProcess
    checked.extract("2026-11-22")
    planned = plan_slice(checked.context(), "2026-11-22")
    assert planned["session"] == "executors score 5,001 rows"
    assert planned["road_reason"] == "workers read the delta files with Arrow"
    assert plan_slice(checked.context("model.road=direct"), DAY)["session"] == "model.road: direct"


@pytest.mark.parametrize(
    ("rows", "rate", "few"),
    [
        (2_000, 10.0, True),  # whatever the model takes
        (2_001, 10.0, False),
        (2_001, 401.0, True),
        (5_000, None, True),
        (5_001, None, False),
        (20_000, 4_000.0, True),
        (20_001, 1e9, False),
    ],
)
def test_few_are_what_one_process_scores_soon(
    checked: SmallProject, rows: int, rate: float | None, few: bool
) -> None:
    context = checked.context()
    report = {} if rate is None else {"batch_rates": {"cpu, 1 thread": {"256": rate}}}
    run = LatestRun("a", dt.datetime.now(dt.UTC), "published", 0, 1.0, 100, report)
    data = SliceData("somewhere", (DAY,), [], 0, 0, rows)
    told = (context.environment, context.pipeline, data)
    assert are_few(*told, Road("direct", ""), lambda: [run]) is few
    assert not are_few(*told, Road("arrow", ""), lambda: [run])


def test_neither_the_driver_nor_a_child_has_spark(checked: SmallProject) -> None:
    code = f"""
import sys, threading, time
import psutil, batchinfer
seen = set()
def look():
    while True:
        seen.update(one.name() for one in psutil.Process().children(recursive=True))
        time.sleep(0.05)
threading.Thread(target=look, daemon=True).start()
report = batchinfer.score("small", "{DAY}", project="{checked.root}", overrides={checked.overrides})
print(report.checks_passed, len(seen) > 0, any("java" in name for name in seen))
print("pyspark" in sys.modules, "great_expectations" in sys.modules)
"""
    # The model's module is one of the tests'.
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["8", "True", "False", "False", "False"], done.stderr
