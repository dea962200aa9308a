"""Reads the first rows of Parquet files and of Delta tables, which say their types themselves."""

from __future__ import annotations

import pyarrow as pa

from batchinfer.config.sources import ParquetSource
from batchinfer.config.types import spark_name
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import BatchInferError, InputError
from batchinfer.sources.readers import plan_source_splits, read_fields
from batchinfer.starting.found_data import FoundData
from batchinfer.starting.read_blocks import read_blocks
from batchinfer.starting.sample import MOST_RECORDS, DataSample, SampledColumn


def sample_parquet(found: FoundData) -> DataSample:
    """Reads the first rows of Parquet files.

    Runs on: driver.

    Raises:
        InputError: no rows, names that Delta cannot store, a damaged file.
    """
    source = ParquetSource.model_validate({"kind": "parquet", "path": "data"})
    fields = read_fields(source, found.files)
    splits = plan_source_splits(found.files, source, fields)
    rows, bad, is_whole = read_blocks(splits, source, fields)
    if not rows.num_rows:
        raise InputError(f"{found.path}: got no rows")
    first = rows.slice(0, 1).to_pylist()[0]
    columns = [_column(name, type_, rows) for name, type_ in fields.items()]
    notes = [f"{len(bad):,} rows go to quarantine; the first: {bad[0].message}"] if bad else []
    place = (first[SOURCE_FILE], first[SOURCE_LINE])
    records = rows.num_rows + len(bad)
    return DataSample(
        "parquet", found.path, records, is_whole, columns, (), notes, place, bad=len(bad)
    )


def sample_delta(found: FoundData) -> DataSample:
    """Reads the first rows of a Delta table at its latest version.

    Runs on: driver.

    Raises:
        InputError: no rows, or a table that is read by Spark alone.
        StorageError: its log cannot be read.
    """
    from batchinfer.lake.snapshots import arrow_schema, open_table

    table = open_table(found.path)
    try:
        dataset = table.to_pyarrow_dataset()
        rows = dataset.head(MOST_RECORDS)
        is_whole = dataset.count_rows() <= MOST_RECORDS
    except BatchInferError:
        raise
    except Exception as error:
        raise InputError(
            f"{found.path}: rows of this Delta table cannot be read here: {error}"
        ) from error
    if not rows.num_rows:
        raise InputError(f"{found.path}: got a Delta table without rows")
    columns = [_column(field.name, field.type, rows) for field in arrow_schema(table)]
    return DataSample(
        "delta", found.path, rows.num_rows, is_whole, columns,
        notes=["The table says its columns and their types itself; it is read in place."],
        declares=False,
    )  # fmt: skip


def _column(name: str, type_: pa.DataType, rows: pa.Table) -> SampledColumn:
    values = rows.column(name).combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return SampledColumn(name, spark_name(type_), values)
