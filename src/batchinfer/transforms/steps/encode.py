"""Steps that make numbers of categories, in place: `one_hot`, `ordinal`, `hashing`, `frequency`,
`embedding_index`.

Owns how categories are chosen, ordered and looked up. Categories are text, integers or bools; the
empty string is a category like any other. What was never seen at fit is "unseen"; null is
"missing".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from batchinfer.transforms.category_places import Lookup, hashes
from batchinfer.transforms.column import CATEGORIES, Column, OneHotColumn, coded, unencoded
from batchinfer.transforms.statistics import Statistic, ValueCounts, by_frequency, by_value
from batchinfer.transforms.step import Json, RowStep, State


class _Encoder(RowStep):
    accepts: ClassVar[tuple[str, ...]] = CATEGORIES
    encodes: ClassVar[bool] = True


class _Counted(_Encoder):
    def statistic(self) -> type[Statistic]:
        return ValueCounts

    def conclude(self, partial: Json) -> Json:
        return {"categories": [value for value, _ in by_value(partial)]}

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        found = state or {}
        return {
            name: (Lookup(found[name]["categories"], fields[name]), self.table(found[name]))
            for name in self.columns
        }

    def table(self, state: Json) -> np.ndarray:
        """The number of each category."""
        return np.arange(len(state["categories"]))


class OneHot(_Counted):
    """A vector with a one at the category's place; categories in the order of their values.

    Kept are categories that occur `min_count` times at least, the `max_categories` most frequent of
    them (equally frequent ones by value). Missing has a place of its own, the last, if it was seen
    at fit (`min_count` times), over and above `max_categories`. All zeros: unseen, not kept, or
    missing without a place. Fitted on zero rows: no places.

    Attributes:
        max_categories: most places; the most frequent categories have them. Without it, all.
        min_count: rows that a category needs for a place.
    """

    name: ClassVar[str] = "one_hot"

    max_categories: int | None = Field(None, ge=1)
    min_count: int = Field(1, ge=1)

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        width = -1 if state is None else len(state["categories"]) + state["missing"]
        return pa.list_(pa.float32(), width)

    def conclude(self, partial: Json) -> Json:
        kept = [value for value, count in by_frequency(partial) if count >= self.min_count]
        return {
            "categories": sorted(kept[: self.max_categories]),
            "missing": partial["missing"] >= self.min_count,
        }

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        lookups = super().prepare(fields, state)
        return {name: (*lookup, (state or {})[name]["missing"]) for name, lookup in lookups.items()}

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (lookup, table, missing) in prepared.items():
            column = coded(frame[name])
            frame[unencoded(name)] = column
            place = len(table) if missing else -1
            frame[name] = OneHotColumn(lookup.take(column, table, -1, place), len(table) + missing)

    def vector_names(self, column: str, state: State, width: int, before: list[str]) -> list[str]:
        found = (state or {})[column]
        names = [f"{column}={category}" for category in found["categories"]]
        return [*names, f"{column} is missing"] if found["missing"] else names


class Ordinal(_Counted):
    """The category's place among the sorted categories, from 0, as bigint; -1 for unseen and for
    missing.
    """

    name: ClassVar[str] = "ordinal"

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.int64()

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (lookup, table) in prepared.items():
            column = coded(frame[name])
            frame[unencoded(name)] = column
            frame[name] = pa.array(lookup.take(column, table, -1, -1))


class EmbeddingIndex(_Counted):
    """Row of an embedding table, a named integer input of the model: 0 for unseen and missing,
    categories from 1 by value.
    """

    name: ClassVar[str] = "embedding_index"
    integers: ClassVar[bool] = True

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.int64()

    def table(self, state: Json) -> np.ndarray:
        return np.arange(1, len(state["categories"]) + 1)

    def integer_shape(self, state: Json) -> tuple[int, int | None]:
        return len(state["categories"]) + 1, None

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (lookup, table) in prepared.items():
            column = coded(frame[name])
            frame[unencoded(name)] = column
            frame[name] = pa.array(lookup.take(column, table, 0, 0))


class Frequency(_Counted):
    """The category's share of the fitted rows, missing ones counted, as double; 0 for unseen.
    Missing has its share too.
    """

    name: ClassVar[str] = "frequency"

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.float64()

    def conclude(self, partial: Json) -> Json:
        rows = (sum(partial["counts"]) + partial["missing"]) or 1
        pairs = by_value(partial)
        return {
            "categories": [value for value, _ in pairs],
            "shares": [count / rows for _, count in pairs],
            "missing": partial["missing"] / rows,
        }

    def table(self, state: Json) -> np.ndarray:
        return np.array(state["shares"], np.float64)

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        lookups = super().prepare(fields, state)
        return {name: (*lookup, (state or {})[name]["missing"]) for name, lookup in lookups.items()}

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, (lookup, table, missing) in prepared.items():
            column = coded(frame[name])
            frame[unencoded(name)] = column
            frame[name] = lookup.take(column, table, 0.0, missing)


class Hashing(_Encoder):
    """A vector of `buckets` with a one in the bucket of the value's hash; needs no fit, so every
    value has its bucket.

    Missing is hashed as a value of its own, unlike the empty string. See `lookup.hashes` for the
    hash.

    Attributes:
        buckets: length of the vector.
    """

    name: ClassVar[str] = "hashing"

    buckets: int = Field(ge=1, le=1_000_000)

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.list_(pa.float32(), self.buckets)

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name in self.columns:
            column = coded(frame[name])
            frame[unencoded(name)] = column
            bucket = (hashes(column.values) % np.uint64(self.buckets)).astype(np.int64)
            frame[name] = OneHotColumn(bucket[column.codes], self.buckets)
