"""The target of a stream of batches: what is to be learnt shows in the first batch, the classes
only in the last.

Owns the step from target columns to an objective. Knows no network.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.config.pipeline import Target
from batchinfer.config.suggestions import did_you_mean
from batchinfer.errors import InputError
from batchinfer.models.class_names import OTHER, REST, positive_label, positive_setting
from batchinfer.models.examples import FEATURES, Examples, Inputs
from batchinfer.models.objectives import Objective, binary, multiclass, regression
from batchinfer.models.parameters import Task, task_of
from batchinfer.models.targets import Classes, DistinctValues, check_classes, target_array

# (the model's inputs by name, or `features` (n, width) float32 alone; the target column or its
# numbers (n,); 64-bit hash of the key or validation mask (n,))
Batch = tuple[Any, Any] | tuple[Any, Any, np.ndarray]


class TargetReader:
    """Reads the target of each batch as numbers, and knows at the end what is learnt.

    Args:
        mapped: labels that the steps after the model give another name.
    """

    def __init__(self, target: Target, model: Any, mapped: Collection[str] = ()) -> None:
        self._target = target
        self._mapped = mapped
        self._model = model
        self._task: Task | None = None
        self._classes = Classes(target.column)
        # Values that are not positive, and those that are.
        self._seen = (DistinctValues(), DistinctValues())

    def read(
        self, batches: Iterable[Batch]
    ) -> Iterator[tuple[Inputs, np.ndarray, np.ndarray | None]]:
        """Batches of (inputs by name, target (rows,) float64 with NaN where there is none, hash or
        mask).

        Runs on: driver.

        Raises:
            ConfigError: the model cannot learn such a column.
        """
        for batch in batches:
            column = _array(batch[1])
            if self._task is None:
                self._task = task_of(self._target, column.type, self._model)
            if self._task == "multiclass":
                values = self._classes.codes(column)
            else:
                values = target_array(column, self._target)
            if self._task == "binary":
                for place, seen in enumerate(self._seen):
                    seen.add(column.filter(pa.array(values == place)))
            inputs = {FEATURES: batch[0]} if isinstance(batch[0], np.ndarray) else batch[0]
            yield inputs, values, batch[2] if len(batch) == 3 else None

    def objective(self, learn: Examples, valid: Examples) -> Objective:
        """What is learnt from the rows that were read.

        Runs on: driver.

        Raises:
            InputError: no rows with a target to learn from, or rows of one class only.
        """
        if not len(learn):
            raise InputError(
                f"train.target.column {self._target.column}: got no row to learn from that has a "
                "value "
                f"({len(valid)} to validate on); allowed: more rows, or a smaller "
                "train.params.validation_share"
            )
        if self._task == "multiclass":
            labels, order, counts = self._classes.order()
            check_classes(self._target.column, labels, counts)
            return multiclass(labels, order)
        if self._task == "binary":
            labels = (self._other_label(), positive_label(self._target))
            ones = int(learn.target.sum()) + int(valid.target.sum())
            counts = np.array([len(learn) + len(valid) - ones, ones])
            check_classes(self._target.column, labels, counts, self._reason())
            return binary(labels[1], labels[0])
        scale = float(learn.target.std(dtype=np.float64))
        return regression(float(learn.target.mean(dtype=np.float64)), scale if scale > 0 else 1.0)

    def _other_label(self) -> str:
        """Label of the class that is not positive: its own name where it is one value."""
        name, positive = self._seen[0].only(), positive_label(self._target)
        # Steps that rename `other` were written for a model that says so.
        if name is None or name == positive or (OTHER in self._mapped and name not in self._mapped):
            name = OTHER
        return name if name != positive else REST

    def _reason(self) -> str:
        """What `positive` says, and the values that there are."""
        others, positive = self._seen
        found = others if others.names else positive
        near = next(
            (
                hint
                for name in self._target.positive or ()
                if (hint := did_you_mean(name, found.names))
            ),
            "",
        )
        which = "none" if others.names else "each"
        return (
            f"; {which} of its values is positive by {positive_setting(self._target)}"
            f"{near if others.names else ''}; the values are {found}"
        )


def _array(column: Any) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array(column)
