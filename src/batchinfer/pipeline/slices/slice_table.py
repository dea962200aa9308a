"""The rows of a small slice as an Arrow table, for checks that need no Spark: what `slice_frames`
gives as a Spark frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from batchinfer.contracts import SLICE
from batchinfer.lake.snapshots import arrow_schema, open_table
from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of


def slice_table(data: SliceData, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a slice with these columns of the table, or with all, the slice among them; all
    in memory.

    Runs on: driver.

    Raises:
        InputError: a file that is missing, damaged, or lacks a column.
    """
    names = list(data.fields or arrow_schema(open_table(data.table, data.version)).names)
    read = [name for name in names if columns is None or name in columns]
    # Batches without a column would not tell how many rows there are.
    some = read or names[:1]
    batches = [rows for split in splits_of(data, 1) for rows in read_rows(split, some)]
    rows = pa.Table.from_batches(batches)
    is_there = SLICE in names or (columns is not None and SLICE not in columns)
    whole = rows if is_there else with_slice(rows, data.slice)
    return whole if read else whole.select([SLICE])


def with_slice(rows: pa.Table, slice_: str) -> pa.Table:
    """The rows with the slice that they are of; a column of that name stays where it is."""
    slices = pa.repeat(pa.scalar(slice_, pa.string()), rows.num_rows)
    place = rows.schema.get_field_index(SLICE)
    if place < 0:
        return rows.append_column(SLICE, slices)
    return rows.set_column(place, SLICE, slices)
