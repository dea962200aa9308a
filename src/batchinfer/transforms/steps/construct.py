"""Steps that make new columns of old ones, which stay: `cross`, `polynomial`, `ratio`; and
`bucketize`, in place.

Owns the names of made columns. Missing in one of a row's inputs makes the number missing; `cross`
has a bucket for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations_with_replacement
from typing import Annotated, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from batchinfer.transforms.category_places import combined, hashes
from batchinfer.transforms.column import (
    CATEGORIES,
    NUMBERS,
    Coded,
    Column,
    OneHotColumn,
    coded,
    numbers,
    unencoded,
)
from batchinfer.transforms.statistics import Ranks, Statistic, quantile
from batchinfer.transforms.step import Fields, Json, RowStep, State


class Cross(RowStep):
    """`a_x_b`: a vector of `buckets` with a one in the bucket of the hash of the row's categories
    together.

    Reads the categories also of columns that an earlier step has encoded. Missing is a category of
    its own.

    Attributes:
        columns: whose categories are taken together.
        buckets: length of the vector.
    """

    name: ClassVar[str] = "cross"
    accepts: ClassVar[tuple[str, ...]] = CATEGORIES
    in_place: ClassVar[bool] = False

    columns: Annotated[tuple[str, ...], Field(min_length=2)]
    buckets: int = Field(ge=1, le=1_000_000)

    def makes(self) -> Fields:
        return {"_x_".join(self.columns): pa.list_(pa.float32(), self.buckets)}

    def reads(self, available: Collection[str]) -> list[str]:
        return [unencoded(name) if unencoded(name) in available else name for name in self.columns]

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        first, *others = (coded(frame[name]) for name in self.reads(frame))
        # hashes[codes] of the columns so far: a table over distinct values as long as it is small,
        # else one entry a row.
        table, codes = hashes(first.values), first.codes
        for other in others:
            table, codes = _paired(table, codes, other)
        bucket = (table % np.uint64(self.buckets)).astype(np.int64)
        frame["_x_".join(self.columns)] = OneHotColumn(bucket[codes], self.buckets)


def _paired(table: np.ndarray, codes: np.ndarray, other: Coded) -> tuple[np.ndarray, np.ndarray]:
    right = hashes(other.values)
    if len(table) * len(right) <= max(len(codes), 64):
        # Code -1 counts from the end of its own table, which is where the hash of missing stands.
        row, column = codes % len(table), other.codes % len(right)
        return combined(table[:, None], right[None, :]).reshape(-1), row * len(right) + column
    return combined(table[codes], right[other.codes]), np.arange(len(codes))


class Polynomial(RowStep):
    """Products of the columns from degree 2 up to `degree`, as double: `a^2`, `a*b`, `a^2*b` … in
    the order of degree.

    Attributes:
        degree: of the greatest products.
    """

    name: ClassVar[str] = "polynomial"
    accepts: ClassVar[tuple[str, ...]] = NUMBERS
    in_place: ClassVar[bool] = False

    degree: int = Field(2, ge=2, le=6)

    @property
    def powers(self) -> list[tuple[int, ...]]:
        """For each product, the places in `columns` of its factors."""
        places = range(len(self.columns))
        return [
            power
            for degree in range(2, self.degree + 1)
            for power in combinations_with_replacement(places, degree)
        ]

    def makes(self) -> Fields:
        return {self._product_name(power): pa.float64() for power in self.powers}

    def _product_name(self, power: tuple[int, ...]) -> str:
        counts = {place: power.count(place) for place in power}
        return "*".join(
            self.columns[place] + (f"^{count}" if count > 1 else "")
            for place, count in counts.items()
        )

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        values = [numbers(frame[name]) for name in self.columns]
        with np.errstate(all="ignore"):
            for power in self.powers:
                product = values[power[0]] * values[power[1]]
                for place in power[2:]:
                    product *= values[place]
                frame[self._product_name(power)] = product


class Ratio(RowStep):
    """`a_per_b`: the first column divided by the second, as double; missing where the second is
    0.

    Attributes:
        columns: the one that is divided, and the one that it is divided by.
    """

    name: ClassVar[str] = "ratio"
    accepts: ClassVar[tuple[str, ...]] = NUMBERS
    in_place: ClassVar[bool] = False

    columns: Annotated[tuple[str, ...], Field(min_length=2, max_length=2)]

    def makes(self) -> Fields:
        return {f"{self.columns[0]}_per_{self.columns[1]}": pa.float64()}

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        above, below = (numbers(frame[name]) for name in self.columns)
        with np.errstate(all="ignore"):
            frame[f"{self.columns[0]}_per_{self.columns[1]}"] = above / np.where(
                below == 0, np.nan, below
            )


class Bucketize(RowStep):
    """The number of edges that are not above the value, as bigint: 0 below the first edge; missing
    stays missing.

    `edges` are numbers in ascending order. `quantiles` is a number of equally filled buckets, or a
    list of fractions between 0 and 1; edges that fall together are one, and a column without values
    has none.

    Attributes:
        edges: numbers in ascending order; either this or `quantiles`.
        quantiles: a number of buckets that hold equally many rows, or a list of fractions; either
            this or `edges`.
    """

    name: ClassVar[str] = "bucketize"
    accepts: ClassVar[tuple[str, ...]] = NUMBERS

    edges: tuple[float, ...] | None = None
    quantiles: int | tuple[float, ...] | None = None

    @field_validator("quantiles")
    @classmethod
    def _fractions(
        cls, quantiles: int | tuple[float, ...] | None
    ) -> int | tuple[float, ...] | None:
        if isinstance(quantiles, int) and quantiles < 2:
            raise ValueError("a number of buckets from 2 up")
        if isinstance(quantiles, tuple) and not (quantiles and all(0 < at < 1 for at in quantiles)):
            raise ValueError("fractions between 0 and 1")
        return quantiles

    @model_validator(mode="after")
    def _edges_or_quantiles(self) -> Bucketize:
        if (self.edges is None) == (self.quantiles is None):
            raise ValueError("give either edges or quantiles")
        if self.edges is not None and not (
            self.edges and np.all(np.isfinite(self.edges)) and np.all(np.diff(self.edges) > 0)
        ):
            raise ValueError(
                f"edges: got {list(self.edges)}; allowed: one or more finite numbers in ascending "
                "order"
            )
        return self

    def changed_type(self, before: pa.DataType, state: Json) -> pa.DataType:
        return pa.int64()

    def statistic(self) -> type[Statistic] | None:
        return None if self.quantiles is None else Ranks

    def conclude(self, partial: Json) -> Json:
        count = self.quantiles
        fractions = (
            [place / count for place in range(1, count)]
            if isinstance(count, int)
            else list(count or ())
        )
        found = {quantile(partial, at) for at in fractions}
        return {"edges": sorted(edge for edge in found if edge is not None)}

    def prepare(self, fields: Mapping[str, pa.DataType], state: State) -> Any:
        edges = {
            name: self.edges if state is None else state[name]["edges"] for name in self.columns
        }
        return {name: np.array(found, np.float64) for name, found in edges.items()}

    def transform(self, frame: dict[str, Column], prepared: Any) -> None:
        for name, edges in prepared.items():
            values = numbers(frame[name])
            frame[name] = pa.array(
                np.searchsorted(edges, values, side="right"), mask=np.isnan(values)
            )
