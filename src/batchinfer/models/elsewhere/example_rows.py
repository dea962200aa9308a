"""Rows to try a model on: landed ones where there are any, else made-up ones of the right types.

Owns what a made-up value is. Knows no model's answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from batchinfer.models.elsewhere.feeds import Feeds
    from batchinfer.models.formats.artifact import ForeignModule

# Of a list column whose length nothing tells.
_LENGTH = 4


def example_rows(
    module: ForeignModule,
    feeds: Feeds,
    fields: Mapping[str, pa.DataType],
    rows: int,
    real_rows: pa.RecordBatch | None,
) -> pa.RecordBatch:
    """So many rows of the columns that a model is fed: landed ones, over and over, where there are
    any.

    Runs on: driver.
    """
    if real_rows is not None and real_rows.num_rows:
        chosen = pa.array(np.arange(rows) % real_rows.num_rows)
        return real_rows.select(list(feeds.columns)).take(chosen)
    types = _lengths(module, feeds, fields)
    return pa.record_batch({name: made_up(types[name], rows) for name in feeds.columns})


def _lengths(
    module: ForeignModule, feeds: Feeds, fields: Mapping[str, pa.DataType]
) -> dict[str, pa.DataType]:
    """The fields, with a length for each list column: what the model's width leaves for it, else a
    few values.
    """
    types = {name: fields[name] for name in feeds.columns}
    for feed in feeds.feeds:
        lists = [name for name in feed.get("columns", ()) if pa.types.is_list(types[name])]
        width = next((one.width for one in module.inputs if one.name == feed["input"]), None)
        for name in lists:
            left = width - len(feed["columns"]) + 1 if width is not None else _LENGTH
            known = len(lists) == 1 and left > 0
            types[name] = pa.list_(types[name].value_type, left if known else _LENGTH)
    return types


def made_up(type_: pa.DataType, rows: int) -> pa.Array:
    """Small numbers, short texts, the first of January 1970: the same every time.

    Runs on: driver.
    """
    if pa.types.is_fixed_size_list(type_):
        return pa.FixedSizeListArray.from_arrays(
            made_up(type_.value_type, rows * type_.list_size), type_.list_size
        )
    if pa.types.is_list(type_):
        return made_up(pa.list_(type_.value_type, _LENGTH), rows).cast(type_)
    if pa.types.is_boolean(type_):
        return pa.array([row % 2 == 0 for row in range(rows)])
    if pa.types.is_string(type_) or pa.types.is_binary(type_):
        return pa.array(["a"] * rows).cast(type_)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_decimal(type_):
        return pa.array([row % 3 for row in range(rows)], pa.int32()).cast(type_)
    if pa.types.is_date(type_) or pa.types.is_timestamp(type_):
        return pa.array([0] * rows, pa.int32() if pa.types.is_date32(type_) else pa.int64()).cast(
            type_
        )
    return pa.nulls(rows, type_)
