"""Which labelled rows a model is validated on: those with the lowest key hashes, or the latest by a
column.

By time, a model is judged as it will be used: on what came after all that it learned from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batchinfer.errors import InputError
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.spark.tasks import Work, Workplace, run_tasks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# Statistics of a part of the rows, as the transforms make and merge them.
Partial = dict[str, Any]


@dataclass(frozen=True)
class ValidationRule:
    """Which rows a model is validated on.

    Attributes:
        share: of the rows, by a hash of their key; used where there is no column.
        by: a column of times or numbers.
        last: the greatest value of that column that is still learned from.
    """

    share: float
    by: str | None = None
    last: float = 0.0

    def validated(self, batch: pa.RecordBatch, hashes: np.ndarray) -> np.ndarray:
        """(rows,) bool, from the rows and the (rows,) uint64 hashes of their keys. Runs on: driver
        | executor.
        """
        import numpy as np

        if self.by is None:
            return hashes < np.uint64(int(self.share * 2.0**64))
        return order_numbers(batch.column(self.by)) > self.last

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.by is None else (self.by,)


def choose_validation(
    params: Mapping[str, Any], workplace: Workplace, splits: Sequence[SliceSplit], target: str
) -> ValidationRule:
    """The rule that `train.params` asks for.

    Runs on: driver; by a column, one pass on executors, or here, over that column and the target.
    """
    from batchinfer.models.parameters import VALIDATION_BY_KEY
    from batchinfer.models.training import setting

    by, share = setting(params, "validation_by"), setting(params, "validation_share")
    if by == VALIDATION_BY_KEY:
        return ValidationRule(share)
    return ValidationRule(share, by, _find_last_learned(workplace, splits, by, target, share))


def order_numbers(column: pa.Array) -> np.ndarray:
    """(rows,) float64 in the order of the values; NaN where there is none. Times are exact to the
    microsecond until 2255.

    Runs on: driver | executor.
    """
    import pyarrow as pa

    kinds = pa.types
    if kinds.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if kinds.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
    return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class RanksOf:
    """A split, the column that its rows are ordered by, and the target."""

    split: SliceSplit
    by: str
    target: str


def rank_split(task: RanksOf) -> Iterator[Partial]:
    """Ranks of the column in one split, of the rows that have a target.

    Runs on: executor.
    """
    import numpy as np

    from batchinfer.transforms import Ranks

    partial = Ranks.of(np.zeros(0), task.by)
    for batch in read_rows(task.split, list(dict.fromkeys([task.by, task.target]))):
        labelled = batch.column(task.target).is_valid()
        partial = Ranks.merge(
            partial, Ranks.of(order_numbers(batch.column(task.by).filter(labelled)), ""), ""
        )
    yield partial


def _find_last_learned(
    workplace: Workplace, splits: Sequence[SliceSplit], by: str, target: str, share: float
) -> float:
    """The value of the column that no more than `share` of the labelled rows lie above: these are
    validated on.

    Runs on: driver; one pass on executors, or here, over the two columns.
    """
    from batchinfer.transforms import Ranks, quantile

    tasks = [RanksOf(split, by, target) for split in splits]
    results = run_tasks(
        workplace, Work(rank_split, RanksOf, Partial), tasks, f"finding the latest rows by {by}"
    )
    first, *others = [partial for [partial] in results]
    for partial in others:
        first = Ranks.merge(first, partial, "")
    found = quantile(first, 1 - share)
    if found is None:
        raise InputError(
            f"train.params.validation_by: column {by} has no value in a row with a label; allowed: "
            "one that has"
        )
    return found
