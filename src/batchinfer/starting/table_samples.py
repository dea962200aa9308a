"""Reads the first rows of Parquet files and of Delta tables, which say their types themselves."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
from pyarrow.fs import FileType

from batchinfer.config.sources import ParquetSource
from batchinfer.config.types import spark_name
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE
from batchinfer.errors import InputError, InputMissing
from batchinfer.sources.readers import plan_source_splits, read_fields
from batchinfer.sources.tables.parquet_contract import find_parquet_columns
from batchinfer.sources.tables.partitions import partition_of
from batchinfer.starting.found_data import FoundData
from batchinfer.starting.read_blocks import read_blocks
from batchinfer.starting.sample import MOST_RECORDS, DataSample, SampledColumn
from batchinfer.starting.storable_names import storable_names
from batchinfer.starting.text_types import judge_text


def sample_parquet(found: FoundData) -> DataSample:
    """Reads the first rows of Parquet files.

    Runs on: driver.

    Raises:
        InputError: no rows, no column that can land, a damaged file.
    """
    found_columns = find_parquet_columns(found.files)
    if not found_columns.types:
        raise InputError(f"{found.path}: got no column that can land")
    days = _days_in_folders(found, found_columns.types)
    types = {**found_columns.types, **dict.fromkeys(days, pa.date32())}
    names = dict(zip(storable_names(types), types, strict=True))
    source = ParquetSource.model_validate(
        {
            "kind": "parquet",
            "path": "data",
            "schema": {
                name: {"type": spark_name(types[old])} | ({} if old == name else {"column": old})
                for name, old in names.items()
            },
            "columns": {"new": "ignore"} if found_columns.refused else {},
        }
    )
    fields = read_fields(source, found.files)
    splits = plan_source_splits(found.files, source, fields)
    rows, bad, is_whole = read_blocks(splits, source, fields)
    if not rows.num_rows:
        raise InputError(f"{found.path}: got no rows")
    first = rows.slice(0, 1).to_pylist()[0]
    return DataSample(
        "parquet",
        found.path,
        rows.num_rows + len(bad),
        is_whole,
        [
            _column(name, type_, rows, None if names[name] == name else names[name])
            for name, type_ in fields.items()
        ],
        notes=[f"{len(bad):,} rows go to quarantine; the first: {bad[0].message}"] if bad else [],
        first_place=(first[SOURCE_FILE], first[SOURCE_LINE]),
        bad=len(bad),
        unread=[
            f"Column {name} is left out: "
            + (
                "it has no value in any file, and so no type"
                if pa.types.is_null(type_)
                else f"it is {type_}, which no table can hold"
            )
            for name, type_ in found_columns.refused.items()
        ],
    )


def _days_in_folders(found: FoundData, types: Mapping[str, pa.DataType]) -> list[str]:
    """The columns in the names of folders of which each value is a day, as day=2026-11-20: a file
    says no type of them, so they would be text.
    """
    folders = [partition_of(file.name) for file in found.files]
    days: list[str] = []
    for name in folders[0]:
        given = {folder.get(name) for folder in folders} - {None}
        texts = pa.array(given, pa.string())
        if pa.types.is_string(types.get(name, pa.null())) and given:
            judged = judge_text(texts, str)
            days += [name] if judged.type == "date" else []
    return days


def sample_delta(found: FoundData) -> DataSample:
    """Reads the first rows of a Delta table at its latest version.

    Runs on: driver.

    Raises:
        InputError: no rows, a table that is read by Spark alone, or a damaged file.
        InputMissing: a file of the table is gone.
        StorageError: its log or a file of it cannot be read.
    """
    from deltalake.exceptions import DeltaProtocolError

    from batchinfer.checked_parquet import damage_among
    from batchinfer.lake.snapshots import arrow_schema, open_table
    from batchinfer.lake.table_places import as_storage_error, open_filesystem, storage_faults

    table = open_table(found.path)
    with storage_faults(found.path, "read the table"):
        try:
            dataset = table.to_pyarrow_dataset()
        except DeltaProtocolError as error:
            raise InputError(
                f"{found.path}: only Spark can read this Delta table: {error}",
                "init writes no pipeline for such a table; kind: delta reads it, and "
                "docs/sources.md says how",
            ) from error
        filesystem, root = open_filesystem(table.table_uri)
        try:
            rows = dataset.head(MOST_RECORDS)
            is_whole = dataset.count_rows() <= MOST_RECORDS
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            paths = [f"{root}/{fragment.path}" for fragment in dataset.get_fragments()]
            for info in filesystem.get_file_info(paths):
                if info.type is FileType.NotFound:
                    raise InputMissing(f"{info.path}: a file of the Delta table is gone") from error
            fault = damage_among(filesystem, paths, error)
            raise fault or as_storage_error(found.path, "read the table", error) from error
    if not rows.num_rows:
        raise InputError(f"{found.path}: got a Delta table without rows")
    columns = [_column(field.name, field.type, rows) for field in arrow_schema(table)]
    return DataSample(
        "delta", found.path, rows.num_rows, is_whole, columns,
        notes=["The table says its columns and their types itself; it is read in place."],
        declares=False,
    )  # fmt: skip


def _column(
    name: str, type_: pa.DataType, rows: pa.Table, given: str | None = None
) -> SampledColumn:
    values = rows.column(name).combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return SampledColumn(name, spark_name(type_), values, given)
