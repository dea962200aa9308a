"""A process beside the driver judges with pandas: the same sentences as by Spark, no JVM, and its
end is told.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest

from batchinfer.checks.judging_process import JudgeLost, JudgingProcess
from batchinfer.checks.suites import Suite, load_suite
from batchinfer.errors import ConfigError
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE, SensitiveColumns

ROWS = pa.table(
    {
        "id": pa.array([1, None, 2**53 + 1, 2]),
        "score": pa.array([0.5, float("nan"), None, None]),
        "word": pa.array(["a", "b", "c", "a"]),
    }
)
LINES = """\
- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1}
- expect_column_values_to_not_be_null: {column: id}
- expect_column_values_to_be_in_set: {column: id, value_set: [1, 2]}
- expect_column_values_to_not_be_null: {column: score, mostly: 0.1}
- expect_column_values_to_be_in_set: {column: word, value_set: [a, b]}
- expect_column_mean_to_be_between: {column: score, min_value: 0}
- expect_table_row_count_to_equal: {value: 4}
"""


Start = Callable[[Mapping[str, Suite]], JudgingProcess]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process that judges, which ends with the test."""
    with contextlib.ExitStack() as started:

        def begin(suites: Mapping[str, Suite]) -> JudgingProcess:
            return started.enter_context(contextlib.closing(JudgingProcess(suites)))

        yield begin


def suite_of(folder: Path, lines: str) -> Suite:
    path = folder / "suite.yaml"
    path.write_text(lines)
    return load_suite(path)


def children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_it_says_of_rows_what_spark_says_and_has_no_spark(start: Start, tmp_path: Path) -> None:
    judging = start({"predictions": suite_of(tmp_path, LINES)})
    report = judging.judge(ROWS, "predictions", "small predictions", NONE_SENSITIVE)
    assert [result["message"].partition("): ")[2] for result in report.results] == [
        "1 of 2 rows (50%) outside, all of them NaN",
        "1 of 4 rows (25%) null",
        "1 of 3 rows (33.33%) not as expected; examples 9007199254740993",
        "3 of 4 rows (75%, allowed 90%) null, 1 of them NaN",
        "1 of 4 rows (25%) not as expected; examples c",
        "does not hold: 1 row NaN",
        "holds: observed 4",
    ]
    assert report.failures() and not report.success and report.seconds > 0
    assert not any("java" in process.name() for process in children())
    hidden = judging.judge(ROWS, "predictions", "again", SensitiveColumns(frozenset({"word"})))
    assert hidden.results[4]["examples"] == ["***"]


def test_an_argument_that_the_library_refuses_is_told_before_any_verdict(
    start: Start, tmp_path: Path
) -> None:
    line = "- expect_column_values_to_match_strftime_format: {column: word, strftime_format: '%Q'}"
    judging = start({"input": suite_of(tmp_path, line)})
    for _ in range(2):
        with pytest.raises(ConfigError, match="strftime_format: got '%Q'"):
            judging.judge(ROWS, "input", "small input", NONE_SENSITIVE)


def test_a_process_that_ends_gives_no_verdict(start: Start, tmp_path: Path) -> None:
    judging = start({"input": suite_of(tmp_path, LINES)})
    (process,) = [one for one in children() if "judging_process" in " ".join(one.cmdline())]
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(JudgeLost, match="the process ended"):
        judging.judge(ROWS, "input", "small input", NONE_SENSITIVE)


def test_what_goes_wrong_in_it_is_told(start: Start, tmp_path: Path) -> None:
    judging = start({"input": suite_of(tmp_path, LINES)})
    none: Any = "predictions"
    with pytest.raises(JudgeLost, match="KeyError: 'predictions'"):
        judging.judge(ROWS, none, "small input", NONE_SENSITIVE)
