"""Creates Delta tables that every reader can read, and holds existing ones to their contract.

Owns table properties. Knows nothing of what is written into the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import DeltaError

from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import InputError
from batchinfer.lake.delta_types import compare_schemas, delta_schema, skipping_columns
from batchinfer.lake.locks import table_lock
from batchinfer.lake.snapshots import arrow_schema, exists, open_table
from batchinfer.lake.table_places import local_path, storage_faults, table_options, table_uri
from batchinfer.table_format import FORMAT_PROPERTY, TABLE_FORMAT

# Each commit between checkpoints is one more file for every reader to open.
_DEFAULTS = {"delta.checkpointInterval": "10"}


def ensure_table(
    uri: str,
    schema: pa.Schema,
    partition_by: Sequence[str] = (),
    description: str | None = None,
    configuration: Mapping[str, str] | None = None,
    name: str | None = None,
    stats_columns: Sequence[str] | None = None,
    evolve: bool = False,
) -> int:
    """Creates the table if it is missing; else checks that it has these columns, types, partition
    columns and key.

    Column comments are taken from the field metadata `comment`. No deletion vectors and no column
    mapping.

    Args:
        uri: of the table.
        schema: all columns, partition columns included.
        partition_by: partition columns, in order.
        description, name: of the table, as `DESCRIBE` shows them.
        configuration: table properties; `contracts.KEY_PROPERTY` names the key columns, with commas
            between.
        stats_columns: columns that readers skip by: statistics on all columns are the largest cost
            of a Delta write. Those of partition columns stand in the log anyway. None: Delta's
            default.
        evolve: add columns that the table lacks (nullable), and allow columns that only the table
            has.

    Returns:
        The table's version.

    Runs on: driver

    Raises:
        InputError: the table differs from the contract; every difference in one error.
        TableTooNew: a newer build has made it.
        StorageError: the place cannot be written, or the log cannot be read.
    """
    stored = delta_schema(schema)
    wanted = {
        **_DEFAULTS,
        FORMAT_PROPERTY: str(TABLE_FORMAT),
        **_skipping(stored, stats_columns, partition_by),
        **(configuration or {}),
    }
    if not exists(uri):
        with table_lock(uri):
            # Another process may have been quicker.
            if not exists(uri):
                created = _create(uri, stored, partition_by, description, wanted, name)
                if created is not None:
                    return created
    table = open_table(uri)
    problems, new = compare_schemas(uri, arrow_schema(table), stored, evolve)
    problems += _compare_layout(uri, table, partition_by, wanted)
    if problems:
        raise InputError(problems)
    return _add_columns(uri, new) if new else table.version()


def _skipping(
    schema: pa.Schema, columns: Sequence[str] | None, partition_by: Sequence[str]
) -> dict[str, str]:
    if columns is None:
        return {}
    kept = skipping_columns(schema, columns, partition_by)
    return (
        {"delta.dataSkippingStatsColumns": kept}
        if kept
        else {"delta.dataSkippingNumIndexedCols": "0"}
    )


def _create(
    uri: str,
    schema: pa.Schema,
    partition_by: Sequence[str],
    description: str | None,
    configuration: Mapping[str, str],
    name: str | None,
) -> int | None:
    """The version of the new table; None where another process made it at the same moment, as only
    a store's can happen.
    """
    with storage_faults(uri, "create the Delta table"):
        try:
            table = DeltaTable.create(
                table_uri(uri),
                schema,
                partition_by=list(partition_by),
                name=name,
                description=description,
                configuration=dict(configuration),
                storage_options=table_options(uri),
                raise_if_key_not_exists=False,
                # deltalake would try again, as version 1, and put its own metadata over that of the
                # other process.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError:
            if local_path(uri) is None and exists(uri):
                return None
            raise
    return table.version()


def _compare_layout(
    uri: str, table: DeltaTable, partition_by: Sequence[str], wanted: Mapping[str, str]
) -> list[str]:
    metadata = table.metadata()
    problems = []
    if list(metadata.partition_columns) != list(partition_by):
        problems.append(
            f"{uri}: the table is partitioned by {metadata.partition_columns}; got "
            f"{list(partition_by)}"
        )
    key = metadata.configuration.get(KEY_PROPERTY)
    if key is not None and wanted.get(KEY_PROPERTY, key) != key:
        problems.append(f"{uri}: the table's key is {key}; got {wanted[KEY_PROPERTY]}")
    return problems


def _add_columns(uri: str, fields: Sequence[pa.Field]) -> int:
    with table_lock(uri), storage_faults(uri, "add columns"):
        table = open_table(uri)
        # Another process may have added some of them.
        missing = [field for field in fields if field.name not in arrow_schema(table).names]
        if missing:
            table.alter.add_columns(DeltaSchema.from_arrow(pa.schema(missing)).fields)
        return open_table(uri).version()
