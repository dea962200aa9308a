"""One attempt at one slice, from the first row to the commit that publishes its predictions.

Order: read and score on executors (files staged, no commit refers to them), judge, commit the
quarantine, commit the predictions. Only the last step makes the run count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from batchinfer import contracts
from batchinfer.contracts import RunReport
from batchinfer.errors import ChecksFailed, InputError, TooManyQuarantined
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.definition.table_steps import removal
from batchinfer.pipeline.scoring import few_rows
from batchinfer.pipeline.scoring.compiled_programs import keep_compiled
from batchinfer.pipeline.scoring.earlier_runs import estimated_seconds, runs_of_bundle
from batchinfer.pipeline.scoring.histogram import score_histogram
from batchinfer.pipeline.scoring.outcome import Outcome, ordered
from batchinfer.pipeline.scoring.resolved import (
    Resolved,
    SliceData,
    check_columns,
    choose_road,
    find_slice,
    load_suites,
    resolve_model,
)
from batchinfer.pipeline.scoring.roads import RoadOutcome, run_road
from batchinfer.pipeline.slices.unique_keys import check_keys
from batchinfer.spark.capacity import model_workers
from batchinfer.spark.session import import_spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.inference.road_choice import Road
    from batchinfer.inference.watchdog import ChildRunner

    OpenSession = Callable[[], SparkSession]


@dataclass(frozen=True)
class Given:
    """What an attempt starts from, found and checked before a row is read."""

    data: SliceData
    model: Resolved
    suites: dict[str, Any]
    road: Road
    report: RunReport


def look_up(context: Context, slice_: str) -> Given:
    """Finds the slice, the model and the suites, and holds them against each other.

    Runs on: driver.

    Raises:
        ConfigError, InputError, ModelError, StorageError: each with the exit code of the contract.
    """
    from batchinfer.lake.storage import check_writable

    report = RunReport(
        context.run_id, context.name, "published", slice=slice_, table=context.predictions
    )
    suites = load_suites(context)
    data = find_slice(context, slice_)
    model = resolve_model(context)
    check_columns(context, suites, model)
    # A road that is asked for and impossible is an error on a published slice too.
    road = choose_road(context, data)
    report.precision = context.pipeline.model.precision
    report.model_name, report.model_version = model.ref.name, model.ref.version
    report.bundle_digest = model.ref.digest
    report.source_table, report.source_version = data.table, data.version
    check_writable(context.environment.lake)
    return Given(data, model, suites, road, report)


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
    """One attempt at one slice, from the first row to the commit."""

    def __init__(
        self,
        context: Context,
        given: Given,
        open_session: OpenSession,
        evolve: bool = False,
        child: ChildRunner | None = None,
    ) -> None:
        self.context, self.evolve, self.child = context, evolve, child
        self.data, self.model, self.suites, self.road = (
            given.data,
            given.model,
            given.suites,
            given.road,
        )
        self.report = given.report
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
        self.outcome = Outcome()
        self.histogram: dict[str, Any] | None = None
        self.prepared: DataFrame | None = None
        self.checks: list[dict[str, Any]] = []

    @cached_property
    def spark(self) -> SparkSession:
        """The session, opened when it is first needed: a few rows may need none."""
        started = time.perf_counter()
        opened = self._open_session()
        self.report.stage_seconds["session"] = round(time.perf_counter() - started, 3)
        return opened

    def publish(self) -> None:
        from batchinfer.lake.staging import remove_staged

        self._prepare_checks()
        self._prepare_rows()
        self._check_input()
        started = time.perf_counter()
        done = self._score_rows()
        for result in done.results:
            self.outcome.add(result)
        self.report.road, self.report.road_reason = done.road.name, done.road.reason
        self.report.equal_rows = done.equal_rows
        self.report.warnings += self.outcome.warnings
        keep_compiled(self.context, self.model.ref.digest, done.results)
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
            return few_rows.score_here(self.context, self.data, self.model, self.child)
        self.report.workers = model_workers(self.spark, self.context.environment.spark.model_task)
        return run_road(
            self.spark, self.context, self.data, self.road, self.model, self.earlier, self.prepared
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
        report.batch_rates = {
            device: ordered(rates) for device, rates in outcome.rates.items() if rates
        }
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

    def _prepare_checks(self) -> None:
        """Great Expectations judges the suites' arguments before a row is read, not after all are
        scored.
        """
        from batchinfer.checks.expectations import build_suite

        for kind, suite in self.suites.items():
            build_suite(suite, kind)

    def _prepare_rows(self) -> None:
        """The table transforms, as far as Spark can judge them before a row of the slice is read
        (exits 2 and 3).
        """
        from batchinfer.pipeline.slices.prepared import prepared_frame

        started = time.perf_counter()
        preparation = self.context.preparation
        self.report.feature_tables = preparation.used_tables()
        if preparation.steps and self.data.files:
            self.prepared = prepared_frame(
                self.spark, self.context, self.data, self.context.landed_fields
            )
            self.report.stage_seconds["prepare"] = round(time.perf_counter() - started, 3)

    def _check_input(self) -> None:
        """Duplicate keys and the input suite, before any row is scored (exit 3). The suite judges
        the rows as they landed.
        """
        from pyspark.sql.functions import lit

        from batchinfer.contracts import SLICE
        from batchinfer.pipeline.slices.slice_frames import slice_frame

        suite = self.suites.get("input")
        if not self.data.files:
            return
        started = time.perf_counter()
        check_keys(lambda: self.spark, self.context, self.data, self.road, self.prepared)
        self.report.stage_seconds["keys"] = round(time.perf_counter() - started, 3)
        if suite is None:
            return
        frame = slice_frame(self.spark, self.data)
        frame = frame if SLICE in frame.columns else frame.withColumn(SLICE, lit(self.data.slice))
        failures = self._judge(frame, suite, "input")
        if failures:
            raise InputError(
                [f"input check of slice {self.data.slice}: {failure}" for failure in failures]
            )

    def _check_rate(self) -> None:
        """Rows that the pipeline file says to remove are no faults: the rate is that of the
        others.
        """
        allowed = self.context.pipeline.checks.max_quarantine_rate
        outcome = self.outcome
        failed, of = (
            outcome.rows_quarantined - outcome.rows_removed,
            outcome.rows_in - outcome.rows_removed,
        )
        rate = failed / max(1, of)
        if rate <= allowed and not outcome.stopped:
            return
        self._refuse()
        declared = self.context.preparation.reasons()
        reasons = ", ".join(
            f"{reason} {count:,}"
            for reason, count in outcome.reasons.most_common()
            if reason not in declared
        )
        raise TooManyQuarantined(
            f"slice {self.data.slice}: {failed:,} of {of:,} rows could not be scored ({reasons}); "
            f"allowed: checks.max_quarantine_rate {allowed}. First: "
            f"{next(iter(outcome.examples), 'none')}. "
            f"Nothing was published; the rows are in {self.context.quarantine} with published = "
            "false"
        )

    def _check_predictions(self) -> None:
        """Great Expectations judges the slice as it would be; a suite that fails publishes nothing
        (exit 4).
        """
        from pyspark.sql.functions import lit

        from batchinfer.pipeline.slices.slice_frames import files_frame

        suite = self.suites.get("predictions")
        if suite is None or not self.outcome.files:
            return
        frame = files_frame(self.spark, self.context.predictions, self._files_to_judge())
        failures = self._judge(
            frame.withColumn(contracts.SLICE, lit(self.data.slice)), suite, "predictions"
        )
        if failures:
            self._refuse()
            raise ChecksFailed(
                [f"predictions check of slice {self.data.slice}: {failure}" for failure in failures]
            )

    def _files_to_judge(self) -> list[str]:
        return [file.path for file in self.outcome.files]

    def _refuse(self) -> None:
        """Nothing is published; the rows that failed are kept."""
        self._commit_quarantine(published=False)

    def _judge(self, frame: DataFrame, suite: Any, kind: str) -> list[str]:
        from batchinfer.checks.expectations import run_suite

        verdict = run_suite(frame, suite, f"{self.context.name} {kind}")
        self.checks += [{"suite": kind, **result} for result in verdict.results]
        self.report.checks_passed = sum(result["success"] for result in self.checks)
        self.report.checks_failed = [result for result in self.checks if not result["success"]]
        seconds = self.report.stage_seconds
        seconds["checks"] = round(seconds.get("checks", 0.0) + verdict.seconds, 3)
        return verdict.failures()

    def _commit_quarantine(self, published: bool) -> None:
        from batchinfer.lake.quarantine import commit_quarantine

        commit_quarantine(
            self.context.quarantine, self.outcome.quarantine,
            slice=self.data.slice, published=published, run_id=self.context.run_id,
        )  # fmt: skip

    def _commit(self) -> None:
        from batchinfer.lake.delta import commit
        from batchinfer.lake.ledger import precision_transactions, rows_id

        self._commit_quarantine(published=True)
        self._ensure_table()
        slice_ = self.data.slice
        self.report.version = commit(
            self.context.predictions,
            self.outcome.files,
            replace={contracts.SLICE: slice_},
            transactions=lambda version: {
                **self._published_at(version),
                rows_id(slice_): removal(self.context.pipeline),
                **precision_transactions(slice_, self.report.precision),
            },
            metadata=self._metadata("score"),
        )

    def _ensure_table(self) -> None:
        from batchinfer.config.types import parse_ddl
        from batchinfer.lake.delta import ensure_table

        context = self.context
        outputs = {name: parse_ddl(type_) for name, type_ in self.model.outputs.items()}
        key = list(context.key_fields)
        description = context.pipeline.description or f"Predictions of pipeline {context.name}."
        ensure_table(
            context.predictions, contracts.predictions_schema(context.key_fields, outputs),
            [contracts.SLICE], description,
            {contracts.KEY_PROPERTY: ",".join(key)}, stats_columns=[*key, contracts.SLICE],
            evolve=self.evolve,
        )  # fmt: skip

    def _published_at(self, version: int) -> dict[str, int]:
        """The transactions that say that this run published the slice by the commit of this
        version.
        """
        from batchinfer.lake.ledger import run_number, run_transactions, slice_id

        slice_ = self.data.slice
        published = f"publish:{self.context.name}:{slice_}"
        return {
            slice_id(slice_): version,
            published: version,
            **run_transactions(slice_, run_number(self.context.run_id)),
        }

    def _metadata(self, command: str) -> dict[str, str]:
        report = self.report
        tables = (
            {"feature_tables": json.dumps(report.feature_tables)} if report.feature_tables else {}
        )
        return {
            "run_id": self.context.run_id,
            "command": command,
            "slice": self.data.slice,
            "model_version": self.model.ref.version,
            "precision": report.precision,
            **tables,
        }

    def write_report(self, errors: tuple[str, ...]) -> None:
        """Writes the run's page, and its JSON beside it."""
        from batchinfer.pipeline.report import save_report
        from batchinfer.report.timing import device_use, explain_time

        report, tasks = self.report, self.outcome.tasks
        report.device_use = device_use(tasks)
        report.explanation = explain_time(report.stage_seconds, report.seconds, tasks).sentence
        extra = {
            "reasons": dict(self.outcome.reasons),
            "tasks": tasks,
            "histogram": self.histogram,
        }
        body = self.report.to_json() | {"checks": self.checks, "errors": list(errors)}
        self.report.report = save_report(body, extra, self.context.environment.reports)
