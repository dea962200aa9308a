"""What one snapshot of a Delta table holds: version, schema, files.

Owns opening a table and reading its files' entries. Must not write.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from batchinfer.contracts import DataFile
from batchinfer.lake.table_places import (
    is_reachable,
    logged_path,
    storage_faults,
    table_options,
    table_uri,
)
from batchinfer.table_format import check_format

# Where Spark keeps the type of a column that Delta knows as text.
_CHAR = b"__CHAR_VARCHAR_TYPE_STRING"
_HAS_CHAR, _ONLY_CHAR = re.compile(r"\bchar\("), re.compile(r"char\((\d+)\)")


def open_table(uri: str, version: int | None = None) -> DeltaTable:
    """The table at its latest version, or at the one asked for.

    Somebody else's table has no format of ours; one that has it is held to it wherever it lies: the
    predictions of another lake mean no less than our own.

    Runs on: driver

    Raises:
        TableTooNew: a newer build has made the table.
        StorageError: there is no table or no such version, or its log cannot be read.
    """
    with storage_faults(
        uri,
        "open the Delta table" if version is None else f"open version {version} of the Delta table",
    ):
        table = DeltaTable(table_uri(uri), version=version, storage_options=table_options(uri))
    check_format(uri, table.metadata().configuration)
    return table


def exists(uri: str) -> bool:
    """True if there is a Delta table at this place.

    Runs on: driver
    """
    with storage_faults(uri, "look for a Delta table"):
        return DeltaTable.is_deltatable(table_uri(uri), table_options(uri))


def table_version(uri: str) -> int:
    """The latest version of the table.

    Runs on: driver

    Raises:
        StorageError: there is no table, or its log cannot be read.
    """
    return open_table(uri).version()


def arrow_schema(table: DeltaTable) -> pa.Schema:
    """The table's columns with their comments, partition columns included."""
    return pa.schema(table.schema().to_arrow())


def table_schema(uri: str) -> pa.Schema:
    """The table's columns with their comments (field metadata `comment`), partition columns
    included.

    Runs on: driver

    Raises:
        StorageError: there is no table, or its log cannot be read.
    """
    return arrow_schema(open_table(uri))


def snapshot_files(uri: str, partition: Mapping[str, str | None] | None = None) -> list[DataFile]:
    """The files of the latest snapshot, of all partitions or of those given; paths are as
    `table_places.logged_path` tells them.

    Runs on: driver

    Raises:
        StorageError: there is no table, or its log cannot be read.
    """
    return table_files(open_table(uri), partition)


def file_actions(table: DeltaTable) -> pa.Table:
    """The files of an open table as its log has them, a row each, with partition values and
    statistics in columns of their own.

    `pyarrow.table` would import pandas to see whether it is given a frame.
    """
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()


def table_files(
    table: DeltaTable, partition: Mapping[str, str | None] | None = None
) -> list[DataFile]:
    """The files of an open table, as `snapshot_files` tells them; those of one partition are soon
    told, in a large table too.
    """
    wanted, names = partition or {}, table.metadata().partition_columns
    with storage_faults(table.table_uri, "list the table's files"):
        actions = file_actions(table)
    partitions = {
        name: list(map(partition_text, actions[f"partition.{name}"].to_pylist())) for name in names
    }
    held = [True] * actions.num_rows
    for name, value in wanted.items():
        texts: list[str | None] = (
            partitions[name] if name in partitions else [None] * actions.num_rows
        )
        held = [is_held and text == value for is_held, text in zip(held, texts, strict=True)]
    rows = (
        actions["num_records"].to_pylist()
        if "num_records" in actions.column_names
        else [None] * actions.num_rows
    )
    return [
        DataFile(logged_path(path), size, count, dict(zip(names, values, strict=True)))
        for is_held, path, size, count, *values in zip(
            held,
            actions["path"].to_pylist(),
            actions["size_bytes"].to_pylist(),
            rows,
            *partitions.values(),
            strict=True,
        )
        if is_held
    ]


def skipping_names(table: DeltaTable) -> list[str]:
    """The columns that the table keeps statistics on, partition columns aside; none if its
    properties name none.
    """
    names = table.metadata().configuration.get("delta.dataSkippingStatsColumns", "")
    return [name.strip().strip("`").replace("``", "`") for name in names.split(",") if name.strip()]


def partition_text(value: Any) -> str | None:
    """A partition value as Delta writes it into the log."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return str(value)


def kept_rows(table: DeltaTable) -> dict[str, int]:
    """The files that have deletion vectors, as the names on disk of their last part, and how many
    of their rows are kept.

    Runs on: driver

    Raises:
        StorageError: a deletion vector cannot be read.
    """
    if "deletionVectors" not in (table.protocol().reader_features or []):
        return {}
    with storage_faults(table.table_uri, "read the deletion vectors"):
        vectors = pa.table(table.deletion_vectors())
    paths = [logged_path(path).rpartition("/")[2] for path in vectors["filepath"].to_pylist()]
    # A vector says True of the rows that are left.
    return {
        path: int(vector.values.true_count)
        for path, vector in zip(paths, vectors["selection_vector"], strict=True)
    }


def char_types(table: DeltaTable) -> dict[str, str]:
    """The columns that Spark pads as CHAR(n), or that hold such text, and how Spark declares them.

    Source: Apache Spark, `CharVarcharUtils`.
    """
    declared = {
        field.name: (field.metadata or {}).get(_CHAR, b"").decode() for field in arrow_schema(table)
    }
    return {name: type_ for name, type_ in declared.items() if _HAS_CHAR.search(type_)}


def char_lengths(table: DeltaTable) -> dict[str, int]:
    """The columns of text that Spark pads with spaces on reading, and to how many characters."""
    found = {name: _ONLY_CHAR.fullmatch(type_) for name, type_ in char_types(table).items()}
    return {name: int(match[1]) for name, match in found.items() if match is not None}


def maps_columns(table: DeltaTable) -> bool:
    """Whether the table's files may name its columns otherwise than the table does."""
    return table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"


def reading_facts(
    uri: str, version: int | None = None, files: Iterable[DataFile] = ()
) -> dict[str, bool]:
    """What readers of the table's files must know: `{reachable, deletion_vectors, column_mapping,
    char_inside}`.

    `deletion_vectors` is about the files of the version (None: the latest), not about what the
    table's protocol allows.

    Args:
        files: that are to be read; those of a shallow clone may lie elsewhere than the table.

    Runs on: driver

    Raises:
        StorageError: there is no table or no such version, or its log cannot be read.
    """
    table = open_table(uri, version)
    return {
        "reachable": is_reachable(uri)
        and all(is_reachable(file.path) for file in files if "://" in file.path),
        "deletion_vectors": bool(kept_rows(table)),
        "column_mapping": maps_columns(table),
        "char_inside": len(char_types(table)) > len(char_lengths(table)),
    }
