"""The newest landed row of some keys: what a model is fed for a key that no batch has seen.

Runs on: driver, without Spark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.contracts import SLICE
from batchinfer.errors import InputError
from batchinfer.lake.snapshots import kept_rows, maps_columns, open_table
from batchinfer.lake.table_places import storage_faults
from batchinfer.lookups.key_values import convert_key
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
        InputError: keys that do not fit the table.
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
    with storage_faults(data.table, "open the landed rows"):
        dataset = table.to_pyarrow_dataset()
    names = list(context.pipeline.source.key)
    types = {name: dataset.schema.field(name).type for name in names}
    wanted = [convert_key(key, types) for key in keys]
    condition: Any = None
    for place, name in enumerate(names):
        values = pa.array(list({key[place] for key in wanted}), types[name])
        one = ds.field(name).isin(values)
        condition = one if condition is None else condition & one
    with storage_faults(data.table, "read the landed rows"):
        rows = dataset.to_table(filter=condition)
    order = _order(context, rows.column_names)
    if order is not None:
        rows = rows.sort_by([(order, "ascending")])
    # A later row takes the place of an earlier one.
    found = {
        tuple(row[name] for name in names): row for row in rows.to_pylist(maps_as_pydicts="lossy")
    }
    return [found.get(key) for key in wanted]


def _order(context: Context, names: Sequence[str]) -> str | None:
    """The column that tells the newest of several rows."""
    rule = context.pipeline.source.slice
    if SLICE in names:
        return SLICE
    return rule.column if isinstance(rule, SliceColumn) else None
