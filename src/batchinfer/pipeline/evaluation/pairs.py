"""Pairs of a prediction and its outcome, as a judge collects them, and what it finds.

Owns what all judges share: which rows are kept, the warnings, and columns as arrays. A judge of
each task stands in `judges` and `class_judge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.pipeline.definition.published_words import PublishedWords

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

ROWS = "rows with an outcome"
_SHOWN = 5


@dataclass(frozen=True)
class JudgedPairs:
    """What was found.

    Attributes:
        task: binary, multiclass or regression.
        rows: that the metrics are of.
        metrics: as training tells them of its validation rows.
        warnings: sentences about what could not be told, or what is doubtful.
    """

    task: str
    rows: int
    metrics: Mapping[str, float]
    measured_against: Mapping[str, str]
    warnings: tuple[str, ...]


@dataclass
class PairJudge:
    """Collects pairs; a kind of judge is a subclass.

    Attributes:
        words: what the predictions say, in terms of the model.
        target: `train.target` of the pipeline, if it has one.
        column: of the outcomes, for messages.
        kept: arrays of each batch, by name.
        unread: rows whose prediction is null or no number.
        infinite: rows whose outcome is infinite, which no metric can be of.
        last: what the last known value of a row is, in words; empty where there is none.
    """

    words: PublishedWords
    target: Target | None
    column: str
    kept: dict[str, list[np.ndarray]] = field(default_factory=dict)
    unread: int = 0
    infinite: int = 0
    last: str = ""

    task = ""

    def add(self, rows: pa.Table) -> None:
        """Pairs whose `outcome` is known. Runs on: driver."""
        raise NotImplementedError

    def metrics(self) -> tuple[dict[str, float], list[str]]:
        """Metrics, and sentences about those that are not told."""
        raise NotImplementedError

    def merge(self, other: PairJudge) -> None:
        """Takes the pairs of another judge of the same kind."""
        for name, arrays in other.kept.items():
            self.kept.setdefault(name, []).extend(arrays)
        self.unread += other.unread
        self.infinite += other.infinite
        if self.words.mean != other.words.mean:
            self.words = replace(self.words, mean=None)

    def judged(self) -> JudgedPairs:
        """What the pairs say; of none, there are no metrics. Runs on: driver."""
        from batchinfer.models.metrics import measured_against, metric_warnings

        rows = sum(map(len, self.kept.get("target", ())))
        if not rows:
            return JudgedPairs(self.task, 0, {}, {}, self._told_unread())
        metrics, warnings = self.metrics()
        return JudgedPairs(
            self.task,
            rows,
            metrics,
            measured_against(metrics, ROWS, self.last),
            (*self._told_unread(), *warnings, *metric_warnings(metrics, ROWS)),
        )

    def _told_unread(self) -> tuple[str, ...]:
        told: list[str] = []
        if self.infinite:
            told.append(
                f"{self.infinite:,} rows have an infinite outcome in column {self.column}, and are "
                "left out"
            )
        if self.unread:
            told.append(
                f"{self.unread:,} rows have an outcome and no prediction that can be judged"
            )
        return tuple(told)

    def keep(self, **arrays: np.ndarray) -> None:
        """Keeps arrays of a batch."""
        for name, array in arrays.items():
            self.kept.setdefault(name, []).append(array)

    def all(self, name: str) -> np.ndarray:
        """What was kept under a name, of all batches."""
        return np.concatenate(self.kept[name])


def places_among(texts: pa.Array, values: Sequence[str]) -> pa.Array:
    """(rows,) place of each text among the values; null for one that is not there."""
    return pc.index_in(texts, value_set=pa.array(values, pa.string()))


def text_of(outcome: pa.Array) -> pa.Array:
    """The outcomes as text; a decimal without the zeros at its end, as names of classes are."""
    if not pa.types.is_decimal(outcome.type):
        return outcome if pa.types.is_string(outcome.type) else outcome.cast(pa.string())
    coded = outcome.dictionary_encode()
    texts = [_shortest(format(value, "f")) for value in coded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(coded.indices)


def _shortest(number: str) -> str:
    return number.rstrip("0").rstrip(".") if "." in number else number


def some_values(counts: Counter[str]) -> str:
    """The most frequent values with their rows, as messages show them."""
    shown = [f"{name!r} ({rows:,} rows)" for name, rows in counts.most_common(_SHOWN)]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def numbers_of(column: pa.ChunkedArray) -> np.ndarray:
    """(rows,) float64, NaN for null."""
    array = array_of(column)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def array_of(column: Any) -> pa.Array:
    """One array of a column; text without a dictionary."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
