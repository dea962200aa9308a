"""`TransformPipeline`: fitted steps, applied to batches, at training, in batch and online alike.

Owns the matrix that the model gets, its width and names, and the JSON form of the fitted state.
Knows no Spark and nothing of how the state was fitted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.errors import InputError, ModelError
from batchinfer.transforms.check import (
    fed_columns,
    matrix_problems,
    source_columns,
    types_before,
    walk,
)
from batchinfer.transforms.column import (
    Column,
    arrow_column,
    is_arrow,
    is_unencoded,
    kind,
    places_of,
    write,
)
from batchinfer.transforms.known_steps import STORED_STEPS
from batchinfer.transforms.parse import dump_steps, load_steps
from batchinfer.transforms.step import Fields, RowStep, State, StepProblem
from batchinfer.transforms.supervised import ROW_HASH
from batchinfer.transforms.type_names import dump_fields, load_fields

FEATURES = "features"
FORMAT = 1
_BLOCK_ROWS = 1024
"""The matrix is written so many rows at a time: a block stays in the processor's cache while its
columns are filled.
"""


@dataclass(frozen=True)
class IntegerInput:
    """A named integer input: values from 0 to `vocabulary` - 1; (rows,) where `length` is None,
    else (rows, length).
    """

    vocabulary: int
    length: int | None = None


@dataclass(frozen=True)
class Inputs:
    """What the model gets: the columns that make up the float32 matrix `features`, and the named
    integer inputs.
    """

    features: tuple[str, ...]
    integers: dict[str, IntegerInput]


def frame_of(batch: pa.RecordBatch, sources: Mapping[str, pa.DataType]) -> dict[str, Column]:
    """The named columns of a batch, as the types that they had at fit.

    Raises:
        InputError: columns that are absent, or values that the type cannot hold.
    """
    names = batch.schema.names
    absent = [name for name in sources if name not in names]
    if absent:
        raise InputError(
            [f"column '{name}' is absent; columns there: {', '.join(names)}" for name in absent]
        )
    frame: dict[str, Column] = {}
    for name, type_ in sources.items():
        array = batch.column(name)
        if array.type != type_:
            try:
                # Timestamps may lose digits below their unit (pandas hands over nanoseconds);
                # nothing else may.
                array = array.cast(type_, safe=kind(type_) != "timestamp")
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(
                    f"column '{name}': got {array.type}; allowed: what fits {type_} ({error})"
                ) from error
        frame[name] = array
    return frame


class TransformPipeline:
    """Steps with their states, ready to apply to any rows alone: a batch gives what its rows one by
    one give.

    Args:
        steps: as parsed.
        fields: types of the source columns; those that no step reads are ignored.
        states: of each fitted step, by its place among the steps ("0", "1" …), as `finish_pass`
            gives them.

    Raises:
        StepProblem: the steps do not fit the columns.
    """

    def __init__(
        self,
        steps: Sequence[RowStep],
        fields: Mapping[str, pa.DataType],
        states: Mapping[str, State],
    ) -> None:
        self.steps = list(steps)
        self.states: list[State] = [states.get(str(place)) for place in range(len(self.steps))]
        unfitted = [
            step.name
            for step, state in zip(self.steps, self.states, strict=True)
            if step.fitted and state is None
        ]
        if unfitted:
            raise StepProblem(f"not fitted: {', '.join(unfitted)}")
        found = walk(self.steps, fields, states)
        if found.problems:
            raise StepProblem([problem.message for problem in found.problems])
        types = types_before(self.steps, fields, states)
        self.source_columns: list[str] = source_columns(self.steps, types[0])
        self.fields: Fields = {name: types[0][name] for name in self.source_columns}
        self._types = {
            name: type_
            for name, type_ in found.fields.items()
            if name in self.fields or name in found.writer
        }
        self._after = types[1:]
        self._prepared = [
            (step, step.prepare(before, state))
            for step, before, state in zip(self.steps, types, self.states, strict=False)
        ]
        self._writer = {name: found.writer[name] for name in fed_columns(found)}
        self._inputs = self._sorted_inputs()
        self._starts, self.width = self._layout()
        self._no_matrix = matrix_problems(self.steps, fields, found)
        self._missing_as = {
            name: np.nan if self.steps[place].keeps_missing else 0.0
            for name, place in self._writer.items()
        }

    def _sorted_inputs(self) -> Inputs:
        features, integers = [], {}
        for name, place in self._writer.items():
            step = self.steps[place]
            if step.integers:
                integers[name] = IntegerInput(
                    *step.integer_shape((self.states[place] or {}).get(name))
                )
            else:
                features.append(name)
        return Inputs(tuple(features), integers)

    def _layout(self) -> tuple[dict[str, int], int]:
        starts, start = {}, 0
        for name in self._inputs.features:
            starts[name] = start
            type_ = self._types[name]
            start += places_of(type_)
        return starts, start

    def inputs(self) -> Inputs:
        """Which columns make up the matrix, and which are named integer inputs, in order of first
        mention.
        """
        return self._inputs

    def fed_columns(self) -> list[str]:
        """The columns that make up the matrix, without those that `select` left nothing of."""
        return [name for name in self._inputs.features if places_of(self._types[name])]

    def feature_names(self) -> list[str]:
        """One name for each column of the matrix, such as `age` or `sex=Male`."""
        named: dict[str, list[str]] = {}
        for step, state, after in zip(self.steps, self.states, self._after, strict=True):
            for name in (*(step.columns if step.in_place else ()), *step.makes()):
                type_ = after[name]
                before = named.get(name, [name])
                named[name] = (
                    step.vector_names(name, state, places_of(type_), before)
                    if kind(type_) == "vector"
                    else [name]
                )
        return [place for name in self._inputs.features for place in named.get(name, [name])]

    def _frame(self, batch: pa.RecordBatch, hashes: np.ndarray | None = None) -> dict[str, Column]:
        frame = frame_of(batch, self.fields)
        if hashes is not None:
            frame[ROW_HASH] = hashes
        for step, prepared in self._prepared:
            step.transform(frame, prepared)
        return frame

    def apply(self, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """The source columns as the steps leave them, then the columns that they made; rows as many
        and in order.

        Numbers are double with null for missing; vectors are fixed-size lists of float32. Runs on:
        driver | executor

        Raises:
            InputError: a column is absent or of another type.
        """
        frame = self._frame(batch)
        return {
            name: arrow_column(frame[name], type_)
            for name, type_ in self._types.items()
            if not is_unencoded(name)
        }

    def matrix(self, batch: pa.RecordBatch) -> np.ndarray:
        """The model's input: (rows, width) float32, C-contiguous; 0 where a number is missing, NaN
        where `keep` named it last. Runs on: driver | executor

        Raises:
            InputError: a column is absent or of another type.
        """
        return self._filled(self._frame(batch), batch.num_rows)

    def tensors(
        self,
        batch: pa.RecordBatch,
        hashes: np.ndarray | None = None,
        missing_as: float | None = None,
    ) -> dict[str, np.ndarray]:
        """All inputs of the model by name: `features` as `matrix` (left out if there are only
        integer inputs), and each named integer input as (rows,) or (rows, length) int64. Runs on:
        driver | executor

        Args:
            hashes: (rows,) uint64 of the rows' keys, as at fit, for rows that the steps were fitted
                on: an encoding of the target then leaves each row's own fold out.
            missing_as: what a missing number is in the matrix; None: 0, and NaN where it is kept.

        Raises:
            InputError: a column is absent or of another type.
        """
        frame = self._frame(batch, hashes)
        result = (
            {FEATURES: self._filled(frame, batch.num_rows, missing_as)}
            if self.width or not self._inputs.integers
            else {}
        )
        for name in self._inputs.integers:
            column = frame[name]
            result[name] = column.to_numpy() if is_arrow(column) else np.asarray(column)
        return result

    def _filled(
        self, frame: Mapping[str, Column], rows: int, missing_as: float | None = None
    ) -> np.ndarray:
        if self._no_matrix:
            raise InputError(self._no_matrix)
        matrix = np.zeros((rows, self.width), np.float32)
        with np.errstate(over="ignore"):
            for first in range(0, rows, _BLOCK_ROWS):
                block = slice(first, first + _BLOCK_ROWS)
                for name, start in self._starts.items():
                    missing = self._missing_as[name] if missing_as is None else missing_as
                    write(frame[name], matrix[block], start, block, missing)
        return matrix

    def undo(self, column: str) -> list[Any]:
        """What leads from the values that the steps made of a column back to its own, in order;
        JSON-able.

        Raises:
            StepProblem: no step changes the column, or one of them cannot be undone.
        """
        pairs = list(zip(self.steps, self.states, strict=True))
        if not any(step.in_place and column in step.columns for step, _ in pairs):
            changed = dict.fromkeys(
                name for step in self.steps if step.in_place for name in step.columns
            )
            raise StepProblem(
                f"inverse: no step changes a column '{column}'; allowed: "
                f"{', '.join(changed) or 'none'}"
            )
        found: list[Any] = []
        for step, state in reversed(pairs):
            if step.in_place and column in step.columns:
                found += step.undo((state or {}).get(column))
        return found

    def released(self) -> TransformPipeline:
        """The same without what only the rows that were learned from need: what goes into a
        bundle.
        """
        pairs = zip(self.steps, self.states, strict=True)
        states = {str(place): step.released(state) for place, (step, state) in enumerate(pairs)}
        return TransformPipeline(self.steps, self.fields, states)

    def to_json(self) -> dict[str, Any]:
        """Steps, versions, source columns and states, JSON-able and readable; numbers come back bit
        for bit.
        """
        items = zip(dump_steps(self.steps), self.steps, self.states, strict=True)
        return {
            "format": FORMAT,
            "fields": dump_fields(self.fields, self.source_columns),
            "steps": [
                {"step": item, "version": step.version, "state": state}
                for item, step, state in items
            ],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TransformPipeline:
        """The pipeline that `to_json` wrote.

        Raises:
            ModelError: another format, a step of another version, or a state that does not fit its
                step.
        """
        if value.get("format") != FORMAT:
            raise ModelError(
                f"fitted transforms of format {value.get('format')!r}; this release reads format "
                f"{FORMAT}"
            )
        try:
            entries = value["steps"]
            steps, problems = load_steps([entry["step"] for entry in entries])
            texts = [problem.message for problem in problems] or _version_problems(entries)
            if texts:
                raise ModelError(
                    [f"fitted transforms: {text}" for text in texts],
                    "train or register the bundle again",
                )
            states = {str(place): entry["state"] for place, entry in enumerate(entries)}
            return cls(steps, load_fields(value["fields"]), states)
        except (StepProblem, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"fitted transforms: a state does not fit its step ({error})"
            ) from error

    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: what identifies the fitted transforms."""
        text = json.dumps(
            self.to_json(),
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            allow_nan=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()


def _version_problems(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    problems = []
    for entry in entries:
        (name,) = entry["step"]
        if entry["version"] != STORED_STEPS[name].version:
            problems.append(
                f"step {name} was fitted as version {entry['version']}; this release has version "
                f"{STORED_STEPS[name].version}"
            )
    return problems
