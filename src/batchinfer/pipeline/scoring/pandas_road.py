"""Rows through pandas and out of it again, the same: what pandas cannot carry, Spark packs into
what it can.

pandas has one word for null and NaN, turns integers with nulls into floats, and knows no time
outside 1677 to 2262. So nulls of numbers and times travel as bits of their own, and times as
microseconds. Inside of lists, structs and maps that is not done: values that may not be what they
were end the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.types as kinds

from batchinfer.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

# Bits of a bigint that is never negative.
_BITS = 62
# Integers up to here are exact as floats, which pandas makes of them where a null stands beside
# them.
_EXACT = 2**53


def packed(frame: DataFrame, types: Mapping[str, pa.DataType]) -> DataFrame:
    """The columns as they can pass, under the names of their places, and the bits of their nulls.
    Runs on: driver.
    """
    from batchinfer.spark.frames import quoted_name

    columns = [
        _packed(quoted_name(name), type_).alias(place_name(place))
        for place, (name, type_) in enumerate(types.items())
    ]
    return frame.select(*columns, *_null_bits(_with_bits(types)))


def place_name(place: int) -> str:
    """What a column is called while it passes: PySpark's `mapInPandas` and `mapInArrow` take no
    names with a dot.
    """
    return f"c{place}"


def _with_bits(types: Mapping[str, pa.DataType]) -> list[str]:
    return [
        name
        for name, type_ in types.items()
        if kinds.is_floating(type_) or kinds.is_int64(type_) or kinds.is_timestamp(type_)
    ]


def _packed(name: str, type_: pa.DataType) -> Column:
    from pyspark.sql import functions as F

    column = F.col(name)
    if kinds.is_timestamp(type_):
        # The session is in UTC: a time without a zone is the same number.
        return F.coalesce(F.unix_micros(column.cast("timestamp")), F.lit(0))
    return F.coalesce(column, F.lit(0).cast("bigint")) if kinds.is_int64(type_) else column


def _null_bits(names: list[str]) -> list[Column]:
    from pyspark.sql import functions as F

    from batchinfer.spark.frames import quoted_name

    found: list[Column] = []
    for start in range(0, len(names), _BITS):
        bits = [
            F.when(F.col(quoted_name(name)).isNull(), F.lit(1 << bit))
            .otherwise(F.lit(0))
            .cast("bigint")
            for bit, name in enumerate(names[start : start + _BITS])
        ]
        found.append(reduce(lambda one, other: one.bitwiseOR(other), bits).alias(_bits_name(start)))
    return found


def _bits_name(start: int) -> str:
    return f"__nulls_{start // _BITS}"


def unpacked(frame: pd.DataFrame, types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """The rows of a frame that `packed` made, in Arrow.

    Runs on: executor.

    Raises:
        InputError: a nested value that pandas may have changed.
    """
    from batchinfer.inference.pandas_columns import arrow_rows

    with_bits = _with_bits(types)
    rest = {name: type_ for name, type_ in types.items() if name not in set(with_bits)}
    names = dict(zip(types, map(place_name, range(len(types))), strict=True))
    arrays: dict[str, Any] = {}
    if rest:
        passing = frame[[names[name] for name in rest]].set_axis(list(rest), axis="columns")
        rows, misfits = arrow_rows((passing,), rest, "UTC")
        if misfits:
            raise InputError(
                f"rows that pandas cannot carry as they are: {next(iter(misfits.values()))}; "
                f"{_ALLOWED}"
            )
        arrays = dict(zip(rest, rows.columns, strict=True))
        for name, array in arrays.items():
            if kinds.is_nested(array.type) and _may_differ(array):
                raise InputError(
                    f"column {name}, {array.type}: pandas cannot tell its nulls from NaN; "
                    f"{_ALLOWED}"
                )
    for place, name in enumerate(with_bits):
        bits = frame[_bits_name(place)].to_numpy()
        is_null = (bits >> (place % _BITS)) & 1 != 0
        arrays[name] = _array(frame[names[name]].to_numpy(), types[name], is_null)
    return pa.RecordBatch.from_arrays([arrays[name] for name in types], names=list(types))


_ALLOWED = "allowed: model.road: auto or arrow"


def _array(values: np.ndarray, type_: pa.DataType, is_null: np.ndarray) -> pa.Array:
    if kinds.is_timestamp(type_):
        return pa.array(values, pa.int64(), mask=is_null).cast(type_)
    return pa.array(values, type_, mask=is_null, from_pandas=False)


def _may_differ(array: pa.Array) -> bool:
    """Whether a nested column has a null that may have been NaN, or integers beside a null that may
    have been rounded.
    """
    values = array.filter(array.is_valid())
    if kinds.is_list(values.type) or kinds.is_large_list(values.type):
        return _may_differ(values.flatten())
    if kinds.is_map(values.type):
        return _may_differ(values.keys) or _may_differ(values.items)
    if kinds.is_struct(values.type):
        return any(_may_differ(values.field(place)) for place in range(values.type.num_fields))
    if not array.null_count:
        return False
    if kinds.is_int64(values.type):
        return bool((np.abs(values.to_numpy().astype(float)) >= _EXACT).any())
    return kinds.is_floating(values.type)
