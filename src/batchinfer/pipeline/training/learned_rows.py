"""The rows that `train` learns from: those of the table, or those that the table transforms make of
them, as files.

Learning reads its rows several times, so the transforms run once and what they make is kept in
files for that long.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.config.types import parse_ddl, spark_name
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, DataFile
from batchinfer.pipeline.definition.small_runs import PREPARED_BY_SPARK, workplace_opener
from batchinfer.pipeline.landing.spool import FileSpool
from batchinfer.pipeline.slices.feature_tables import prepared_fields
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.training.fit_passes import key_hashes
from batchinfer.pipeline.training.last_values import LastValues
from batchinfer.pipeline.training.newest_rows import (
    OLDER,
    Superseded,
    with_older,
    with_place,
    without_superseded,
)
from batchinfer.pipeline.training.rows_left_out import RowsLeftOut
from batchinfer.pipeline.training.validation import ValidationRule
from batchinfer.prepare.table_step import named
from batchinfer.spark.jvm import needing_session

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batchinfer.config.pipeline import Train
    from batchinfer.spark.session import OpenSession
    from batchinfer.transforms import TransformPipeline


_FILE_ROWS = 500_000


@contextmanager
def rows_to_learn_from(
    columns: TableColumns,
    data: SliceData,
    fields: Mapping[str, pa.DataType],
    open_session: OpenSession,
    superseded: Superseded | None = None,
) -> Generator[SliceData]:
    """The data as they are, or the rows that remain after older copies were left out and after the
    table transforms, as files that are gone afterwards.

    Older copies take part in the table transforms, as they do where a slice is scored: steps look
    back into them.

    The same versions of the tables give the same rows in the same order.

    Args:
        fields: columns of the table that `data` is read from, and their types.
        superseded: the older copies; None: nothing is left out.

    Runs on: driver; the transforms on executors, the rest on executors or here.

    Raises:
        ConfigError, InputError: a step that does not fit, or cannot compute a row.
    """
    older = superseded if superseded is not None and superseded.rows else None
    if not data.rows or (older is None and not columns.preparation.steps):
        yield data
        return
    if data.fields is None:
        import pyarrow as pa

        # Steps see the file and the line of a landed row here, as they do where it is scored.
        fields = {**fields, SOURCE_FILE: pa.string(), SOURCE_LINE: pa.int64()}
    spool = FileSpool.open(columns.context)
    try:
        if older is not None and older.masks is not None and not columns.preparation.steps:
            environment = columns.context.environment
            opener = workplace_opener(environment, open_session, data.size, data.rows)
            yield without_superseded(opener, data, fields, older.masks, spool.folder)
        else:
            folder = spool.folder / "prepared"
            with needing_session(PREPARED_BY_SPARK):
                spark = open_session()
            yield _write(spark, columns, data, fields, folder, older is not None)
    finally:
        spool.remove()


def _write(
    spark: SparkSession,
    columns: TableColumns,
    data: SliceData,
    fields: Mapping[str, pa.DataType],
    folder: Path,
    newest_only: bool,
) -> SliceData:
    from batchinfer.pipeline.slices.prepared import order_of, prepared_frame, remaining, row_faults

    fields = with_place(data, fields)
    after = prepared_fields(columns.context.loaded, columns.preparation, fields)
    rows = prepared_frame(spark, columns, data, fields)
    if newest_only:  # judged among all rows: what a step removes hides no older copy
        rows = with_older(rows, columns.context.pipeline.source.key).where(~named(OLDER))
    rows = remaining(rows)
    order = [named(name) for name in order_of(rows, columns.context.pipeline)]
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
        rows=sum(file.known_rows for file in files),
        fields=types,
        rule=None,
        only_files=False,
        history=(),
    )


def _files(folder: Path) -> list[DataFile]:
    import pyarrow.parquet as pq

    return [
        DataFile(str(path), path.stat().st_size, pq.read_metadata(path).num_rows)
        for path in sorted(folder.glob("part-*.parquet"))
    ]


def fields_to_learn_from(columns: TableColumns, data: SliceData) -> dict[str, pa.DataType]:
    """Types of the columns to learn from; a Delta table of labelled data has its own, whatever has
    been extracted.
    """
    if data.fields is None:
        return columns.of_table(data.table)
    return {name: parse_ddl(type_) for name, type_ in data.fields.items()}


def examples_of(
    columns: TableColumns,
    settings: Train,
    data: SliceData,
    transforms: TransformPipeline,
    rule: ValidationRule,
    left_out: RowsLeftOut,
    last: LastValues | None = None,
) -> Iterator[tuple[Mapping[str, np.ndarray], Any, np.ndarray]]:
    """Batches of (inputs by name, target column (n,), whether the row is validated on (n,)
    bool).

    Args:
        left_out: counts the rows that a step fails on; they are in no batch.
        last: is told the validation rows as they come.

    Raises:
        TooManyQuarantined: these are more than `checks.max_quarantine_rate` allows.
    """
    import numpy as np
    import pyarrow as pa

    key = list(columns.context.pipeline.source.key)
    wanted = {*transforms.source_columns, settings.target.column, *key, *rule.columns}
    wanted |= {last.column} if last is not None else set()
    names = [
        name
        for name in dict.fromkeys([*fields_to_learn_from(columns, data), SOURCE_FILE, SOURCE_LINE])
        if name in wanted
    ]
    # One file after the other, in one order: the same table version gives the same model.
    for file in data.files:
        for split in splits_of(replace(data, files=[file]), 1):
            for batch in read_rows(split, names):
                hashes = key_hashes(batch, key)
                validated = rule.validated(batch, hashes)
                for chosen in (~validated, validated):
                    rows = batch.filter(pa.array(chosen))
                    # Steps that are fitted on the target saw the labels of the rows to learn from,
                    # and of no others.
                    rows, inputs = left_out.inputs_of(
                        transforms, rows, None if chosen is validated else hashes[chosen]
                    )
                    if last is not None and chosen is validated:
                        last.add(rows)
                    yield (
                        inputs,
                        rows.column(settings.target.column),
                        np.full(rows.num_rows, chosen is validated),
                    )
    left_out.judge(data.rows, columns.context.pipeline.checks.max_quarantine_rate)
