"""Files that grew: up to which line they have been landed or put aside (`on_changed: append`)."""

from __future__ import annotations

from collections.abc import Sequence

from batchinfer.contracts import SLICE, SOURCE_FILE, SOURCE_LINE


def last_lines(landed: str, quarantine: str, names: Sequence[str], slice_: str | None) -> dict[str, int]:
    """The greatest line of each file among its landed and its published quarantined records; 0 where there is none.

    Args:
        slice_: the slice that the files were landed for, where slices are ingest dates.

    Runs on: driver, without Spark.
    """
    found = dict.fromkeys(names, 0)
    for name, line in [*_lines(landed, names, slice_), *_lines(quarantine, names, slice_, published=True)]:
        found[name] = max(found[name], line)
    return found


def _lines(uri: str, names: Sequence[str], slice_: str | None, published: bool = False) -> list[tuple[str, int]]:
    import pyarrow as pa
    import pyarrow.dataset as ds

    from batchinfer.sinks.delta import exists
    from batchinfer.sinks.snapshots import open_table

    if not exists(uri):
        return []
    wanted = ds.field(SOURCE_FILE).isin(list(names)) & ds.field(SOURCE_LINE).is_valid()
    if slice_ is not None:
        wanted &= ds.field(SLICE) == slice_
    if published:
        wanted &= (ds.field("stage") == "extract") & ds.field("published")
    rows: pa.Table = open_table(uri).to_pyarrow_dataset().to_table(columns=[SOURCE_FILE, SOURCE_LINE], filter=wanted)
    grouped = rows.group_by(SOURCE_FILE).aggregate([(SOURCE_LINE, "max")])
    return list(zip(grouped[SOURCE_FILE].to_pylist(), grouped[f"{SOURCE_LINE}_max"].to_pylist(), strict=True))
