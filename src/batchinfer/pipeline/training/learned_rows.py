"""The rows that `train` learns from: those of the table, or those that the table transforms make of
them, as files.

Learning reads its rows several times, so the transforms run once and what they make is kept in
files for that long.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.landing.spool import Spool
from batchinfer.pipeline.slices.landed import SliceData

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

    OpenSession = Callable[[], SparkSession]

_FILE_ROWS = 500_000


@contextmanager
def rows_to_learn_from(
    context: Context, data: SliceData, fields: Mapping[str, pa.DataType], open_session: OpenSession
) -> Generator[SliceData]:
    """The data as they are, or the rows that remain after the table transforms, as files that are
    gone afterwards.

    The same versions of the tables give the same rows in the same order.

    Args:
        fields: columns of the table that `data` is read from, and their types.

    Runs on: driver; the transforms on executors.

    Raises:
        ConfigError, InputError: a step that does not fit, or cannot compute a row.
    """
    if not context.preparation.steps or not data.rows:
        yield data
        return
    spool = Spool.open(context)
    try:
        yield _write(open_session(), context, data, fields, spool.folder / "prepared")
    finally:
        spool.remove()


def _write(
    spark: SparkSession,
    context: Context,
    data: SliceData,
    fields: Mapping[str, pa.DataType],
    folder: Path,
) -> SliceData:
    from batchinfer.config.types import spark_name
    from batchinfer.pipeline.slices.feature_tables import prepared_fields
    from batchinfer.pipeline.slices.prepared import order_of, prepared_frame, remaining, row_faults
    from batchinfer.prepare.table_step import named

    after = prepared_fields(context, context.preparation, fields)
    rows = remaining(prepared_frame(spark, context, data, fields))
    order = [named(name) for name in order_of(rows, context)]
    # A hash and an order of what the rows hold: the files are the same, however many workers there
    # are.
    rows = rows.repartition(max(1, math.ceil(data.rows / _FILE_ROWS)), *order).sortWithinPartitions(
        *order
    )
    with row_faults():
        rows.select(*(named(name) for name in after)).write.parquet(folder.as_uri())
    files = _files(folder)
    types = {name: spark_name(type_) for name, type_ in after.items()}
    return replace(
        data,
        files=files,
        rows=sum(file["rows"] for file in files),
        fields=types,
        rule=None,
        only_files=False,
        history=(),
    )


def _files(folder: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return [
        {
            "path": str(path),
            "size": path.stat().st_size,
            "rows": pq.read_metadata(path).num_rows,
            "partition": {},
        }
        for path in sorted(folder.glob("part-*.parquet"))
    ]
