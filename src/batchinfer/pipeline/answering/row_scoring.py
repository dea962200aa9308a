"""Rows scored in this process: a model that is loaded once, and asked as often as is wanted.

Runs on: driver, without Spark.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyarrow import types as kinds

from batchinfer.contracts import RESOLVED_FOR_S, ModelRef
from batchinfer.errors import ConfigError, InputError, StorageError
from batchinfer.lookups.key_values import convert_value
from batchinfer.lookups.told_rows import json_value
from batchinfer.pipeline.definition.context import Context
from batchinfer.report.terminal import show_line

if TYPE_CHECKING:
    from batchinfer.models.bundle import LoadedBundle

ERROR = "error"
# What a row may have in a column.
A_VALUE = "a value, or null"


@dataclass(frozen=True)
class HeldModel:
    """A model that is loaded.

    Attributes:
        types: Arrow type of each input, in the signature's order.
    """

    ref: ModelRef
    bundle: LoadedBundle
    types: Mapping[str, Any]


class LackingColumns(ConfigError):
    """Rows that lack columns of the model: that a value is missing says null, and silence says
    nothing.

    Attributes:
        lacking: row, from 0, and column.
        told: what is wrong, in a sentence.
    """

    def __init__(self, lacking: Sequence[tuple[int, str]], needed: Sequence[str]) -> None:
        self.lacking, self._needed = tuple(lacking), tuple(needed)
        names = ", ".join(dict.fromkeys(name for _, name in self.lacking))
        self.told = f"rows lack columns of the model: {names}; needed: {', '.join(needed)}"
        each = (f"rows[{row}].{name}: got nothing; allowed: {A_VALUE}" for row, name in lacking)
        super().__init__([self.told, *each])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.lacking, self._needed)


class RowScorer:
    """Scores rows by the bundle that `score` would use. One thread at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._model: HeldModel | None = None
        self._resolve_at = 0.0

    @property
    def is_loaded(self) -> bool:
        """Whether it has a model."""
        return self._model is not None

    def model(self) -> HeldModel:
        """The model of the pipeline; a registry that does not answer changes none that is loaded.

        Raises:
            ModelError: no such model, one that is not trusted, or one that cannot be loaded.
            StorageError: the registry does not answer.
        """
        if self._model is not None and time.monotonic() < self._resolve_at:
            return self._model
        try:
            self._model = self._loaded()
        except StorageError as error:
            if self._model is None:
                raise
            version = f"version {self._model.ref.version}"
            show_line(f"batchinfer: {self._context.name}: {version} stays in use: {error}")
        self._resolve_at = time.monotonic() + RESOLVED_FOR_S
        return self._model

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """{prediction} or {error} of each row, in their order.

        Args:
            rows: column to value. Text stands for days, moments and decimals, too.

        Raises:
            ModelError: as `model` does; columns of the signature that no row has.
            StorageError: the registry does not answer.
        """
        if not rows:
            return []
        from batchinfer.inference.rows import predict_frame

        model = self.model()
        typed = [_typed_row(row, model.types) for row in rows]
        told = predict_frame(model.bundle.handler, typed, model.bundle.signature)
        names = [name for name in told.columns if name != ERROR]
        lineage = {"model_name": model.ref.name, "model_version": model.ref.version}
        return [
            {ERROR: self._context.sensitive.of_row(one[ERROR], row)}
            if one[ERROR] is not None
            else {"prediction": {name: json_value(_plain(one[name])) for name in names} | lineage}
            for one, row in zip(told.to_dict("records"), rows, strict=True)
        ]

    def score_given(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The same of rows that callers wrote: each has all columns of the model's signature.

        Raises:
            LackingColumns: rows that have not.
            ModelError, StorageError: as `score`.
        """
        needed = list(self.model().types)
        lacking = [
            (place, name) for place, row in enumerate(rows) for name in needed if name not in row
        ]
        if lacking:
            raise LackingColumns(lacking, needed)
        return self.score(rows)

    def _loaded(self) -> HeldModel:
        from batchinfer.inference.rows import input_types
        from batchinfer.models.bundle import read_bundle

        registry, model = self._context.registry, self._context.pipeline.model
        ref = registry.resolve(model.uri)
        if self._model is not None and self._model.ref == ref:
            return self._model
        folder = registry.fetch(ref, self._context.bundle_cache)
        bundle = read_bundle(folder, expected_digest=ref.digest, trust=model.trust)
        return HeldModel(ref, bundle, input_types(bundle.signature))


def _typed_row(row: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _typed(name, value, types[name]) if name in types else value
        for name, value in row.items()
    }


def _typed(name: str, value: Any, type_: Any) -> Any:
    """The day, the moment or the decimal that JSON has no words for. What is none becomes text,
    which is an error of its row: Arrow would take 5 for a day, and true for a number.
    """
    if isinstance(value, bool) and kinds.is_floating(type_):
        return str(value).lower()
    if value is None or not (
        kinds.is_date(type_) or kinds.is_timestamp(type_) or kinds.is_decimal(type_)
    ):
        return value
    try:
        return convert_value(name, value, type_)
    except InputError:
        return str(value)


def _plain(value: Any) -> Any:
    """A value of a pandas frame as Python has it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.item() if hasattr(value, "item") else value
