"""Whether workers can read a Delta table's files themselves: asked here by all that read one."""

from __future__ import annotations

from collections.abc import Iterable

from batchinfer.contracts import DataFile
from batchinfer.inference.road_choice import TableFacts


def table_facts(
    place: str,
    version: int | None,
    files: Iterable[DataFile],
    table_transforms: tuple[str, ...] = (),
) -> TableFacts:
    """What the choice of a road, and `road_choice.obstacles`, need to know of a table.

    Args:
        place: URI of the table.
        version: None: the latest.
        files: that are to be read; those of a shallow clone may lie elsewhere than the table.
        table_transforms: names of the steps that Spark has to take first.

    Runs on: driver.

    Raises:
        StorageError: there is no table or no such version, or its log cannot be read.
    """
    from batchinfer.lake.snapshots import reading_facts

    return TableFacts.of_delta(reading_facts(place, version, files), table_transforms)
