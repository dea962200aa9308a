"""One attempt at rows of one slice, from the first row to the commit that publishes them.

Order: read and score on executors (files staged, no commit refers to them), judge, commit. Which
rows these are, and which commits they get, is told by the one who attempts it: `score` has the
whole slice, `replay` what of it is in quarantine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from batchinfer import contracts
from batchinfer.errors import ChecksFailed, TooManyQuarantined
from batchinfer.pipeline.definition.costs import note_held, tell_cost
from batchinfer.pipeline.definition.quarantine_rate import shows_quarantine
from batchinfer.pipeline.reuse.done_before import DoneBefore, remove_attempt
from batchinfer.pipeline.reuse.known_index import KnownIndex
from batchinfer.pipeline.scoring import few_rows
from batchinfer.pipeline.scoring.compiled_programs import keep_compiled
from batchinfer.pipeline.scoring.earlier_runs import estimated_seconds, runs_of_bundle
from batchinfer.pipeline.scoring.judging import Judge, RowsToJudge, too_many_failed
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.pipeline.scoring.report_page import save_report, score_histogram
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, judged_columns
from batchinfer.pipeline.scoring.roads import RoadOutcome, run_road
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.report.terminal import step
from batchinfer.spark.capacity import is_one_process, master_of, model_workers
from batchinfer.spark.first_job import begin_first_job
from batchinfer.spark.frames import files_frame
from batchinfer.spark.jvm import is_running, needing_session
from batchinfer.spark.session import import_spark

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.contracts import DataFile
    from batchinfer.lake.runs import LatestRun
    from batchinfer.spark.session import OpenSession


class RowsOfSlice(Protocol):
    """The rows that are attempted, and what becomes of them. Each of these runs on the driver."""

    @property
    def done(self) -> DoneBefore:
        """Those of them that need no scoring."""
        ...

    def prepare(self, attempt: Publication) -> DataFrame | None:
        """The rows after table transforms, as far as Spark can judge those before a row is read;
        None: the rows as they landed.
        """
        ...

    def check_rows(self, attempt: Publication) -> None:
        """Judges the rows before one of them is scored."""
        ...

    def check_found(self, found: int) -> None:
        """Judges how many rows the tasks have read."""
        ...

    def known_rows(
        self, attempt: Publication, earlier: Sequence[LatestRun]
    ) -> AbstractContextManager[KnownIndex | None]:
        """Rows that were answered before, while the block runs; None: all are scored."""
        ...

    def published_beside(self) -> Sequence[DataFile]:
        """Files of the predictions table that stay where these rows are published."""
        ...

    def refuse(self, outcome: RunOutcome) -> None:
        """What is kept where nothing is published."""
        ...

    def commit(self, outcome: RunOutcome) -> None:
        """Publishes what was scored; the report then has the table's version."""
        ...


class Publication:
    """One attempt: its inputs, its rows, and what became of them so far.

    Args:
        beside: scores and judges the rows, which are few, beside the driver; None: executors do.
    """

    def __init__(
        self,
        inputs: ResolvedInputs,
        rows: RowsOfSlice,
        open_session: OpenSession,
        beside: few_rows.Beside | None = None,
    ) -> None:
        self.inputs, self.rows, self.beside = inputs, rows, beside
        self.context, self.report = inputs.columns.context, inputs.report
        self._open_session = open_session
        self.outcome = RunOutcome()
        judging = beside.judging if beside is not None else None
        local = is_one_process(master_of(self.context.environment.spark))
        self.judge = Judge(inputs.suites, inputs.report, self.context.sensitive, judging, local)
        self.prepared: DataFrame | None = None
        self.histogram: dict[str, Any] | None = None

    @cached_property
    def spark(self) -> SparkSession:
        """The session, opened when it is first needed: a few rows may need none."""
        started = time.perf_counter()
        with needing_session(self.report.session):
            opened = self._open_session()
        self.report.stage_seconds["session"] = round(time.perf_counter() - started, 3)
        return opened

    def spark_because(self, why: str) -> SparkSession:
        """The session, where something turns out to need it that nobody foresaw.

        Args:
            why: told by the report, unless the run has a session for another reason.
        """
        self.report.session = self.report.session or ("" if is_running() else why)
        return self.spark

    def run(self, started: float) -> None:
        """Publishes the rows; the page is written whether they were published or refused.

        Args:
            started: `perf_counter` when the command began.

        Raises:
            ChecksFailed, TooManyQuarantined: with the facts of the report.
            InputError, ModelError, StorageError: as `score` tells them.
        """
        report = self.report
        try:
            self._publish()
        except (ChecksFailed, TooManyQuarantined) as error:
            report.status = "failed"
            report.seconds = round(time.perf_counter() - started, 3)
            tell_cost(self.context.pipeline.prices, report)
            self._write_report(error.problems)
            error.facts = report.to_json()
            raise
        report.seconds = round(time.perf_counter() - started, 3)
        tell_cost(self.context.pipeline.prices, report)
        self._write_report(())

    def _publish(self) -> None:
        inputs, report = self.inputs, self.report
        earlier = runs_of_bundle(self.context.runs, self.context.name, inputs.model.ref.digest)
        report.estimated_s = estimated_seconds(earlier, inputs.data.rows)
        self._warm_up()
        self.judge.prepare()
        self.prepared = self.rows.prepare(self)
        if inputs.data.files:
            self.rows.check_rows(self)
        started = time.perf_counter()
        done = self._score_rows(earlier)
        self.outcome.take_over(self.rows.done)
        for result in done.results:
            self.outcome.add(result)
        report.road, report.road_reason = done.road.name, done.road.reason
        report.equal_rows = done.equal_rows
        report.warnings += self.outcome.warnings
        compiled = (result.compiled for result in done.results)
        keep_compiled(
            self.context.bundle_cache, self.context.run_id, inputs.model.ref.digest, compiled
        )
        try:
            index_s = report.stage_seconds.get("index", 0.0)
            self._count(time.perf_counter() - started - index_s)
            self.histogram = score_histogram(
                self.context.predictions, self.outcome.published, inputs.model.outputs
            )
            self._check_rate()
            self._check_predictions()
            started = time.perf_counter()
            with step(f"publishing slice {report.slice}"):
                self.rows.commit(self.outcome)
            report.stage_seconds["commit"] = round(time.perf_counter() - started, 3)
        except BaseException as error:
            remove_attempt(self.context, report.slice, self.outcome.files, error)
            raise

    def _warm_up(self) -> None:
        """Starts what takes seconds, where it will be needed, as much of it as can at once."""
        self.report.stage_seconds["session"] = 0.0
        if self.judge.needs_session:
            from batchinfer.checks.expectations import preload

            # Importing Great Expectations takes seconds: they pass while the JVM starts.
            import_spark()
            preload()
        if self.judge.needs_session or self.beside is None:
            spark = self.spark
            if self.beside is None:
                begin_first_job(spark)

    def _score_rows(self, earlier: Sequence[LatestRun]) -> RoadOutcome:
        with self.rows.known_rows(self, earlier) as known:
            if self.beside is not None:
                self.report.workers = 1
                return few_rows.score_here(self.inputs, self.beside.model, known)
            task = self.context.environment.spark.model_task
            self.report.workers = model_workers(self.spark, task)
            return run_road(self.spark, self.inputs, earlier, self.rows.done, self.prepared, known)

    def _count(self, inference_s: float) -> None:
        outcome, report = self.outcome, self.report
        self.rows.check_found(outcome.rows_in)
        report.rows_in, report.rows_scored, report.rows_reused = (
            outcome.rows_in,
            outcome.rows_scored,
            outcome.rows_reused,
        )
        report.rows_carried = outcome.rows_carried
        report.rows_quarantined, report.rows_removed = (
            outcome.rows_quarantined,
            outcome.rows_removed,
        )
        report.rows_resumed, report.rows_kept = outcome.rows_resumed, outcome.rows_kept
        report.stage_seconds |= outcome.stages(inference_s, report.workers) | {
            "inference": round(inference_s, 3)
        }
        report.worker_bytes = outcome.worker_bytes
        devices = [task["use"]["device"] for task in outcome.tasks]
        note_held(self.context, report, self.__dict__.get("spark"), devices)
        report.batch_rates = Rates.greatest(outcome.rates).rounded()
        if not outcome.stopped:
            outcome.check_complete(self.inputs.data.rows)

    def _check_rate(self) -> None:
        """Too many rows that failed publish nothing (exit 5)."""
        allowed = self.context.pipeline.checks.max_quarantine_rate
        reasons = self.inputs.columns.preparation.reasons()
        problem = too_many_failed(self.outcome, allowed, reasons)
        if problem is None:
            return
        self.rows.refuse(self.outcome)
        raise TooManyQuarantined(
            f"slice {self.report.slice}: {problem} Nothing was published; the rows are in "
            f"{self.context.quarantine} with published = false",
            shows_quarantine(self.context.asked, self.report.slice),
        )

    def _check_predictions(self) -> None:
        """Great Expectations judges the slice as it would be; a suite that fails publishes nothing
        (exit 4).
        """
        from batchinfer.lake.staged_files import read_typed
        from batchinfer.pipeline.slices.slice_table import with_slice

        if "predictions" not in self.inputs.suites or not self.outcome.published:
            return

        context = self.context
        types = judged_columns(self.inputs.columns, self.inputs.model)["predictions"]
        in_files = {name: type_ for name, type_ in types.items() if name != contracts.SLICE}
        # Files that were published before may lack columns.
        beside = self.rows.published_beside()
        files = [*beside, *self.outcome.files]

        def table(columns: Sequence[str] | None) -> pa.Table:
            wanted = list(types) if columns is None else columns
            read = {name: type_ for name, type_ in in_files.items() if name in wanted}
            rows = read_typed(context.predictions, files, read)
            return with_slice(rows, self.report.slice) if contracts.SLICE in wanted else rows

        def frame() -> DataFrame:
            from pyspark.sql.functions import lit

            paths = [file.path for file in files]
            known = None if beside else in_files
            rows = files_frame(self.spark, context.predictions, paths, known)
            return rows.withColumn(contracts.SLICE, lit(self.report.slice))

        counts = [file.rows for file in files]
        read = None if None in counts else table
        rows = RowsToJudge(types, sum(one or 0 for one in counts), len(files), read, frame)
        if failures := self.judge.failures("predictions", rows):
            self.rows.refuse(self.outcome)
            raise ChecksFailed(
                [f"predictions check of slice {self.report.slice}: {each}" for each in failures]
            )

    def _lookup_command(self) -> str | None:
        """The command that looks up one of the rows that were published; None where there is none,
        or none whose key may be shown.
        """
        from batchinfer.lake.staged_files import first_staged
        from batchinfer.lookups.key_values import format_key

        if not self.outcome.published:
            return None
        columns = self.inputs.columns.key
        if self.context.sensitive.among(columns):
            return None
        row = first_staged(self.context.predictions, self.outcome.published[0], list(columns))
        key = format_key({name: str(value) for name, value in row.items()})
        return self.context.asked.command("lookup", "--key", key)

    def _write_report(self, errors: Sequence[str]) -> None:
        """Writes the run's page, and its JSON beside it."""
        from batchinfer.report.timing import device_use, explain_time

        report, tasks = self.report, self.outcome.tasks
        report.device_use = device_use(tasks)
        report.explanation = explain_time(report.stage_seconds, report.seconds, tasks).sentence
        extra = {
            "reasons": dict(self.outcome.reasons),
            "tasks": tasks,
            "histogram": self.histogram,
            "lookup": None if errors else self._lookup_command(),
        }
        body = report.to_json() | {"checks": self.judge.results, "errors": list(errors)}
        report.report = save_report(body, extra, self.context.environment.reports)
