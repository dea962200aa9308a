"""What is judged of a slice before it is published: suites of expectations on frames, and the share
of rows that failed.

Knows no attempt and commits nothing: it says what is wrong, and whoever asked decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RunReport
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.definition.quarantine_rate import is_too_many, told_rate
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.report.terminal import step
from batchinfer.spark.jvm import is_running

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from batchinfer.checks.judging_process import JudgingProcess
    from batchinfer.checks.suites import Suite
    from batchinfer.contracts import CheckReport

# Of so many numbers pandas says in this process what Spark's first jobs of a session take seconds
# for, with 50 bytes of memory for each. A driver on a cluster may have little; where executors run
# on this machine, it has more, until a warm Spark is as fast. A text is as slow as so many numbers.
_MOST_NUMBERS, _MOST_NUMBERS_LOCAL = 4_000_000, 12_000_000
_TEXT = 8
# This process reads files one after another.
_MOST_FILES = 64


@dataclass(frozen=True)
class RowsToJudge:
    """Rows that nobody has read yet.

    Attributes:
        types: of their columns, in order.
        files: that they are in.
        table: reads these columns, or all; None: only Spark can.
        frame: the rows for Spark.
    """

    types: Mapping[str, pa.DataType]
    rows: int
    files: int
    table: Callable[[Sequence[str] | None], pa.Table] | None
    frame: Callable[[], DataFrame]


class Judge:
    """Runs the suites of one attempt, and counts what they said in its report.

    Args:
        beside: judges rows that are few; None: this process does, or Spark.
        local: executors run on this machine.

    Attributes:
        results: of all expectations so far, each with the suite that it is of.

    Runs on: driver.
    """

    def __init__(
        self,
        suites: dict[str, Suite],
        report: RunReport,
        sensitive: SensitiveColumns,
        beside: JudgingProcess | None = None,
        local: bool = False,
    ) -> None:
        self.suites, self.report, self._sensitive = suites, report, sensitive
        self._beside = beside
        self._most_numbers = _MOST_NUMBERS_LOCAL if local else _MOST_NUMBERS
        self.results: list[dict[str, Any]] = []

    @property
    def needs_session(self) -> bool:
        """Whether it is Spark that judges, as far as is known by now."""
        return bool(self.suites) and self._beside is None

    def prepare(self) -> None:
        """Great Expectations judges the suites' arguments before a row is read, not after all are
        scored. A process beside says it before its first verdict: that is before anything is
        published.
        """
        if not self.needs_session:
            return
        with step("reading the expectations"):
            from batchinfer.checks.expectations import build_suite

            for kind, suite in self.suites.items():
                build_suite(suite, kind)

    def failures(self, kind: str, rows: RowsToJudge) -> list[str]:
        """What the suite of this kind says against the rows; empty where it holds."""
        from batchinfer.checks.expectations import run_suite

        judged = "the input" if kind == "input" else f"the {kind}"
        name = f"{self.report.pipeline} {kind}"
        with step(f"checking {judged} of slice {self.report.slice}"):
            verdict = self._said_by_pandas(kind, name, rows) or run_suite(
                rows.frame(), self.suites[kind], name, self._sensitive
            )
        self.results += [{"suite": kind, **result} for result in verdict.results]
        report = self.report
        report.checks_passed = sum(result["success"] for result in self.results)
        report.checks_failed = [result for result in self.results if not result["success"]]
        seconds = report.stage_seconds
        seconds["checks"] = round(seconds.get("checks", 0.0) + verdict.seconds, 3)
        return verdict.failures()

    def _said_by_pandas(self, kind: str, name: str, rows: RowsToJudge) -> CheckReport | None:
        """The verdict of pandas, beside the driver or in it; None where Spark has to judge."""
        from batchinfer.checks.pandas_verdicts import columns_judged, kinds_of_values, why_spark

        suite, started = self.suites[kind], time.monotonic()
        columns = columns_judged(suite, list(rows.types))
        soon = self._beside is not None or _are_soon_judged(
            suite, rows, columns, self._most_numbers
        )
        if rows.table is None or not soon:
            return None
        table = rows.table(columns if len(columns) < len(rows.types) else None)
        why = why_spark(suite, kinds_of_values(table))
        if not why:
            said = self._ask(kind, name, table)
            if isinstance(said, str):
                why, self._beside = said, None
                self.report.warnings.append(f"{why}; Spark judged")
            else:
                # With the wait for the library, which the process beside imports first.
                return replace(said, seconds=time.monotonic() - started)
        if not is_running():
            self.report.session = why
        return None

    def _ask(self, kind: str, name: str, table: pa.Table) -> CheckReport | str:
        """The verdict, or why there is none."""
        if self._beside is None:
            from batchinfer.checks.expectations import judge_rows
            from batchinfer.checks.rows_on_pandas import ArrowRows

            return judge_rows(ArrowRows(table), self.suites[kind], name, self._sensitive)
        from batchinfer.checks.judging_process import JudgeLost

        try:
            return self._beside.judge(table, kind, name, self._sensitive)
        except JudgeLost as error:
            return f"the process that judges with pandas gave no verdict: {error}"


def _are_soon_judged(
    suite: Suite, rows: RowsToJudge, columns: Sequence[str], most_numbers: int
) -> bool:
    """Whether pandas may judge the rows, as far as types tell, and soon does."""
    import pyarrow as pa

    from batchinfer.checks.pandas_verdicts import kinds_of_types, why_spark

    types = [rows.types[name] for name in columns]
    texts = sum(not (pa.types.is_primitive(one) and not pa.types.is_date(one)) for one in types)
    values = rows.rows * (len(types) + (_TEXT - 1) * texts)
    few = values <= most_numbers and rows.files <= _MOST_FILES
    return few and not why_spark(suite, kinds_of_types(rows.types))


def too_many_failed(outcome: RunOutcome, allowed: float, declared: Container[str]) -> str | None:
    """What is said where more rows failed than are allowed; None where they are not too many.

    Rows that the pipeline file says to remove are no faults: the rate is that of the others.

    Args:
        allowed: `checks.max_quarantine_rate`, a share of the rows.
        declared: reasons that rows are removed for.
    """
    failed = outcome.rows_quarantined - outcome.rows_removed
    of = outcome.rows_in - outcome.rows_removed
    if not is_too_many(failed, of, allowed) and not outcome.stopped:
        return None
    reasons = {
        reason: count for reason, count in outcome.reasons.most_common() if reason not in declared
    }
    told = told_rate(failed, of, allowed, reasons, "rows could not be scored")
    return f"{told} First: {next(iter(outcome.examples), 'none')}."
