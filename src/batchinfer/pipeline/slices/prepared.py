"""The rows of slices after `prepare`, as a Spark frame: with their history before the steps, and
without it behind them.

Owns which rows of a table the steps see, and in which order rows stand that nothing else tells
apart.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from batchinfer.config.pipeline import Pipeline
from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE, Problem
from batchinfer.errors import ConfigError, InputError
from batchinfer.pipeline.definition.table_steps import mends_keys
from batchinfer.pipeline.slices.feature_tables import Preparation
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_frames import (
    came_frame,
    slice_condition,
    slice_frame,
    table_frame,
)
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.prepare.join import SLICE_MOMENT, Join
from batchinfer.prepare.table_step import (
    HIDDEN,
    RAW,
    REMOVED,
    SLICE_NAME,
    Surroundings,
    TableStepProblem,
    named,
    type_family,
)
from batchinfer.spark.frames import version_frame

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession


_CONTENT, _FILE = f"{HIDDEN}content", f"{HIDDEN}file"
_FORMATS = {"hour": "yyyy-MM-dd'T'HH", "day": "yyyy-MM-dd", "month": "yyyy-MM"}
# As `failed_rows.row_json` writes: null is a value, times to the microsecond and with their zone.
_JSON = {
    "ignoreNullFields": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSxxx",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}


def prepared_frame(
    spark: SparkSession,
    columns: TableColumns,
    data: SliceData,
    fields: Mapping[str, pa.DataType],
    checked: bool = True,
) -> DataFrame:
    """The rows of the slices of `data` after the pipeline's table transforms; those removed are
    marked in `REMOVED`.

    Args:
        fields: columns of the table, and their types.
        checked: looks for keys that repeat in feature tables that may have one row a key only; that
            reads them.

    Runs on: driver; no row of the slices is read yet.

    Raises:
        ConfigError: Spark refuses a step, such as a rule that is no SQL.
        InputError: a key that repeats in a feature table.
    """
    from batchinfer.prepare.apply import apply_steps

    context, preparation = columns.context, columns.preparation
    if checked:
        for step in preparation.steps:
            if isinstance(step, Join) and step.as_of is None:
                _check_unique(spark, preparation, step)
    rows = rows_with_history(spark, columns, data, fields)
    rows, ties = _with_ties(rows, context.pipeline, data, fields)
    tables = {
        place: version_frame(spark, table.place, table.version)
        for place, table in preparation.tables.items()
    }
    try:
        rows = apply_steps(rows, preparation.steps, fields, Surroundings(ties, tables))
    except TableStepProblem as found:
        raise ConfigError(
            context.loaded.places.sentences(
                Problem(path, message) for path, message in found.problems
            )
        ) from found
    return rows.where(named(SLICE_NAME).isin(*data.slices)) if data.history else rows


def _check_unique(spark: SparkSession, preparation: Preparation, step: Join) -> None:
    import json

    from batchinfer.checks.repeated_keys import find_duplicate_keys

    table = preparation.tables[step.position]
    features = step.features(version_frame(spark, table.place, table.version))
    found = find_duplicate_keys(features, step.key_names())
    if found:
        own = list(step.on.values())
        examples = "; ".join(
            f"{json.dumps(dict(zip(own, one['key'].values(), strict=True)))} {one['count']} times"
            for one in found
        )
        raise InputError(
            f"prepare[{step.position}].join: keys ({', '.join(own)}) that repeat in {table.place}, "
            f"version {table.version}: "
            f"{examples}; allowed without as_of: one row a key"
        )


def rows_with_history(
    spark: SparkSession, columns: TableColumns, data: SliceData, fields: Mapping[str, pa.DataType]
) -> DataFrame:
    """The rows of the slices and of those before them that steps look back into: the columns of
    `fields`, and hidden ones with the name of each row's slice.

    Runs on: driver; no row is read yet.
    """
    from pyspark.sql import functions as F

    context = columns.context
    rule = context.pipeline.source.slice
    names = (*data.slices, *data.history)
    if data.fields is None and data.table != context.landed_for_training:
        rows = version_frame(spark, data.table, data.version, names or None)
        rows = rows.where(F.col(SLICE).isin(*names)) if names else rows
        rows = rows.withColumn(SLICE_NAME, F.col(SLICE))
    elif data.fields is not None and data.rule is not None:
        rows = _in_place(spark, data, data.rule, names, fields)
        rows = rows.withColumn(SLICE_NAME, _name_of(data.rule, fields))
    elif data.only_files and len(data.slices) > 1:
        rows = _with_days(spark, came_frame(spark, data, _FILE), data)
    else:
        whole = data.fields is None or not data.slices
        rows = (
            table_frame(spark, data.table, data.version, data.rules)
            if whole
            else slice_frame(spark, data)
        )
        if isinstance(rule, SliceColumn):
            rows = rows.withColumn(SLICE_NAME, _name_of(rule, fields))
        else:
            rows = rows.withColumn(SLICE_NAME, F.lit(data.slice or "train"))
    if any(isinstance(step, Join) and step.by_slice for step in columns.preparation.steps):
        rows = rows.withColumn(SLICE_MOMENT, _moment_of(rule))
    hidden = [name for name in rows.columns if name.startswith(HIDDEN)]
    return rows.select(*(named(name) for name in fields), *(named(name) for name in hidden))


def _with_days(spark: SparkSession, rows: DataFrame, data: SliceData) -> DataFrame:
    """The rows with the day on which their file came; names of a table's files are unique."""
    from pyspark.sql import functions as F

    named_days = [(path.rpartition("/")[2], day) for path, day in data.days.items()]
    days = spark.createDataFrame(named_days, f"{_FILE} string, {SLICE_NAME} string")
    return rows.join(F.broadcast(days), _FILE).drop(_FILE)


def _in_place(
    spark: SparkSession,
    data: SliceData,
    rule: SliceColumn,
    names: Sequence[str],
    fields: Mapping[str, pa.DataType],
) -> DataFrame:
    from pyspark.sql import functions as F

    assert data.fields is not None
    type_ = data.fields[rule.column]
    rows = table_frame(spark, data.table, data.version, data.rules)
    if len(names) == 1:
        return rows.where(slice_condition(rule, names[0], type_))
    if rule.unit is None and type_ not in ("date", "timestamp", "timestamp_ntz"):
        return rows.where(named(rule.column).isin(*(F.lit(name).cast(type_) for name in names)))
    # Not a condition a slice: a table may have thousands of them.
    return rows.where(_name_of(rule, fields).isin(*names))


def _name_of(rule: SliceColumn, fields: Mapping[str, pa.DataType]) -> Column:
    """The name of a row's slice, as `reading.slice_names` has it."""
    from pyspark.sql import functions as F

    column = named(rule.column)
    if rule.unit is not None:
        return F.date_format(column, _FORMATS[rule.unit])
    if type_family(fields[rule.column]) == "timestamp":
        return F.date_format(column, "yyyy-MM-dd'T'HH:mm:ss")
    return column.cast("string")


def _moment_of(rule: SliceColumn | str) -> Column:
    """The first moment of a row's slice."""
    from pyspark.sql import functions as F

    unit = rule.unit if isinstance(rule, SliceColumn) else "day"
    name = named(SLICE_NAME)
    return F.to_timestamp(name, _FORMATS[unit]) if unit is not None else name.cast("timestamp")


def _with_ties(
    rows: DataFrame, pipeline: Pipeline, data: SliceData, fields: Mapping[str, pa.DataType]
) -> tuple[DataFrame, tuple[str, ...]]:
    """The columns that put any two rows into one order, whatever order they are read in: slice,
    place, key.

    Where two rows may have the same of all these, a hash of what they hold: rows that are equal in
    all may change places.
    """
    from pyspark.sql import functions as F

    source = pipeline.source
    ties = [SLICE_NAME, *(name for name in (SOURCE_FILE, SOURCE_LINE) if name in fields)]
    ties += [name for name in source.key if name not in ties]
    if data.fields is not None or not (
        source.numbers_records or (source.unique == "checked" and not mends_keys(pipeline))
    ):
        import pyarrow.types as is_

        content = F.xxhash64(
            *(named(name) for name, type_ in fields.items() if not is_.is_map(type_))
        )
        rows, ties = rows.withColumn(_CONTENT, content), [*ties, _CONTENT]
    return rows, tuple(ties)


def order_of(rows: DataFrame, pipeline: Pipeline) -> list[str]:
    """The columns of a prepared frame that put its rows into one order."""
    wanted = (SLICE_NAME, SOURCE_FILE, SOURCE_LINE, *pipeline.source.key, _CONTENT)
    return [name for name in dict.fromkeys(wanted) if name in rows.columns]


def remaining(rows: DataFrame) -> DataFrame:
    """The rows of a prepared frame that no step removed."""
    return rows.where(named(REMOVED).isNull())


def with_raw(rows: DataFrame, columns: Sequence[str], fields: Sequence[str]) -> DataFrame:
    """What goes to the workers: the columns that scoring reads, the reason, and of removed rows all
    columns as JSON.

    Only removed rows carry the latter, so that what crosses to the workers stays narrow.
    """
    from pyspark.sql import functions as F

    whole = F.to_json(F.struct(*(named(name) for name in fields)), _JSON)
    raw = F.when(named(REMOVED).isNotNull(), whole).alias(RAW)
    return rows.select(*(named(name) for name in columns), named(REMOVED), raw)


@contextmanager
def row_faults() -> Generator[None]:
    """An error that a row brings about inside a step, such as a division by zero in a rule, told as
    one of the input.

    Raises:
        InputError: with Spark's own words.
    """
    from pyspark.errors import (
        ArithmeticException,
        ArrayIndexOutOfBoundsException,
        DateTimeException,
        IllegalArgumentException,
        NumberFormatException,
        SparkRuntimeException,
    )

    try:
        yield
    except (
        ArithmeticException,
        ArrayIndexOutOfBoundsException,
        DateTimeException,
        IllegalArgumentException,
        NumberFormatException,
        SparkRuntimeException,
    ) as error:
        fact = " ".join(str(error).split("SQLSTATE")[0].split())
        raise InputError(
            f"prepare: a step cannot compute a row: {fact}",
            "try_divide, try_cast and the like give null instead",
        ) from error
