"""How many rows may fail: the rate at its very limit, and rows that were removed on purpose."""

from __future__ import annotations

from collections import Counter

import pytest

from batchinfer.pipeline.scoring.judging import too_many_failed
from batchinfer.pipeline.scoring.outcome import RunOutcome


def outcome(rows: int, failed: int, removed: int = 0) -> RunOutcome:
    return RunOutcome(
        rows_in=rows,
        rows_quarantined=failed + removed,
        rows_removed=removed,
        reasons=Counter({"model_error": failed, "implausible": removed}),
        examples=["ValueError: no"],
    )


@pytest.mark.parametrize(
    ("rows", "failed", "removed", "allowed", "passes"),
    [
        (100, 5, 0, 0.05, True),
        (100, 6, 0, 0.05, False),
        (100, 0, 0, 0.0, True),
        (100, 1, 0, 0.0, False),
        (0, 0, 0, 0.0, True),
        # Rows that a step removed are no faults, and do not hide faults of the others.
        (100, 0, 99, 0.0, True),
        (100, 1, 98, 0.5, True),
        (100, 2, 97, 0.5, False),
        (100, 100, 0, 1.0, True),
    ],
)
def test_the_rate_is_that_of_the_rows_that_were_to_be_scored(
    rows: int, failed: int, removed: int, allowed: float, passes: bool
) -> None:
    said = too_many_failed(outcome(rows, failed, removed), allowed, {"implausible"})
    assert (said is None) == passes


def test_what_is_said_counts_faults_alone_and_shows_the_first() -> None:
    said = too_many_failed(outcome(1_000, 20, removed=500), 0.01, {"implausible"})
    assert said == (
        "20 of 500 rows could not be scored (model_error 20): a rate of 0.0400; allowed: "
        "checks.max_quarantine_rate 0.01. First: ValueError: no."
    )


def test_a_task_that_gave_up_is_too_much_whatever_the_rate() -> None:
    stopped = outcome(1_000, 1)
    stopped.stopped.append("11 of the first 4096 rows could not be scored")
    assert too_many_failed(stopped, 0.5, ()) is not None
