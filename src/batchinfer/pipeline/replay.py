"""`replay`: the rows of a published slice that could not be scored are scored again, and those that
pass now join the slice.

Order: the predictions first, the quarantine second. So a row that passes is never in neither of
them; a replay that is killed between the two leaves rows in both, and the next one takes them out
of the quarantine without scoring them again, as a score does (`scoring.settling`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from batchinfer.command_reports import RunReport
from batchinfer.contracts import SLICE, DataFile
from batchinfer.errors import InputError, InputMissing
from batchinfer.hinted_commands import Asked
from batchinfer.hints import Hint
from batchinfer.inference.road_choice import Road
from batchinfer.lake.ledger import run_number
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.costs import tell_cost
from batchinfer.pipeline.reuse.done_before import DoneBefore
from batchinfer.pipeline.run_record import recorded
from batchinfer.pipeline.scoring import commits, settling
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.pipeline.scoring.publication import Publication
from batchinfer.pipeline.scoring.published import Published, check_owner, read_published
from batchinfer.pipeline.scoring.quarantined import rows_with_keys
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, resolve_inputs

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from batchinfer.lake.runs import LatestRun
    from batchinfer.spark.session import OpenSession

    # The slice's rows that no step removed, made when they are first asked for.
    Rows = Callable[[], DataFrame]

_REASON = (
    "only the {rows:,} rows of the quarantine: Spark finds them by their keys, Arrow "
    "batches "
    "take them to the workers"
)


@recorded("replay")
def replay_slice(context: Context, slice_: str, open_session: OpenSession) -> RunReport:
    """Scores the quarantined rows of a published slice again, with the model that the pipeline
    names now.

    Rows that pass join the published ones in one commit; the others stay in quarantine, with what
    is wrong with them now. `checks.max_quarantine_rate` does not count here: the slice was
    published with these rows quarantined. Rows without a key, and those that a table transform
    removed, are not scored.

    Runs on: driver.

    Raises:
        InputMissing: nothing has landed for the slice, or it was never published.
        InputError: its data, or what the pipeline file says of its rows, changed since: then the
            whole slice is to be scored.
        ConfigError, ChecksFailed, SliceHeld, ModelError, StorageError: as of `score`. The
            predictions are then as they were; if only the quarantine could not be written, they
            have the rows that passed, and the next replay does the rest.
    """
    from batchinfer.lake.orphans import hold_and_sweep

    started = time.perf_counter()
    context = _without_limit(context)
    inputs = resolve_inputs(context, slice_)
    report = inputs.report
    report.status = "unchanged"
    lake, tables = context.environment.lake, context.staged_tables
    with hold_and_sweep(lake, context.name, slice_, context.run_id, tables) as swept:
        report.warnings += swept
        published = read_published(context, slice_).get(slice_)
        if published is None:
            raise InputMissing(
                f"slice {slice_} of pipeline {context.name} was never published in "
                f"{context.predictions}; "
                "allowed: a slice that has been scored",
                _hint(context.asked, slice_),
            )
        report.version = published.version
        check_owner(context, slice_, published)
        rows = cache(lambda: settling.remaining_rows(inputs, open_session))
        waiting = _waiting(inputs, published, open_session, rows)
        if waiting.num_rows:
            attempted = replace(
                inputs,
                data=replace(inputs.data, rows=waiting.num_rows),
                road=_road(inputs.road, waiting.num_rows),
                # The rows were judged as input when the slice was scored.
                suites={
                    kind: suite for kind, suite in inputs.suites.items() if kind == "predictions"
                },
            )
            quarantined = QuarantinedRows(attempted, published, waiting, rows)
            Publication(attempted, quarantined, open_session).run(started)
    report.seconds = round(time.perf_counter() - started, 3)
    tell_cost(context.pipeline.prices, report)
    return report


def _without_limit(context: Context) -> Context:
    """The pipeline, allowed to quarantine all rows: those of a replay are quarantined already."""
    pipeline = context.pipeline
    checks = pipeline.checks.model_copy(update={"max_quarantine_rate": 1.0})
    return replace(
        context,
        loaded=replace(context.loaded, pipeline=pipeline.model_copy(update={"checks": checks})),
    )


def _road(chosen: Road, rows: int) -> Road:
    """Frames, whatever was chosen for the slice: workers do not look for single rows in files."""
    return Road("pandas" if chosen.name == "pandas" else "arrow", _REASON.format(rows=rows))


def _hint(asked: Asked, slice_: str, *force: str) -> str:
    command = asked.command("score", "--slice", slice_, *force)
    return Hint(command, " scores all rows of the slice, those in quarantine too")


def _waiting(
    inputs: ResolvedInputs, published: Published, open_session: OpenSession, rows: Rows
) -> pa.Table:
    """Key and reason of the rows to score, as the quarantine has them; what an interrupted replay
    published leaves it first.
    """
    from batchinfer.lake.quarantine import read_scored

    context = inputs.columns.context
    records = read_scored(context.quarantine, inputs.data.slice)
    _check_complete(inputs, published, records.num_rows)
    waiting = settling.scorable(inputs, records)
    if not waiting.num_rows:
        inputs.report.explanation = f"no row in {context.quarantine} could be scored by another try"
    else:
        _check_same(context, inputs, published)
        waiting = settling.of_one_row(inputs, waiting, rows)
    if published.is_unsettled:
        waiting = settling.take_out_published(inputs, published, waiting, open_session)
    return waiting


def _check_complete(inputs: ResolvedInputs, published: Published, quarantined: int) -> None:
    """Whether the quarantine is that of the predictions, and all rows of the slice are in one of
    the two.

    Raises:
        InputError: they are of two runs.
    """
    slice_, data = inputs.data.slice, inputs.data
    context = inputs.columns.context
    if published.is_cut_off:
        raise InputError(
            f"slice {slice_} of pipeline {context.name}: a run that scored it was cut off between "
            "its commits, so its quarantine is of another run than its predictions; "
            "allowed: predictions and quarantine of one run",
            _hint(context.asked, slice_),
        )
    if published.is_unsettled or published.is_of_other_data(data):
        return
    if data.rows != published.rows + quarantined:
        inputs.report.warnings.append(
            f"slice {slice_}: {data.rows:,} rows landed, {published.rows:,} are published and "
            f"{quarantined:,} are in quarantine; "
            "something else has taken rows out. " + _hint(context.asked, slice_, "--force")
        )


def _check_same(context: Context, inputs: ResolvedInputs, published: Published) -> None:
    """Whether the rows in quarantine are those that a run would score now."""
    slice_ = inputs.data.slice
    precision = context.pipeline.model.computes_in
    without = (
        "an earlier build published it without a row, so nothing tells which data its "
        "quarantine is of"
    )
    other_rows = "the steps of prepare that remove rows, or sink.carry, changed after it was scored"
    other_precision = f"it was scored in another model.precision or model.quantize than {precision}"
    reasons = {
        without: published.made_of is None,
        "its data changed after it was scored": published.is_of_other_data(inputs.data),
        other_rows: not published.same_rows,
        other_precision: not published.same_precision,
    }
    problems = [
        f"slice {slice_} of pipeline {context.name}: {reason}"
        for reason, holds in reasons.items()
        if holds
    ]
    if problems:
        raise InputError(problems, _hint(context.asked, slice_))


@dataclass(frozen=True)
class QuarantinedRows:
    """The rows in quarantine of a published slice, which join it once they pass. The predictions
    are committed first, so that a row is never in neither of the two tables.

    Attributes:
        inputs: of the slice; `data.rows` counts these rows alone.
        waiting: key and reason of each, as the quarantine has them.
        rows: those of the slice that no step removed.
    """

    inputs: ResolvedInputs
    published: Published
    waiting: pa.Table
    rows: Rows

    @property
    def done(self) -> DoneBefore:
        """Nothing: they are in quarantine."""
        return DoneBefore()

    def prepare(self, attempt: Publication) -> DataFrame | None:
        started = time.perf_counter()
        columns, report = self.inputs.columns, self.inputs.report
        report.feature_tables = columns.preparation.used_tables()
        found = rows_with_keys(self.rows(), self.waiting["key"].to_pylist(), columns.key)
        report.stage_seconds["prepare"] = round(time.perf_counter() - started, 3)
        return found

    def check_rows(self, attempt: Publication) -> None:
        """Nothing: keys and input were judged when the slice was scored."""

    def check_found(self, found: int) -> None:
        data, columns = self.inputs.data, self.inputs.columns
        if found != data.rows:
            raise InputError(
                f"slice {data.slice}: {data.rows:,} rows are in quarantine, and {found:,} of "
                f"{data.table} have their keys ({', '.join(columns.key)}); allowed: one row a key",
                _hint(columns.context.asked, data.slice, "--force"),
            )

    def known_rows(
        self, attempt: Publication, earlier: Sequence[LatestRun]
    ) -> AbstractContextManager[None]:
        """None: a row in quarantine has no answer."""
        return nullcontext()

    def published_beside(self) -> Sequence[DataFile]:
        from batchinfer.lake.delta import snapshot_files

        table = self.inputs.columns.context.predictions
        return snapshot_files(table, {SLICE: self.inputs.data.slice})

    def refuse(self, outcome: RunOutcome) -> None:
        """Nothing: the rows are in quarantine already, and stay there as they are."""

    def commit(self, outcome: RunOutcome) -> None:
        from batchinfer.lake.quarantine import commit_replayed

        context, run = self.inputs.columns.context, None
        if outcome.files:
            inputs = self.inputs
            slice_ = inputs.data.slice
            commits.ensure_predictions(inputs.columns, inputs.model, slice_, evolve=False)
            run = run_number(context.run_id)
            self.inputs.report.version = commits.commit_joining(
                self.inputs, outcome.files, self.published, self._is_mixed()
            )
            self.inputs.report.status = "published"
        commit_replayed(
            context.quarantine,
            self.waiting,
            outcome.quarantine,
            slice=self.inputs.data.slice,
            run=run,
        )

    def _is_mixed(self) -> bool:
        """Whether the slice's rows are of several models from now on."""
        made_of, ref = self.published.made_of, self.inputs.model.ref
        other = not self.published.is_by(ref.digest)
        if other and made_of is not None:
            self.inputs.report.warnings.append(
                f"rows of slice {self.inputs.data.slice} are of version {made_of.model_version} of "
                f"the model, those scored now of version {ref.version}: the slice counts as stale "
                "until it is scored by one of them"
            )
        return other or self.published.publisher.mixed
