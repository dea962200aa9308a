"""When the rows of each slice were last confirmed: by the publication that wrote or kept them, not
by the run that scored them.

Runs on: driver, without Spark.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pyarrow as pa

from batchinfer.contracts import SLICE
from batchinfer.lake.ledger import slices_of
from batchinfer.lake.log import read_transactions
from batchinfer.lake.snapshots import file_actions, open_table, partition_text
from batchinfer.lake.table_places import storage_faults


def confirmed_times(place: str, version: int) -> dict[str, str]:
    """ISO time in UTC of the commit that last published each slice, as of a version.

    A slice whose commit the log no longer tells has the time of the oldest one that it does: it is
    at least as old. One that another writer has published has that of its newest file.

    Raises:
        StorageError: the table's log cannot be read.
    """
    table = open_table(place, version)
    with storage_faults(place, "read the table's history"):
        told = {one["version"]: one["timestamp"] for one in table.history()}
        files = file_actions(table)
    oldest = min(told)
    published = {
        slice_ or "": _iso(told.get(commit, told[oldest]))
        for slice_, commit in slices_of(read_transactions(place, version)).items()
    }
    slices = [partition_text(one) or "" for one in files[f"partition.{SLICE}"].to_pylist()]
    times = [at or 0 for at in files["modification_time"].cast(pa.int64()).to_pylist()]
    written: dict[str, int] = {}
    for slice_, at in zip(slices, times, strict=True):
        written[slice_] = max(at, written.get(slice_, at))
    return {name: _iso(at) for name, at in written.items()} | published


def _iso(milliseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.timezone.utc)
    return moment.isoformat(timespec="seconds")


def confirmed_seconds(times: Mapping[str, str]) -> dict[str, float]:
    """The same in seconds since 1970."""
    return {slice_: dt.datetime.fromisoformat(text).timestamp() for slice_, text in times.items()}
