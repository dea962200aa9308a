"""The columns that `derive` makes, in the table of features that the queries of fallbacks read.

Runs on: driver, with Spark; expressions are computed on executors, by the code that scoring uses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from batchinfer.config.shapes.fallback_levels import Fallback
from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.errors import UnfitRows
from batchinfer.spark.frames import quoted_name
from batchinfer.transforms import Derive

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def named_derivation(derive: Mapping[str, str], fallback: Fallback) -> dict[str, str]:
    """The expressions of the derived columns that a level names, and of those that they read.

    A level that names none costs no pass of Python over the features.
    """
    if not derive:
        return {}
    text = " ".join(" ".join((level.sql, *level.by)) for level in fallback.levels)
    wanted = {name for name in derive if _names(text, name)}
    # An expression reads what stands before it.
    for name in reversed(list(derive)):
        if name in wanted:
            wanted |= {other for other in derive if _names(derive[name], other)}
    return {name: derive[name] for name in derive if name in wanted}


def _names(text: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def lacking_columns(derive: Mapping[str, str], columns: list[str]) -> list[str]:
    """The columns that the expressions read and that the table has not, such as those that
    `prepare` makes.
    """
    return [name for name in Derive.of(derive).columns if name not in columns] if derive else []


def with_derived(features: DataFrame, derive: Mapping[str, str]) -> DataFrame:
    """The table with the derived columns behind its own; null in rows that an expression fails on,
    which have no prediction either.

    Raises:
        StepProblem: an expression that the columns do not fit.
    """
    if not derive:
        return features
    step = Derive.of(derive)
    types = {name: features.schema[name].dataType.simpleString() for name in step.columns}
    made = step.output_fields({name: parse_ddl(type_) for name, type_ in types.items()})
    own = {field.name: field.dataType.simpleString() for field in features.schema}
    fields = own | {name: spark_name(made[name]) for name in derive}
    schema = ", ".join(f"{quoted_name(name)} {type_}" for name, type_ in fields.items())
    return features.mapInArrow(DeriveColumns(tuple(derive.items())), schema)


@dataclass(frozen=True)
class DeriveColumns:
    """The function of `mapInArrow` that adds derived columns to batches.

    Attributes:
        expressions: name and text of each, in their order.
    """

    expressions: tuple[tuple[str, str], ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        step = Derive.of(dict(self.expressions))
        for batch in batches:
            frame = dict(zip(batch.schema.names, batch.columns, strict=True))
            # The rows that it names have null by then.
            with suppress(UnfitRows):
                step.transform(frame, None)
            yield pa.RecordBatch.from_pydict(frame)
