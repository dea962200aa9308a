"""A handler whose model takes columns by name, derived ones among them.

Owns the way from landed columns to those that such a model is handed. What is derived, and how, is
the step's to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from batchinfer.models.handler import Around, Handler
from batchinfer.transforms import Derive, TransformPipeline, frame_of


class HandedColumns:
    """The columns that a model is handed: landed ones, and those that are derived of them.

    Args:
        transforms: begins with the step `derive`.
        names: of the columns, in the model's order.

    Attributes:
        sources: the landed columns that they are made of.
    """

    def __init__(self, transforms: TransformPipeline, names: Sequence[str]) -> None:
        step = transforms.steps[0]
        assert isinstance(step, Derive), "only such bundles name columns that are handed over"
        self.step, self.names = step, tuple(names)
        self.fields = {name: transforms.fields[name] for name in step.columns}
        own = [name for name in self.names if name not in step.makes()]
        self.sources = tuple(dict.fromkeys([*own, *step.columns]))

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The columns of these rows.

        Runs on: driver | executor.

        Raises:
            InputError: a column is absent or of another type.
            UnfitRows: rows that an expression fails on.
        """
        derived: dict[str, Any] = frame_of(batch, self.fields)
        self.step.transform(derived, None)
        made = self.step.makes()
        arrays = [derived[name] if name in made else batch.column(name) for name in self.names]
        return pa.RecordBatch.from_arrays(arrays, names=list(self.names))


class Deriving(Around):
    """Another handler, which is handed derived columns beside the landed ones."""

    def __init__(self, inner: Handler, handed: HandedColumns) -> None:
        super().__init__(inner)
        self.handed = handed
        if (weigh := getattr(inner, "weight", None)) is not None:
            self.weight = lambda batch: weigh(handed.of(batch))

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        return self.inner.encode(self.handed.of(batch))

    def forward(self, tensors: dict[str, Any]) -> Any:
        return self.inner.forward(tensors)
