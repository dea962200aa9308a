"""What is judged of a slice before it is published: suites of expectations on frames, and the share
of rows that failed.

Knows no attempt and commits nothing: it says what is wrong, and whoever asked decides.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from batchinfer.command_reports import RunReport
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.pipeline.definition.quarantine_rate import is_too_many, told_rate
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.report.terminal import step

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from batchinfer.checks.suites import Suite


class Judge:
    """Runs the suites of one attempt, and counts what they said in its report.

    Attributes:
        results: of all expectations so far, each with the suite that it is of.

    Runs on: driver.
    """

    def __init__(
        self, suites: dict[str, Suite], report: RunReport, sensitive: SensitiveColumns
    ) -> None:
        self.suites, self.report, self._sensitive = suites, report, sensitive
        self.results: list[dict[str, Any]] = []

    def prepare(self) -> None:
        """Great Expectations judges the suites' arguments before a row is read, not after all are
        scored.
        """
        if not self.suites:
            return
        with step("reading the expectations"):
            from batchinfer.checks.expectations import build_suite

            for kind, suite in self.suites.items():
                build_suite(suite, kind)

    def failures(self, frame: DataFrame, kind: str) -> list[str]:
        """What the suite of this kind says against the rows; empty where it holds."""
        from batchinfer.checks.expectations import run_suite

        judged = "the input" if kind == "input" else f"the {kind}"
        with step(f"checking {judged} of slice {self.report.slice}"):
            verdict = run_suite(
                frame, self.suites[kind], f"{self.report.pipeline} {kind}", self._sensitive
            )
        self.results += [{"suite": kind, **result} for result in verdict.results]
        report = self.report
        report.checks_passed = sum(result["success"] for result in self.results)
        report.checks_failed = [result for result in self.results if not result["success"]]
        seconds = report.stage_seconds
        seconds["checks"] = round(seconds.get("checks", 0.0) + verdict.seconds, 3)
        return verdict.failures()


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
