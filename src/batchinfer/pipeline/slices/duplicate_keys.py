"""Duplicate keys: found over files, whether committed or only staged, with Spark, or of few rows
with Arrow in this process; both say the same.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from batchinfer.config.uris import join
from batchinfer.contracts import SLICE, SOURCE_FILE
from batchinfer.errors import InputError
from batchinfer.masking.sensitive_columns import NONE_SENSITIVE, SensitiveColumns
from batchinfer.spark.frames import files_frame, quoted_name
from batchinfer.spark.tasks import OpenWorkplace, ThisProcess

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

SliceFile = tuple[str | None, str]
_FILE, _COMING = "__file", "__coming"
_WITHIN, _COUNT = "__slice", "count_all"
_EXAMPLES = 3


def raise_duplicates(
    open_workplace: OpenWorkplace,
    table: str,
    before: Sequence[SliceFile],
    coming: Sequence[SliceFile],
    key: Sequence[str],
    replaced: Sequence[str] = (),
    hint: str | None = None,
    sensitive: SensitiveColumns = NONE_SENSITIVE,
) -> None:
    """Ends with three examples if a key stands twice in one slice.

    Args:
        before: (slice, path below the table) of files that a commit refers to.
        coming: the same of files that are only staged.
        replaced: source files whose rows in `before` are about to go.
        hint: in place of that for any duplicate.
        sensitive: columns whose values no example shows.

    Runs on: driver, one aggregation for all slices: of Spark, or here.

    Raises:
        InputError: with the examples.
    """
    files = [
        *((slice_, path, False) for slice_, path in before),
        *((slice_, path, True) for slice_, path in coming),
    ]
    if not files:
        return
    workplace = open_workplace()
    if isinstance(workplace, ThisProcess):
        keys = _keys_of(table, files, key, replaced)
        _raise_examples(_repeated(keys, key), table, key, hint, sensitive)
    else:
        rows = _rows_of(workplace, table, files, key, replaced)
        raise_duplicate_keys(rows, table, key, hint, sensitive)


def _rows_of(
    spark: SparkSession,
    table: str,
    files: Sequence[tuple[str | None, str, bool]],
    key: Sequence[str],
    replaced: Sequence[str],
) -> DataFrame:
    """The keys of files, without rows that go, and the slice of each."""
    from pyspark.sql import functions as F

    # Names of staged files are unique. Files that the join does not find are of no slice: their
    # keys would repeat, not pass.
    named = [(path.rsplit("/", 1)[-1], slice_, is_coming) for slice_, path, is_coming in files]
    of_files = spark.createDataFrame(named, f"{_FILE} string, {SLICE} string, {_COMING} boolean")
    # One read for all files: a frame a file makes a plan that takes longer than the check.
    rows = files_frame(spark, table, [path for _, path, _ in files])
    columns = [F.col(quoted_name(name)) for name in dict.fromkeys([*key, SOURCE_FILE])]
    rows = rows.select(*columns, F.col("_metadata.file_name").alias(_FILE)).join(
        F.broadcast(of_files), _FILE, "left"
    )
    if replaced:
        gone = spark.createDataFrame(
            [(name, False) for name in replaced], f"{SOURCE_FILE} string, {_COMING} boolean"
        )
        rows = rows.join(F.broadcast(gone), [SOURCE_FILE, _COMING], "left_anti")
    return rows


def _keys_of(
    table: str,
    files: Sequence[tuple[str | None, str, bool]],
    key: Sequence[str],
    replaced: Sequence[str],
) -> pa.Table:
    """What `_rows_of` gives, read here; without the keys that have a null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from batchinfer.inference.split_reading import read_split, whole_file
    from batchinfer.lake.snapshots import exists
    from batchinfer.pipeline.slices.table_columns import table_fields

    gone = pa.array(replaced, pa.string())
    columns = list(dict.fromkeys([*key, SOURCE_FILE]))
    # Files that landed before may lack a column of today's key.
    later = pa.schema(table_fields(table)) if exists(table) else None
    parts: list[pa.Table] = []
    for slice_, path, is_coming in files:
        for batch in read_split(whole_file(join(table, path)), columns, later=later):
            rows = batch
            if replaced and not is_coming:
                of_gone = pc.SetLookupOptions(gone)
                goes = pc.call_function("is_in", [rows.column(SOURCE_FILE)], of_gone)
                rows = rows.filter(pc.call_function("invert", [goes]))
            keys = pa.table([_comparable(rows.column(name)) for name in key], list(key)).drop_null()
            within = pa.array([slice_], pa.string()).take(pa.repeat(pa.scalar(0), keys.num_rows))
            parts.append(keys.append_column(_WITHIN, within))
    return pa.concat_tables(parts, promote_options="permissive")


def _comparable(column: pa.Array) -> pa.Array:
    """Numbers that Spark groups together are one: each NaN, and 0.0 with -0.0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    is_nan = pc.call_function("is_nan", [column])
    nan, zero = pa.scalar(float("nan"), column.type), pa.scalar(0.0, column.type)
    return pc.call_function("if_else", [is_nan, nan, pc.call_function("add", [column, zero])])


def _repeated(keys: pa.Table, key: Sequence[str]) -> list[dict[str, Any]]:
    """What `find_duplicate_keys` finds."""
    import pyarrow.compute as pc

    counted = keys.group_by([_WITHIN, *key]).aggregate([([], _COUNT)])
    order = [(_COUNT, "descending"), *((name, "ascending") for name in (_WITHIN, *key))]
    found = counted.filter(pc.field(_COUNT) > 1).sort_by(order).slice(0, _EXAMPLES)
    return [
        {
            "key": {name: _plain(row[name]) for name in key},
            "within": {SLICE: row[_WITHIN]},
            "count": row[_COUNT],
        }
        for row in found.to_pylist()
    ]


def _plain(value: Any) -> Any:
    """As Spark gives it, and as JSON takes it."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return str(value.astimezone().replace(tzinfo=None))
    if isinstance(value, bytes):
        return str(bytearray(value))
    return value if isinstance(value, str | int | float | bool) else str(value)


def raise_duplicate_keys(
    rows: DataFrame,
    table: str,
    key: Sequence[str],
    hint: str | None = None,
    sensitive: SensitiveColumns = NONE_SENSITIVE,
) -> None:
    """Ends with three examples if a key stands twice in one slice of the rows; those with a null in
    their key are let pass.

    Args:
        rows: the key columns, and the slice.
        hint: in place of that for any duplicate.
        sensitive: columns whose values no example shows.

    Runs on: driver, one Spark aggregation for all slices.

    Raises:
        InputError: with the examples.
    """
    from functools import reduce

    from pyspark.sql import functions as F

    from batchinfer.checks.repeated_keys import find_duplicate_keys

    whole = reduce(
        lambda one, other: one & other, [F.col(quoted_name(name)).isNotNull() for name in key]
    )
    found = find_duplicate_keys(rows.where(whole), key, [SLICE], _EXAMPLES)
    _raise_examples(found, table, key, hint, sensitive)


def _raise_examples(
    found: Sequence[dict[str, Any]],
    table: str,
    key: Sequence[str],
    hint: str | None,
    sensitive: SensitiveColumns,
) -> None:
    if found:
        examples = "; ".join(
            f"slice {one['within'][SLICE]}: {json.dumps(sensitive.row(one['key']))} "
            f"{one['count']} times"
            for one in found
        )
        raise InputError(
            f"keys ({', '.join(key)}) that repeat in {table}: {examples}; allowed: one row a key "
            "in a slice",
            hint
            or "choose another source.key, remove the duplicates, or say source.unique: assumed to "
            "skip this check",
        )
