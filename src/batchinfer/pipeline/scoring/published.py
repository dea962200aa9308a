"""What the predictions table says of each slice: which data and model its rows came from. No
JVM.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchinfer import contracts
from batchinfer.contracts import DataFile
from batchinfer.errors import DamagedFile, InputError
from batchinfer.lake.ledger import Publisher
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.slices.slice_data import LandedSlice, SliceData

Landed = LandedSlice | SliceData


@dataclass(frozen=True)
class Published:
    """One published slice.

    Attributes:
        version: Delta version of the commit that published it.
        rows: rows there are.
        lineage: model_name, model_version, bundle_digest, source_version, run_id, scored_at; empty
            for a slice of no rows.
        same_removal: the pipeline removes rows by the same steps as it did then.
        same_precision: its model computes in what it did then.
        publisher: the run that published it last, by its number.
        quarantine_run: the run that its quarantine is of; 0: none is recorded, it never had
            records.
        other: the pipeline that published it last, if it was another than the one asked for.
    """

    version: int
    rows: int
    lineage: dict[str, Any]
    same_removal: bool = True
    same_precision: bool = True
    publisher: Publisher = field(default_factory=Publisher)
    quarantine_run: int = 0
    other: str | None = None

    @property
    def is_unsettled(self) -> bool:
        """True if a replay was cut off after it had published rows, before they left the
        quarantine.
        """
        return (
            self.quarantine_run == self.publisher.before
            and self.quarantine_run != self.publisher.run
        )

    @property
    def is_cut_off(self) -> bool:
        """True if a run that scored the slice was cut off after its quarantine, before its
        predictions: they are of two runs.
        """
        return not self.is_unsettled and self.quarantine_run not in (0, self.publisher.run)

    def is_stale(self, landed: Landed | None, digest: str | None) -> bool:
        """True if the slice's data changed since, if another model, another precision or other rows
        of it would be scored now, or if its rows are of several models or runs.

        Args:
            landed: None: nothing of it has landed here.
            digest: of the bundle that would score; None: not known.
        """
        if (
            not (self.same_removal and self.same_precision)
            or self.publisher.mixed
            or self.is_cut_off
        ):
            return True
        # A slice without rows says nothing of its inputs; scoring it again costs nothing.
        if not self.lineage or (landed is not None and self.is_of_other_data(landed)):
            return True
        return digest not in (None, self.lineage[contracts.BUNDLE_DIGEST])

    def is_of_other_data(self, landed: Landed) -> bool:
        """True if the slice's data changed since; of a slice that has rows."""
        if self.lineage[contracts.SOURCE_VERSION] < landed.changed_at:
            return True
        return (
            landed.recorded_at is not None
            and self.lineage[contracts.SCORED_AT] < landed.recorded_at
        )


_LINEAGE = (
    contracts.MODEL_NAME,
    contracts.MODEL_VERSION,
    contracts.BUNDLE_DIGEST,
    contracts.SOURCE_VERSION,
    contracts.RUN_ID,
    contracts.SCORED_AT,
)


def read_published(
    context: Context, only: str | None = None, replaced: bool = False
) -> dict[str, Published]:
    """Every published slice of a pipeline by name, or the one asked for; a file is opened for each
    of them.

    Args:
        replaced: its rows are about to be written anew, so a damaged file is as one without rows.

    Runs on: driver.
    """
    from batchinfer.lake.delta import exists, snapshot_files
    from batchinfer.lake.ledger import owners_of, precision_of, publisher_of, rows_id, slices_of
    from batchinfer.lake.log import read_transactions
    from batchinfer.pipeline.definition.table_steps import removal

    table = context.predictions
    if not exists(table):
        return {}
    by_slice: dict[str | None, list[DataFile]] = {}
    for file in snapshot_files(table, None if only is None else {contracts.SLICE: only}):
        by_slice.setdefault(file.partition[contracts.SLICE], []).append(file)
    found: dict[str, Published] = {}
    known, now, precision = (
        read_transactions(table),
        removal(context.pipeline),
        context.pipeline.model.precision,
    )
    quarantined = read_transactions(context.quarantine) if exists(context.quarantine) else {}
    owners = owners_of(known)
    for slice_, version in slices_of(known).items():
        if slice_ is None or only not in (None, slice_):
            continue
        other = owners.get(slice_, context.name)
        files = by_slice.get(slice_, [])
        lineage: dict[str, Any] = {}
        if files:
            try:
                lineage = _read_lineage(table, files[0].path)
            except DamagedFile:
                if not replaced:
                    raise
        found[slice_] = Published(
            version,
            sum(file.known_rows for file in files),
            lineage,
            same_removal=known.get(rows_id(slice_), 0) == now,
            same_precision=precision_of(known, slice_) == precision,
            publisher=publisher_of(known, slice_),
            quarantine_run=publisher_of(quarantined, slice_).run,
            other=None if other == context.name else other,
        )
    return found


def check_owner(context: Context, slice_: str, published: Published | None) -> str | None:
    """What is to be said of a slice that another pipeline published; None where none did.

    Raises:
        InputError: that pipeline shares the sink, so the slice is its own.
    """
    if published is None or published.other is None:
        return None
    fact = f"slice {slice_} of {context.predictions} was published by pipeline {published.other}"
    if context.pipeline.sink.shared:
        raise InputError(
            f"{fact}; allowed where a sink is shared: slices that no other pipeline publishes"
        )
    return f"{fact} before, and its predictions give way to those of {context.name}"


def _read_lineage(table: str, path: str) -> dict[str, Any]:
    from batchinfer.checked_parquet import CheckedParquetFile
    from batchinfer.lake.table_places import open_filesystem, reading_faults

    filesystem, root = open_filesystem(table)
    with (
        reading_faults(f"{table}/{path}"),
        CheckedParquetFile(filesystem, f"{root}/{path}") as reader,
    ):
        for batch in reader.iter_batches(batch_size=1, row_groups=[0], columns=list(_LINEAGE)):
            return batch.to_pylist()[0]
    raise InputError(f"{table}/{path} has no rows; allowed: the rows that the table's log tells of")
