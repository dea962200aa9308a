"""Finding the rows that a model cannot score, so that the others get their predictions.

Owns the bisection: a batch that fails is halved until the failing rows stand alone. Knows neither
models nor streams.

A batch of n rows of which k fail costs at most about 2k·log2(n) + 1 attempts. A row is quarantined
only after it was in at least two failed attempts, the last of them alone: what fails once and not
again loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

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
    outcome = BatchOutcome({}, np.zeros(batch.num_rows, dtype=bool))
    parts: list[Predictions] = []
    exhausted: list[tuple[int, int]] = []
    waiting = [
        (0, batch.num_rows, False)
    ]  # start, rows, whether these rows have been in a failed attempt
    while waiting and (may_fail is None or len(outcome.failures) <= may_fail):
        start, rows, suspected = waiting.pop()
        if first is not None:
            result, first = first(), None
        else:
            result = runner.run(
                batch.slice(start, rows) if suspected else batch, probing=suspected and rows > 1
            )
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
