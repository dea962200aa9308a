"""What is judged of a slice before it is published: suites of expectations on frames, and the share
of rows that failed.

Knows no attempt and commits nothing: it says what is wrong, and whoever asked decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RunReport
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.definition.quarantine_rate import is_too_many, told_rate
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.report.terminal import step

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from batchinfer.checks.judging_process import JudgingProcess
    from batchinfer.checks.suites import Suite
    from batchinfer.contracts import CheckReport


class Judge:
    """Runs the suites of one attempt, and counts what they said in its report.

    Args:
        beside: judges rows that are few; None: Spark does.

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
    ) -> None:
        self.suites, self.report, self._sensitive = suites, report, sensitive
        self._beside = beside
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

    def failures(
        self, kind: str, table: Callable[[], pa.Table], frame: Callable[[], DataFrame]
    ) -> list[str]:
        """What the suite of this kind says against the rows; empty where it holds.

        Args:
            table: the rows, read where they are few.
            frame: the rows for Spark, asked for where it judges.
        """
        from batchinfer.checks.expectations import run_suite

        judged = "the input" if kind == "input" else f"the {kind}"
        name = f"{self.report.pipeline} {kind}"
        with step(f"checking {judged} of slice {self.report.slice}"):
            verdict = self._said_beside(kind, name, table) or run_suite(
                frame(), self.suites[kind], name, self._sensitive
            )
        self.results += [{"suite": kind, **result} for result in verdict.results]
        report = self.report
        report.checks_passed = sum(result["success"] for result in self.results)
        report.checks_failed = [result for result in self.results if not result["success"]]
        seconds = report.stage_seconds
        seconds["checks"] = round(seconds.get("checks", 0.0) + verdict.seconds, 3)
        return verdict.failures()

    def _said_beside(
        self, kind: str, name: str, table: Callable[[], pa.Table]
    ) -> CheckReport | None:
        """The verdict of the process beside; None where Spark has to judge."""
        if self._beside is None:
            return None
        from batchinfer.checks.judging_process import JudgeLost
        from batchinfer.checks.pandas_verdicts import columns_judged, kinds_of_values, why_spark

        suite, started = self.suites[kind], time.monotonic()
        rows = table()
        rows = rows.select(columns_judged(suite, rows.column_names))
        why = why_spark(suite, kinds_of_values(rows))
        if not why:
            try:
                said = self._beside.judge(rows, kind, name, self._sensitive)
                # With the wait for the library, which the process imports first.
                return replace(said, seconds=time.monotonic() - started)
            except JudgeLost as error:
                why = f"the process that judges with pandas gave no verdict: {error}"
                self._beside = None
                self.report.warnings.append(f"{why}; Spark judged")
        self.report.session = why
        return None


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
