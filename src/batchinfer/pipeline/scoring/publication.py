"""One attempt at one slice, from the first row to the commit that publishes its predictions.

Order: read and score on executors (files staged, no commit refers to them), judge, commit the
quarantine, commit the predictions. Only the last step makes the run count.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from batchinfer import contracts
from batchinfer.errors import ChecksFailed, InputError, TooManyQuarantined
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.scoring import commits, few_rows
from batchinfer.pipeline.scoring.compiled_programs import keep_compiled
from batchinfer.pipeline.scoring.earlier_runs import estimated_seconds, runs_of_bundle
from batchinfer.pipeline.scoring.histogram import score_histogram
from batchinfer.pipeline.scoring.judging import Judge, too_many_failed
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs
from batchinfer.pipeline.scoring.roads import RoadOutcome, run_road
from batchinfer.pipeline.scoring.task_result import Rates
from batchinfer.pipeline.slices.unique_keys import check_keys
from batchinfer.spark.capacity import model_workers
from batchinfer.spark.session import import_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.inference.watchdog import ChildRunner

    OpenSession = Callable[[], SparkSession]


def attempt(run: Publication, started: float) -> None:
    """Publishes the run; its page is written whether it was published or its rows were refused."""
    report, errors = run.report, ()
    try:
        run.publish()
    except (ChecksFailed, TooManyQuarantined) as error:
        report.status, errors = "failed", error.problems
        report.seconds = round(time.perf_counter() - started, 3)
        run.write_report(errors)
        error.facts = report.to_json()
        raise
    report.seconds = round(time.perf_counter() - started, 3)
    run.write_report(errors)


class Publication:
    """One attempt at one slice, from the first row to the commit.

    Attributes:
        seen: version by which the slice was published when the attempt began; None: it was not.
    """

    def __init__(
        self,
        context: Context,
        inputs: ResolvedInputs,
        open_session: OpenSession,
        evolve: bool = False,
        child: ChildRunner | None = None,
        seen: int | None = None,
    ) -> None:
        self.seen = seen
        self.context, self.evolve, self.child = context, evolve, child
        self.columns = inputs.columns
        self.data, self.model, self.suites, self.road = (
            inputs.data,
            inputs.model,
            inputs.suites,
            inputs.road,
        )
        self.report = inputs.report
        self.earlier = runs_of_bundle(context, self.model.ref.digest)
        self.report.estimated_s = estimated_seconds(self.earlier, self.data.rows)
        self.report.stage_seconds["session"] = 0.0
        self._open_session = open_session
        if self.suites:
            from batchinfer.checks.expectations import preload

            # Importing it takes seconds: they pass while the JVM starts.
            import_spark()
            preload()
        if self.suites or child is None:
            _ = self.spark
        self.outcome = RunOutcome()
        self.histogram: dict[str, Any] | None = None
        self.prepared: DataFrame | None = None
        self.judge = Judge(self.suites, self.report)

    @cached_property
    def spark(self) -> SparkSession:
        """The session, opened when it is first needed: a few rows may need none."""
        started = time.perf_counter()
        opened = self._open_session()
        self.report.stage_seconds["session"] = round(time.perf_counter() - started, 3)
        return opened

    def publish(self) -> None:
        from batchinfer.lake.staged_files import remove_staged

        self.judge.prepare()
        self._prepare_rows()
        self._check_input()
        started = time.perf_counter()
        done = self._score_rows()
        for result in done.results:
            self.outcome.add(result)
        self.report.road, self.report.road_reason = done.road.name, done.road.reason
        self.report.equal_rows = done.equal_rows
        self.report.warnings += self.outcome.warnings
        compiled = (result.compiled for result in done.results)
        keep_compiled(self.context, self.model.ref.digest, compiled)
        try:
            self._count(time.perf_counter() - started)
            self.histogram = score_histogram(
                self.context.predictions, self.outcome.files, self.model.outputs
            )
            self._check_rate()
            self._check_predictions()
            started = time.perf_counter()
            self._commit()
            self.report.stage_seconds["commit"] = round(time.perf_counter() - started, 3)
        except BaseException:
            remove_staged(self.context.predictions, self.outcome.files)
            raise

    def _score_rows(self) -> RoadOutcome:
        if self.child is not None:
            self.report.workers = 1
            return few_rows.score_here(self.columns, self.data, self.model, self.child)
        self.report.workers = model_workers(self.spark, self.context.environment.spark.model_task)
        return run_road(
            self.spark, self.columns, self.data, self.road, self.model, self.earlier, self.prepared
        )

    def _count(self, inference_s: float) -> None:
        outcome, report = self.outcome, self.report
        report.rows_in, report.rows_scored, report.rows_reused = (
            outcome.rows_in,
            outcome.rows_scored,
            outcome.rows_reused,
        )
        report.rows_quarantined, report.rows_removed = (
            outcome.rows_quarantined,
            outcome.rows_removed,
        )
        report.stage_seconds |= outcome.stages(inference_s, report.workers) | {
            "inference": round(inference_s, 3)
        }
        report.worker_bytes = outcome.worker_bytes
        report.batch_rates = Rates.greatest(outcome.rates).rounded()
        if outcome.stopped:
            return
        out = outcome.rows_scored + outcome.rows_reused + outcome.rows_quarantined
        written = sum(file.rows for file in outcome.files)
        if (
            not self.data.rows == outcome.rows_in == out
            or written != outcome.rows_scored + outcome.rows_reused
        ):
            raise RuntimeError(
                f"rows were lost: {self.data.rows} landed, {outcome.rows_in} read, "
                f"{outcome.rows_scored} scored, "
                f"{outcome.rows_reused} reused, {outcome.rows_quarantined} quarantined, {written} "
                "written"
            )

    def _prepare_rows(self) -> None:
        """The table transforms, as far as Spark can judge them before a row of the slice is read
        (exits 2 and 3).
        """
        from batchinfer.pipeline.slices.prepared import prepared_frame

        started = time.perf_counter()
        preparation = self.columns.preparation
        self.report.feature_tables = preparation.used_tables()
        if preparation.steps and self.data.files:
            self.prepared = prepared_frame(self.spark, self.columns, self.data, self.columns.landed)
            self.report.stage_seconds["prepare"] = round(time.perf_counter() - started, 3)

    def _check_input(self) -> None:
        """Duplicate keys and the input suite, before any row is scored (exit 3). The suite judges
        the rows as they landed.
        """
        from pyspark.sql.functions import lit

        from batchinfer.contracts import SLICE
        from batchinfer.pipeline.slices.slice_frames import slice_frame

        if not self.data.files:
            return
        started = time.perf_counter()
        check_keys(lambda: self.spark, self.columns, self.data, self.road, self.prepared)
        self.report.stage_seconds["keys"] = round(time.perf_counter() - started, 3)
        if "input" not in self.suites:
            return
        frame = slice_frame(self.spark, self.data)
        frame = frame if SLICE in frame.columns else frame.withColumn(SLICE, lit(self.data.slice))
        if failures := self.judge.failures(frame, "input"):
            raise InputError(
                [f"input check of slice {self.data.slice}: {failure}" for failure in failures]
            )

    def _check_rate(self) -> None:
        """Too many rows that failed publish nothing (exit 5)."""
        allowed = self.context.pipeline.checks.max_quarantine_rate
        problem = too_many_failed(self.outcome, allowed, self.columns.preparation.reasons())
        if problem is None:
            return
        self._refuse()
        raise TooManyQuarantined(
            f"slice {self.data.slice}: {problem} Nothing was published; the rows are in "
            f"{self.context.quarantine} with published = false"
        )

    def _check_predictions(self) -> None:
        """Great Expectations judges the slice as it would be; a suite that fails publishes nothing
        (exit 4).
        """
        from pyspark.sql.functions import lit

        from batchinfer.spark.frames import files_frame

        if "predictions" not in self.suites or not self.outcome.files:
            return
        frame = files_frame(self.spark, self.context.predictions, self._files_to_judge())
        frame = frame.withColumn(contracts.SLICE, lit(self.data.slice))
        if failures := self.judge.failures(frame, "predictions"):
            self._refuse()
            raise ChecksFailed(
                [f"predictions check of slice {self.data.slice}: {failure}" for failure in failures]
            )

    def _files_to_judge(self) -> list[str]:
        return [file.path for file in self.outcome.files]

    def _refuse(self) -> None:
        """Nothing is published; the rows that failed are kept."""
        commits.commit_failed_rows(
            self.context, self.outcome.quarantine, self.data.slice, published=False
        )

    def _commit(self) -> None:
        slice_ = self.data.slice
        commits.commit_failed_rows(self.context, self.outcome.quarantine, slice_, published=True)
        commits.ensure_predictions(self.columns, self.model, self.evolve)
        self.report.version = commits.commit_slice(
            self.context, self.outcome.files, self.report, self.seen
        )

    def write_report(self, errors: tuple[str, ...]) -> None:
        """Writes the run's page, and its JSON beside it."""
        from batchinfer.pipeline.scoring.report_page import save_report
        from batchinfer.report.timing import device_use, explain_time

        report, tasks = self.report, self.outcome.tasks
        report.device_use = device_use(tasks)
        report.explanation = explain_time(report.stage_seconds, report.seconds, tasks).sentence
        extra = {
            "reasons": dict(self.outcome.reasons),
            "tasks": tasks,
            "histogram": self.histogram,
        }
        body = self.report.to_json() | {"checks": self.judge.results, "errors": list(errors)}
        self.report.report = save_report(body, extra, self.context.environment.reports)
