"""Equal rows of a batch, scored once.

Owns the finding of equal rows by their fingerprints, the decision whether to look for them at all,
and the spreading of what became of the distinct rows over all of them. Knows neither models nor
streams.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from batchinfer.inference.isolation import BatchOutcome

# Scoring distinct rows only is worth the gathering and spreading if at least this share of a batch
# repeats.
_WORTH_SHARING = 0.1
# So many batches without enough equal rows, and only one batch in so many is looked at.
_PATIENCE, _SELDOM = 8, 16


class Distinct(NamedTuple):
    """The distinct rows among some.

    Attributes:
        first: `(distinct,) int64`, where each of them stands first.
        equals: `(rows,) int32`, which of them each row equals.
    """

    first: np.ndarray
    equals: np.ndarray


class Repeats:
    """Decides from batch to batch whether looking for equal rows pays: a stream that had none is
    looked at now and then.
    """

    def __init__(self) -> None:
        self._batches = self._in_vain = 0

    def find(self, fingerprints: pa.Array) -> Distinct | None:
        """The distinct rows of the next batch; None if too few rows repeat, or this batch is not
        looked at.
        """
        self._batches += 1
        if self._in_vain >= _PATIENCE and self._batches % _SELDOM:
            return None
        encoded = fingerprints.dictionary_encode()
        rows = len(fingerprints)
        if rows - len(encoded.dictionary) < _WORTH_SHARING * rows:
            self._in_vain += 1
            return None
        self._in_vain = 0
        return distinct_rows(encoded)


def distinct_rows(encoded: pa.DictionaryArray) -> Distinct:
    """The distinct rows among some, in the order of the dictionary of their fingerprints."""
    equals = encoded.indices.to_numpy()
    first = np.empty(len(encoded.dictionary), dtype=np.int64)
    first[equals[::-1]] = np.arange(len(equals))[
        ::-1
    ]  # the last write to each place is the first row that has its value
    return Distinct(first, equals)


def spread(outcome: BatchOutcome, equals: np.ndarray) -> BatchOutcome:
    """The outcome of all rows from that of the distinct ones; `equals` says which distinct row each
    row equals.
    """
    scored = outcome.scored[equals]
    place = np.cumsum(outcome.scored) - 1
    rows = pa.array(place[equals[scored]])
    return BatchOutcome(
        predictions={name: array.take(rows) for name, array in outcome.predictions.items()},
        scored=scored,
        failures={
            row: outcome.failures[at]
            for row, at in enumerate(equals.tolist())
            if at in outcome.failures
        },
        attempts=outcome.attempts,
        too_large=outcome.too_large,
        stopped=outcome.stopped,
    )
