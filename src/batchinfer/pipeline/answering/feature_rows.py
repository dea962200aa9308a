"""The newest landed row of some keys: what a model is fed for a key that no batch has seen.

Runs on: driver, without Spark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from batchinfer.checked_parquet import page_checks
from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE
from batchinfer.errors import InputError
from batchinfer.lake.snapshots import arrow_schema, kept_rows, maps_columns, open_table
from batchinfer.lake.table_places import storage_faults
from batchinfer.lookups.key_values import convert_keys
from batchinfer.lookups.keyed_files import Key
from batchinfer.lookups.newest_by_key import is_read_by_key, newest_by_key
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.landed import read_data


class NoFeatures(InputError):
    """A table whose rows cannot be looked up alone, whatever the key."""


def feature_rows(
    context: Context, keys: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any] | None]:
    """The landed row of each key in the greatest slice that has one, in the order of `keys`.

    Args:
        keys: column to value, every key column in each; text is converted to the column's type.

    Raises:
        InputMissing: nothing has landed.
        UnfitKeys: keys that do not fit the table.
        DamagedFile: bytes of a file are not those that were written.
        NoFeatures: a table that Arrow does not read alone.
        StorageError: the table cannot be read.
    """
    data = read_data(context, None)
    table = open_table(data.table, data.version)
    if maps_columns(table) or kept_rows(table):
        raise NoFeatures(
            f"{data.table}: the table maps column names or has deletion vectors; features are "
            "looked up in tables without them"
        )
    schema, names = arrow_schema(table), list(context.pipeline.source.key)
    types = {name: schema.field(name).type for name in names}
    wanted = convert_keys(keys, types)
    order = _order(context, schema.names)
    if is_read_by_key(data.table, table, names):
        found = newest_by_key(data.table, table, names, set(wanted), order)
    else:
        found = _filtered(table, types, wanted, order)
    return [found.get(key) for key in wanted]


def _filtered(
    table: DeltaTable, types: Mapping[str, pa.DataType], wanted: Sequence[Key], order: str | None
) -> dict[Key, dict[str, Any]]:
    """What `newest_by_key` finds, for tables that it does not read: all files are read."""
    # It imports pandas.
    import pyarrow.dataset as ds

    condition: Any = None
    for place, (name, type_) in enumerate(types.items()):
        one = ds.field(name).isin(pa.array(list({key[place] for key in wanted}), type_))
        condition = one if condition is None else condition & one
    with storage_faults(table.table_uri, "read the landed rows"):
        rows = table.to_pyarrow_dataset().to_table(
            filter=condition, fragment_scan_options=page_checks()
        )
    if order is not None:
        rows = rows.sort_by([(order, "ascending")])
    # A later row takes the place of an earlier one.
    return {
        tuple(row[name] for name in types): row for row in rows.to_pylist(maps_as_pydicts="lossy")
    }


def _order(context: Context, names: Sequence[str]) -> str | None:
    """The column that tells the newest of several rows."""
    rule = context.pipeline.source.slice
    if SLICE in names:
        return SLICE
    return rule.column if isinstance(rule, SliceColumn) else None
