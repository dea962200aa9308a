"""What the predictions table says of each slice: which data and model its rows came from. No
JVM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchinfer import contracts
from batchinfer.contracts import DataFile
from batchinfer.errors import NO_FAULT_OF_SLICE, DamagedFile, InputError
from batchinfer.lake.ledger import (
    MadeOf,
    Publisher,
    made_of,
    model_number,
    owners_of,
    precision_of,
    publisher_of,
    rows_id,
    slices_of,
)
from batchinfer.lake.log import read_transactions
from batchinfer.lake.table_places import open_filesystem, reading_faults
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.table_steps import rows_number
from batchinfer.pipeline.slices.slice_data import LandedSlice, SliceData

if TYPE_CHECKING:
    from batchinfer.lake.runs import LatestRun
    from batchinfer.pipeline.reuse.reuse_choice import ReuseChoice

Landed = LandedSlice | SliceData


@dataclass(frozen=True)
class Published:
    """One published slice.

    Attributes:
        version: Delta version of the commit that published it.
        rows: rows there are.
        size: bytes of their files.
        made_of: the data, the model and the run that its rows are of; None where an earlier build
            has published it without a row.
        same_rows: the pipeline removes rows by the same steps as it did then, and carries the same
            columns of them along.
        same_precision: its model computes in what it did then.
        publisher: the run that published it last, by its number.
        quarantine_run: the run that its quarantine is of; 0: none is recorded, it never had
            records.
        other: the pipeline that published it last, if it was another than the one asked for.
    """

    version: int
    rows: int
    made_of: MadeOf | None
    same_rows: bool = True
    same_precision: bool = True
    publisher: Publisher = field(default_factory=Publisher)
    quarantine_run: int = 0
    other: str | None = None
    size: int = 0

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
        if not (self.same_rows and self.same_precision) or self.publisher.mixed or self.is_cut_off:
            return True
        # Nothing says what it was made of, and it has no row: scoring it again costs nothing.
        if self.made_of is None or (landed is not None and self.is_of_other_data(landed)):
            return True
        return digest is not None and not self.is_by(digest)

    def is_of_other_data(self, landed: Landed) -> bool:
        """True if the slice's data changed since; False where nothing says which data it is of."""
        if self.made_of is None:
            return False
        if self.made_of.data_version < landed.changed_at:
            return True
        return landed.recorded_at is not None and self.made_of.scored_at < landed.recorded_at

    def is_by(self, digest: str) -> bool:
        """True if the slice is of the model with this bundle."""
        return self.made_of is not None and self.made_of.model == model_number(digest)

    def may_answer(self, digest: str) -> bool:
        """True if rows of it may be of the model with this bundle, in the precision that is asked
        for now.
        """
        of_model = self.made_of is None or self.publisher.mixed or self.is_by(digest)
        return self.rows > 0 and self.same_precision and of_model


_LINEAGE = (
    contracts.SOURCE_VERSION,
    contracts.BUNDLE_DIGEST,
    contracts.MODEL_VERSION,
    contracts.RUN_ID,
    contracts.SCORED_AT,
)


def read_published(
    context: Context, only: str | None = None, replaced: bool = False
) -> dict[str, Published]:
    """Every published slice of a pipeline by name, or the one asked for.

    All of it stands in the logs of the tables; of a slice that an earlier build has published, the
    first row says what it was made of.

    Args:
        replaced: its rows are about to be written anew, so a damaged file is as one without rows.

    Runs on: driver.
    """
    from batchinfer.lake.delta import exists, snapshot_files

    table = context.predictions
    if not exists(table):
        return {}
    by_slice: dict[str | None, list[DataFile]] = {}
    for file in snapshot_files(table, None if only is None else {contracts.SLICE: only}):
        by_slice.setdefault(file.partition[contracts.SLICE], []).append(file)
    found: dict[str, Published] = {}
    known, now, precision = (
        read_transactions(table),
        rows_number(context.pipeline),
        context.pipeline.model.computes_in,
    )
    quarantined = read_transactions(context.quarantine) if exists(context.quarantine) else {}
    owners = owners_of(known)
    for slice_, version in slices_of(known).items():
        if slice_ is None or only not in (None, slice_):
            continue
        other = owners.get(slice_, context.name)
        files = by_slice.get(slice_, [])
        origin = made_of(known, slice_)
        if origin is None and files:
            try:
                origin = _of_first_row(table, files[0].path)
            except DamagedFile:
                if not replaced:
                    raise
        found[slice_] = Published(
            version,
            sum(file.known_rows for file in files),
            origin,
            same_rows=known.get(rows_id(slice_), 0) == now,
            same_precision=precision_of(known, slice_) == precision,
            publisher=publisher_of(known, slice_),
            quarantine_run=publisher_of(quarantined, slice_).run,
            other=None if other == context.name else other,
            size=sum(file.size for file in files),
        )
    return found


def has_to_be_scored(
    published: Published | None, landed: Landed, digest: str, force: bool = False
) -> bool:
    """Whether a run of the slice scores it: it is missing or stale, or it is asked for. `score`,
    `backfill` and `plan` choose by it.

    Args:
        digest: of the bundle that would score.
    """
    return force or published is None or published.is_stale(landed, digest)


def slices_to_ask(context: Context, slice_: str) -> str | None:
    """What `read_published` is asked for before a slice is scored: the slice, or None, which is
    all, as rows of others may answer.
    """
    return None if context.pipeline.model.reuse_slices else slice_


def choose_answered(
    context: Context,
    data: SliceData,
    published: Mapping[str, Published],
    digest: str,
    runs: Sequence[LatestRun],
    *,
    force: bool = False,
    done: int = 0,
) -> ReuseChoice:
    """Which published rows are looked up before the slice is scored; `score`, `plan` and the plan
    of a backfill choose by it.

    Args:
        published: of the pipeline, by name; with `model.reuse_slices`, those before the slice too.
        digest: of the bundle that would score.
        runs: earlier runs of the bundle.
        done: rows of the slice that need no scoring, whatever is looked up.

    Runs on: driver, without Spark.
    """
    from batchinfer.pipeline.reuse.reuse_choice import AnsweredSlice, choose_reuse
    from batchinfer.pipeline.scoring.earlier_runs import model_seconds

    settings, slice_ = context.pipeline.model, data.slice
    before = sorted(name for name in published if name < slice_)
    before = before[max(0, len(before) - settings.reuse_slices) :][::-1]
    own = [slice_] if slice_ in published else []
    why_none = ""
    if force:
        why_none = "no: --force scores all rows"
    elif context.looked_up is None:
        why_none = f"no: workers cannot open {context.environment.staging} without Spark"
    return choose_reuse(
        settings.reuse,
        [
            AnsweredSlice(name, published[name].version, published[name].rows, published[name].size)
            for name in [*own, *before]
            if published[name].may_answer(digest)
        ],
        data.rows - done,
        model_seconds(runs),
        why_none=why_none,
    )


def unpublished_state(published: Published | None, last: LatestRun | None) -> str:
    """What is said of a slice that is not up to date: failed, missing or stale.

    Args:
        last: the attempt at it that started last.
    """
    if last is not None and last.exit_code not in NO_FAULT_OF_SLICE:
        return "failed"
    return "missing" if published is None else "stale"


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


def _of_first_row(table: str, path: str) -> MadeOf:
    """What builds that recorded nothing in the commit have left to say it."""
    from batchinfer.checked_parquet import CheckedParquetFile

    filesystem, root = open_filesystem(table)
    with (
        reading_faults(f"{table}/{path}"),
        CheckedParquetFile(filesystem, f"{root}/{path}") as reader,
    ):
        for batch in reader.iter_batches(batch_size=1, row_groups=[0], columns=list(_LINEAGE)):
            row = batch.to_pylist()[0]
            return MadeOf(
                row[contracts.SOURCE_VERSION],
                model_number(row[contracts.BUNDLE_DIGEST]),
                row[contracts.MODEL_VERSION],
                row[contracts.RUN_ID],
                row[contracts.SCORED_AT],
            )
    raise InputError(f"{table}/{path} has no rows; allowed: the rows that the table's log tells of")
