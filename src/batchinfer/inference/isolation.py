"""Finding the rows that a model cannot score, so that the others get their predictions.

Owns the bisection: a batch that fails is halved until the failing rows stand alone. Knows neither
models nor streams.

A batch of n rows of which k fail costs at most about 2k·log2(n) + 1 attempts. A row is quarantined
only after it was in at least two failed attempts, the last of them alone: what fails once and not
again loses nothing. Where a handler names the rows itself before it asks the model
(`errors.UnfitRows`), these are taken out at once, and the others are one batch again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from batchinfer.inference.attempt import (
    NOT_FINITE,
    OUT_OF_MEMORY,
    TOO_LARGE,
    Failure,
    Predictions,
    Runner,
)
from batchinfer.inference.outputs import finite_rows

# Fewer rows may do.
_OF_SIZE = (OUT_OF_MEMORY, TOO_LARGE)


@dataclass
class BatchOutcome:
    """What became of the rows of a batch.

    Attributes:
        predictions: of the rows that `scored` marks, in order.
        scored: `(rows,) bool`.
        failures: why each other row failed, by position.
        attempts: how often the model was tried.
        too_large: the fewest rows for which memory did not suffice though each of them could be
            scored; None if it did.
        stopped: True if more rows failed than were allowed, and the rest was left alone.
    """

    predictions: Predictions
    scored: np.ndarray
    failures: dict[int, Failure] = field(default_factory=dict)
    attempts: int = 0
    too_large: int | None = None
    stopped: bool = False


def isolate(
    batch: pa.RecordBatch,
    runner: Runner,
    may_fail: int | None,
    first: Callable[[], Predictions | Failure] | None = None,
) -> BatchOutcome:
    """Scores all rows of a batch that can be scored, in order, and says why the others cannot.

    Args:
        batch: at least one row.
        runner: how rows are scored.
        may_fail: rows that may fail before the search stops; None: all.
        first: gives the result of the first attempt, where it was begun already.

    Runs on: executor.
    """
    result = first() if first is not None else runner.run(batch)
    if isinstance(result, Failure) and (told := _told(result, batch.num_rows)):
        return _without(batch, told, runner, may_fail)
    return _searched(batch, runner, may_fail, result)


def _told(failure: Failure, rows: int) -> dict[int, Failure]:
    """The rows that a handler named by itself; none where it named rows that there are not."""
    if not all(0 <= row < rows for row in failure.rows):
        return {}
    return {row: Failure(failure.reason, why) for row, why in sorted(failure.rows.items())}


def _without(
    batch: pa.RecordBatch, told: dict[int, Failure], runner: Runner, may_fail: int | None
) -> BatchOutcome:
    """The outcome of a batch of which some rows were named: the others are one batch of their own,
    among which culprits are searched for.
    """
    scored = np.zeros(batch.num_rows, dtype=bool)
    kept = np.delete(np.arange(batch.num_rows), list(told))
    stopped = may_fail is not None and len(told) > may_fail
    if stopped or not len(kept):
        return BatchOutcome(_concatenate([], runner.declared), scored, told, stopped=stopped)
    rest = batch.take(pa.array(kept))
    left = None if may_fail is None else may_fail - len(told)
    outcome = _searched(rest, runner, left, runner.run(rest))
    scored[kept] = outcome.scored
    failures = told | {int(kept[row]): failure for row, failure in outcome.failures.items()}
    return replace(outcome, scored=scored, failures=failures)


def _searched(
    batch: pa.RecordBatch, runner: Runner, may_fail: int | None, first: Predictions | Failure
) -> BatchOutcome:
    outcome = BatchOutcome({}, np.zeros(batch.num_rows, dtype=bool))
    parts: list[Predictions] = []
    exhausted: list[tuple[int, int]] = []
    waiting = [
        (0, batch.num_rows, False)
    ]  # start, rows, whether these rows have been in a failed attempt
    while waiting and (may_fail is None or len(outcome.failures) <= may_fail):
        start, rows, suspected = waiting.pop()
        result = runner.run(batch.slice(start, rows), probing=rows > 1) if suspected else first
        outcome.attempts += 1
        if not isinstance(result, Failure):
            parts.append(_keep_finite(result, start, rows, outcome))
            continue
        if result.reason in _OF_SIZE:
            exhausted.append((start, rows))
        if rows == 1 and suspected:
            outcome.failures[start] = result
        else:
            waiting += reversed(list(_halves(start, rows)))
    outcome.stopped = may_fail is not None and len(outcome.failures) > may_fail
    outcome.predictions = _concatenate(parts, runner.declared)
    outcome.too_large = _too_large(exhausted, outcome.failures)
    return outcome


def _halves(start: int, rows: int) -> Iterator[tuple[int, int, bool]]:
    half = rows // 2
    if half:
        yield start, half, True
    yield start + half, rows - half, True


def _keep_finite(
    predictions: Predictions, start: int, rows: int, outcome: BatchOutcome
) -> Predictions:
    """Marks the rows that were scored; rows with NaN or infinity fail, and are left out of what is
    returned.
    """
    finite = finite_rows(predictions, rows)
    if finite is None:
        outcome.scored[start : start + rows] = True
        return predictions
    outcome.scored[start : start + rows] = finite
    for row in np.flatnonzero(~finite).tolist():
        outcome.failures[start + row] = Failure(NOT_FINITE, _what_is_not_finite(predictions, row))
    mask = pa.array(finite)
    return {name: array.filter(mask) for name, array in predictions.items()}


def _what_is_not_finite(predictions: Predictions, row: int) -> str:
    bad = [
        name
        for name, array in predictions.items()
        if finite_rows({name: array.slice(row, 1)}, 1) is not None
    ]
    shown = ", ".join(f"{name} = {str(predictions[name][row].as_py())[:200]}" for name in bad)
    return f"the model gave {shown}; allowed: finite numbers"


def _concatenate(parts: list[Predictions], declared: Mapping[str, pa.DataType]) -> Predictions:
    if len(parts) == 1:
        return parts[0]
    return {
        name: pa.concat_arrays([part[name] for part in parts]) if parts else pa.array([], type_)
        for name, type_ in declared.items()
    }


def _too_large(exhausted: list[tuple[int, int]], failures: dict[int, Failure]) -> int | None:
    """A part that holds a row which exhausts memory all alone says nothing about how many rows
    fit.
    """
    alone = [row for row, failure in failures.items() if failure.reason in _OF_SIZE]
    sizes = [
        rows
        for start, rows in exhausted
        if rows > 1 and not any(start <= row < start + rows for row in alone)
    ]
    return min(sizes, default=None)
