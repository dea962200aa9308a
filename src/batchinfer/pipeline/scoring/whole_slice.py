"""All rows of a slice, which `score` publishes in place of what was published of it before.

Owns how these rows are judged, which answers they may reuse, and their commits. The attempt itself
stands in `publication`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from batchinfer.contracts import SLICE, DataFile
from batchinfer.errors import InputError
from batchinfer.pipeline.reuse.done_before import DoneBefore
from batchinfer.pipeline.reuse.known_index import AnsweringModel, KnownIndex, known_rows
from batchinfer.pipeline.scoring import commits
from batchinfer.pipeline.scoring.judging import RowsToJudge
from batchinfer.pipeline.scoring.outcome import RunOutcome
from batchinfer.pipeline.scoring.publication import Publication
from batchinfer.pipeline.scoring.published import Published, choose_answered
from batchinfer.pipeline.scoring.resolved_inputs import ResolvedInputs, judged_columns
from batchinfer.pipeline.slices.prepared import prepared_frame
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.slice_table import slice_table
from batchinfer.pipeline.slices.unique_keys import check_keys

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from batchinfer.lake.runs import LatestRun


@dataclass(frozen=True)
class WholeSlice:
    """All rows of a slice, which replace what was published of it. The quarantine is committed
    first, so that only the last commit makes the run count.

    Attributes:
        evolve: add columns that the predictions table lacks.
        published: what was published of the slice when the attempt began, and of others whose rows
            it may reuse.
        force: all rows are scored.
        done: rows that need no scoring.
    """

    inputs: ResolvedInputs
    evolve: bool
    published: Mapping[str, Published]
    force: bool
    done: DoneBefore

    def prepare(self, attempt: Publication) -> DataFrame | None:
        started = time.perf_counter()
        columns, data, report = self.inputs.columns, self.inputs.data, self.inputs.report
        report.feature_tables = columns.preparation.used_tables()
        if not columns.preparation.steps or not data.files:
            return None
        prepared = prepared_frame(attempt.spark, columns, data, columns.landed)
        report.stage_seconds["prepare"] = round(time.perf_counter() - started, 3)
        return prepared

    def check_rows(self, attempt: Publication) -> None:
        """Duplicate keys and the input suite (exit 3); the suite judges the rows as they landed."""
        inputs, data = self.inputs, self.inputs.data
        started = time.perf_counter()

        def spark() -> SparkSession:
            return attempt.spark_because("keys repeat, and Spark finds which")

        check_keys(spark, inputs.columns, data, inputs.road, attempt.prepared)
        inputs.report.stage_seconds["keys"] = round(time.perf_counter() - started, 3)
        if "input" not in inputs.suites:
            return

        def frame() -> DataFrame:
            from pyspark.sql.functions import lit

            rows = slice_frame(attempt.spark, data)
            return rows if SLICE in rows.columns else rows.withColumn(SLICE, lit(data.slice))

        types = judged_columns(inputs.columns, inputs.model)["input"]
        table = partial(slice_table, data)
        rows = RowsToJudge(types, data.rows, len(data.files), table, frame)
        if failures := attempt.judge.failures("input", rows):
            raise InputError(
                [f"input check of slice {data.slice}: {failure}" for failure in failures]
            )

    def check_found(self, found: int) -> None:
        """Nothing: what is read is held against what landed."""

    @contextmanager
    def known_rows(
        self, attempt: Publication, earlier: Sequence[LatestRun]
    ) -> Generator[KnownIndex | None]:
        inputs, report = self.inputs, self.inputs.report
        context, model = inputs.columns.context, inputs.model
        choice = choose_answered(
            context, inputs.data, self.published, model.ref.digest, earlier,
            force=self.force, done=self.done.rows,
        )  # fmt: skip
        report.reuse = choice.reason
        started = time.perf_counter()
        with known_rows(
            context,
            choice.slices,
            AnsweringModel(model.ref.digest, model.outputs),
            lambda: attempt.spark,
            report.warnings,
        ) as known:
            if choice.slices:
                report.stage_seconds["index"] = round(time.perf_counter() - started, 3)
            yield known

    def published_beside(self) -> Sequence[DataFile]:
        return self.done.kept

    def refuse(self, outcome: RunOutcome) -> None:
        self._commit_failed(outcome, published=False)

    def commit(self, outcome: RunOutcome) -> None:
        inputs = self.inputs
        self._commit_failed(outcome, published=True)
        commits.ensure_predictions(inputs.columns, inputs.model, inputs.data.slice, self.evolve)
        before = self.published.get(inputs.data.slice)
        seen = None if before is None else before.version
        inputs.report.version = commits.commit_slice(inputs, outcome.files, seen, self.done.kept)

    def _commit_failed(self, outcome: RunOutcome, published: bool) -> None:
        commits.commit_failed_rows(
            self.inputs.columns.context, outcome.quarantine, self.inputs.data.slice, published
        )
