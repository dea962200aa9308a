"""Rows that this process judges with pandas, though a session is there: few enough numbers, in few
files, of kinds that pandas may judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.checks.suites import Suite, load_suite
from batchinfer.command_reports import RunReport
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE
from batchinfer.pipeline.scoring.judging import Judge, RowsToJudge

TYPES = {"id": pa.int64(), "score": pa.float64(), "label": pa.string(), "at": pa.timestamp("us")}
SCORES = "- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1}\n"
LABELS = "- expect_column_values_to_be_in_set: {column: label, value_set: ['yes']}\n"
TIMES = "- expect_column_values_to_not_be_null: {column: at}\n"


class SparkAsked(Exception):
    """The rows were to be judged by Spark."""


class Rows:
    """Rows that a judge asks for; which columns it read."""

    def __init__(self, table: pa.Table, rows: int | None = None, files: int = 1) -> None:
        self.table, self.read = table, list[Sequence[str] | None]()
        count = table.num_rows if rows is None else rows
        self.asked = RowsToJudge(TYPES, count, files, self._columns, self._frame)

    def _columns(self, columns: Sequence[str] | None) -> pa.Table:
        self.read.append(columns)
        return self.table if columns is None else self.table.select(list(columns))

    def _frame(self) -> Any:
        raise SparkAsked


@pytest.fixture
def suite(tmp_path: Path) -> Any:
    def make(lines: str) -> Suite:
        (tmp_path / "suite.yaml").write_text(lines)
        return load_suite(tmp_path / "suite.yaml")

    return make


def table(scores: Sequence[float | None]) -> pa.Table:
    rows = len(scores)
    columns = {
        "id": range(rows),
        "score": scores,
        "label": ["yes"] * rows,
        "at": [0] * rows,
    }
    return pa.table({name: pa.array(columns[name], type_) for name, type_ in TYPES.items()})


def judge(suite: Suite) -> Judge:
    return Judge({"predictions": suite}, RunReport("p", "s", "r", "published"), NONE_SENSITIVE)


def test_few_numbers_are_judged_here_and_nothing_else_is_read(suite: Any) -> None:
    rows, judged = Rows(table([0.5, 1.5, None])), judge(suite(SCORES))
    (failure,) = judged.failures("predictions", rows.asked)
    assert "score" in failure
    assert "1.5" in failure
    assert rows.read == [["score"]]
    assert judged.report.stage_seconds["checks"] > 0
    assert judge(suite(SCORES)).failures("predictions", Rows(table([0.5, None])).asked) == []


@pytest.mark.parametrize(
    ("lines", "rows", "files", "here"),
    [
        (SCORES, 4_000_000, 64, True),
        (SCORES, 4_000_001, 64, False),
        (SCORES, 10, 65, False),
        # A text counts as eight numbers.
        (LABELS, 500_000, 1, True),
        (LABELS, 500_001, 1, False),
        (SCORES + LABELS, 444_444, 1, True),
        (SCORES + LABELS, 444_445, 1, False),
        (TIMES, 10, 1, False),
    ],
)
def test_more_rows_or_files_or_other_types_are_judged_by_spark(
    suite: Any, lines: str, rows: int, files: int, here: bool
) -> None:
    judged, asked = judge(suite(lines)), Rows(table([0.5]), rows, files)
    if here:
        assert judged.failures("predictions", asked.asked) == []
        return
    with pytest.raises(SparkAsked):
        judged.failures("predictions", asked.asked)
    assert asked.read == []


def test_where_executors_run_on_this_machine_more_numbers_are_judged_here(suite: Any) -> None:
    for rows, here in ((12_000_000, True), (12_000_001, False)):
        report = RunReport("p", "s", "r", "published")
        judged = Judge({"predictions": suite(SCORES)}, report, NONE_SENSITIVE, local=True)
        asked = Rows(table([0.5]), rows).asked
        if here:
            assert judged.failures("predictions", asked) == []
        else:
            with pytest.raises(SparkAsked):
                judged.failures("predictions", asked)


def test_values_that_only_spark_may_judge_are_found_when_they_are_read(suite: Any) -> None:
    most = "- expect_column_mean_to_be_between: {column: score, min_value: 0}\n"
    largest = "- expect_column_max_to_be_between: {column: id, max_value: 9}\n"
    large = table([0.5]).set_column(0, "id", pa.array([2**40], pa.int64()))
    with pytest.raises(SparkAsked):
        judge(suite(largest)).failures("predictions", Rows(large).asked)
    assert judge(suite(most)).failures("predictions", Rows(large).asked) == []


def test_rows_that_only_spark_can_read_are_not_judged_here(suite: Any) -> None:
    rows = Rows(table([0.5])).asked
    asked = RowsToJudge(rows.types, rows.rows, rows.files, None, rows.frame)
    with pytest.raises(SparkAsked):
        judge(suite(SCORES)).failures("predictions", asked)
