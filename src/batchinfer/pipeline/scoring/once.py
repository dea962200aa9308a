"""Equal rows of a whole run scored once: rows are shared out by their fingerprints, each bucket
scores its distinct rows.

One shuffle of narrow lines (key and fingerprint) and of the inputs that a task has not sent before;
workers read the table's files themselves, as on the direct road. Whether that pays is decided from
a sample of the rows and from how fast earlier runs of the bundle were. Equal rows that happen to be
in one batch are scored once in any case.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from batchinfer import errors
from batchinfer.inference.attempt import Failure
from batchinfer.inference.batching import join_batches
from batchinfer.inference.exchange import Bucket, Sender, estimated_distinct
from batchinfer.inference.failed_rows import bad_records
from batchinfer.inference.fingerprint import fingerprint, first_words
from batchinfer.inference.windows import Scored
from batchinfer.json_values import from_json, to_json
from batchinfer.lake.staging import JOINED_BATCHES
from batchinfer.pipeline.scoring.scoring_task import (
    Account,
    ScoringTask,
    keyless_rows,
    place_columns,
)
from batchinfer.pipeline.scoring.task_plan import ScoringPlan
from batchinfer.pipeline.scoring.task_result import Rates, TaskResult
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.report.terminal import step
from batchinfer.spark.progress import show_progress
from batchinfer.spark.tasks import TaskError, error_json, raise_errors, results_in_order

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

    from batchinfer.spark.progress import RowProgress

# Seconds of one worker for each row that is shared out, and for each byte of inputs (2 cores,
# docs/benchmarks.md).
_ROW_S, _BYTE_S = 3e-6, 1e-8
# The model must be expected to take so many seconds of all workers before a sample is taken.
_LEAST_S = 20.0
# It has to save this share of the time: the sample and the rates are estimates.
_WORTH = 0.2
_SAMPLES, _SAMPLE_ROWS, _SAMPLED_AT_ONCE = 8, 16_384, 4
# Rows that differ in a few columns are different rows: of a wide table no more is read where these
# tell.
_FIRST_INPUTS = 4
_BUCKET_ROWS = 1_000_000


@dataclass(frozen=True)
class Decision:
    """Whether equal rows of the whole run are brought together, and why."""

    exchange: bool
    reason: str


def decide(
    splits: list[SliceSplit],
    inputs: Sequence[str],
    rates: Rates,
    asked: str,
    senders: int,
    looks_up: bool = False,
) -> Decision:
    """Judges from a sample, unless the pipeline file says it.

    Args:
        inputs: columns that make rows equal.
        rates: of earlier runs of the bundle.
        asked: `model.deduplicate`: auto, always, never.
        senders: tasks that would share the rows out; each sends the inputs of its distinct rows.
        looks_up: published rows are looked up, so that the model gets few of these.

    Runs on: driver, which reads a sample where the model takes long enough.
    """
    if asked != "auto":
        return Decision(asked == "always", f"the pipeline file says model.deduplicate: {asked}")
    if looks_up:
        return Decision(
            False, "only inside batches: published rows are looked up, so few are left to score"
        )
    rows = sum(each.split.rows for each in splits)
    fastest = rates.greatest_rate()
    if fastest is None:
        return Decision(False, "only inside batches: no earlier run tells how long the model takes")
    model_s = rows / fastest
    if model_s < _LEAST_S:
        return Decision(
            False,
            f"only inside batches: the model takes about {model_s:.0f} s of the workers for all "
            "rows",
        )
    if len(inputs) > 2 * _FIRST_INPUTS:
        few, _ = _sample(splits, inputs[:_FIRST_INPUTS])
        if len(np.unique(few)) == len(few):
            return Decision(
                False, f"only inside batches: no two of a sample of {len(few):,} rows are equal"
            )
    sample, row_bytes = _sample(splits, inputs)
    distinct = estimated_distinct(sample, rows)
    saved_s = model_s * (1 - distinct / rows)
    cost_s = rows * _ROW_S + min(rows, distinct * senders) * row_bytes * _BYTE_S
    seen = f"a sample of {len(sample):,} rows lets expect {distinct:,} distinct rows of {rows:,}"
    return Decision(
        saved_s - cost_s > _WORTH * model_s,
        f"{seen}; scoring each once saves about {saved_s:.0f} s of the workers and costs "
        f"{cost_s:.0f} s",
    )


def _sample(splits: list[SliceSplit], inputs: Sequence[str]) -> tuple[np.ndarray, float]:
    """Hashes of rows from several places of the table by these inputs, and the bytes that they take
    of a row.
    """
    # One file of a split, from splits that lie far apart.
    chosen = splits[:: max(1, len(splits) // _SAMPLES)][:_SAMPLES]
    with (
        step("looking for equal rows"),
        ThreadPoolExecutor(_SAMPLED_AT_ONCE, thread_name_prefix="samples") as pool,
    ):
        found = list(pool.map(lambda each: _first_rows(each, inputs), chosen))
    hashes = [hashed for hashed, _ in found]
    rows = max(1, sum(map(len, hashes)))
    return np.concatenate([*hashes, np.empty(0, "<u8")]), sum(bytes_ for _, bytes_ in found) / rows


def _first_rows(of: SliceSplit, inputs: Sequence[str]) -> tuple[np.ndarray, int]:
    """Hashes of the first rows of a split, `(rows,) <u8`, and the bytes that they take in
    memory.
    """
    first = replace(of, split=replace(of.split, parts=of.split.parts[:1]))
    rows = next(iter(read_rows(first, inputs)), None)
    if rows is None:
        return np.empty(0, "<u8"), 0
    rows = rows.slice(0, _SAMPLE_ROWS)
    return first_words(fingerprint(rows, inputs)), rows.nbytes


def score_once(
    spark: SparkSession,
    plan: ScoringPlan,
    splits: list[SliceSplit],
    count: int,
    description: str,
    row_progress: RowProgress,
    profile: ResourceProfile | None = None,
) -> list[TaskResult]:
    """Scores the rows of all splits, equal ones once; one result a bucket.

    Args:
        count: tasks of the model that run at the same time.
        profile: what each of them takes of an executor; those that send rows take what all tasks
            take.

    Runs on: driver.
    """
    rows = sum(each.split.rows for each in splits)
    buckets = math.ceil(max(count, rows / _BUCKET_ROWS) / count) * count
    lines = spark.sparkContext.parallelize([to_json(split) for split in splits], len(splits))
    parcels = lines.flatMap(_Send(plan, buckets)).partitionBy(buckets, int)
    parcels = parcels if profile is None else parcels.withResources(profile)
    with show_progress(spark, description, buckets, row_progress):
        found = parcels.mapPartitionsWithIndex(_Receive(plan)).collect()
    return [
        result for results in results_in_order(found, TaskResult, buckets) for result in results
    ]


class _Send:
    """Reads a split and shares its rows out; errors and times travel as parcels too."""

    def __init__(self, plan: ScoringPlan, buckets: int) -> None:
        self.plan, self.buckets = to_json(plan), buckets

    def __call__(self, text: str) -> Iterator[tuple[int, bytes]]:
        try:
            yield from self._send(from_json(SliceSplit, text))
        except errors.BatchInferError as error:
            yield 0, b"E" + to_json(TaskError.of(error)).encode()

    def _send(self, split: SliceSplit) -> Iterator[tuple[int, bytes]]:
        plan = from_json(ScoringPlan, self.plan)
        started, read_s = time.perf_counter(), 0.0
        batches = iter(read_rows(split, plan.columns))
        sender: Sender | None = None
        while True:
            before = time.perf_counter()
            batch = next(batches, None)
            read_s += time.perf_counter() - before
            if batch is None:
                break
            if sender is None:
                own = [*plan.key, *place_columns(batch), *plan.carried]
                names = list(dict.fromkeys(own))
                sender = Sender(names, plan.model.inputs, self.buckets)
            for bucket, parcel in sender.add(batch):
                yield bucket, b"P" + parcel
        for bucket, parcel in sender.end() if sender is not None else ():
            yield bucket, b"P" + parcel
        spent = time.perf_counter() - started
        yield 0, b"T" + json.dumps({"read": read_s, "exchange": spent - read_s}).encode()


class _Receive:
    """Scores a bucket; numbered JSON, as `tasks.in_order` takes it."""

    def __init__(self, plan: ScoringPlan) -> None:
        self.plan = to_json(plan)

    def __call__(
        self, number: int, parcels: Iterable[tuple[int, bytes]]
    ) -> Iterator[tuple[int, str]]:
        try:
            plan = from_json(ScoringPlan, self.plan)
            line = to_json(_score_bucket(plan, (parcel for _, parcel in parcels)))
        except errors.BatchInferError as error:
            line = error_json(error)
        yield number, line


def _score_bucket(plan: ScoringPlan, parcels: Iterable[bytes]) -> TaskResult:
    """One bucket: its distinct rows are scored, and what became of them is that of all."""
    account = Account(seconds={"exchange": 0.0})
    task = ScoringTask(plan, account=account)
    return task.conclude(_Bucketed(task, account).scored(parcels))


class _Bucketed:
    """The rows of a bucket, with what became of the distinct ones."""

    def __init__(self, task: ScoringTask, account: Account) -> None:
        self.task, self.account = task, account

    def scored(self, parcels: Iterable[bytes]) -> Iterator[Scored]:
        started = time.perf_counter()
        bucket = Bucket(self._rows_of(parcels))
        self.account.seconds["exchange"] += time.perf_counter() - started
        parts: list[pa.RecordBatch] = []
        known_at: list[np.ndarray] = []
        failures: dict[int, Failure] = {}
        for scored in self.task.scorer.score(iter(bucket.distinct)):
            parts.append(
                pa.RecordBatch.from_arrays(
                    list(scored.predictions.values()), names=list(scored.predictions)
                )
            )
            if len(parts) % JOINED_BATCHES == 0:
                # Few large pieces: `lake.staging` says why.
                parts[-JOINED_BATCHES:] = [join_batches(parts[-JOINED_BATCHES:])]
            if scored.known_at is not None:
                known_at.append(scored.known_at)
            failures |= {
                at: Failure(bad.reason, bad.message)
                for at, bad in zip(scored.failed_at, scored.failed, strict=True)
            }
        started = time.perf_counter()
        fine = np.ones(len(bucket.fingerprints), dtype=bool)
        fine[list(failures)] = False
        known = np.concatenate(known_at) if known_at else None
        self.account.distinct = int(fine.sum() if known is None else (known < 0).sum())
        place = np.where(fine, np.cumsum(fine) - 1, -1)
        predictions = {
            name: pa.concat_arrays([part.column(name) for part in parts] or [pa.nulls(0, type_)])
            for name, type_ in self.task.scorer.declared.items()
        }
        inputs = pa.Table.from_batches(bucket.distinct) if bucket.distinct else None
        for lines in bucket.lines:
            rows, fingerprints, which = bucket.places(lines)
            keyless = keyless_rows(rows, list(self.task.plan.key))
            good = place[which] >= 0
            good[list(keyless)] = False
            bad = np.flatnonzero(~good)
            failed = []
            if len(bad) and inputs is not None:
                why = [
                    self.task.missing_key if row in keyless else failures[int(which[row])]
                    for row in bad.tolist()
                ]
                whole = _whole(rows, inputs, bad, which[bad])
                failed = bad_records(
                    whole,
                    dict(enumerate(why)),
                    list(self.task.plan.key),
                    self.task.plan.model.inputs,
                )
            index = pa.array(place[which[good]])
            self.account.rows_in += rows.num_rows
            mask = pa.array(good)
            self.account.seconds["exchange"] += time.perf_counter() - started
            yield Scored(
                rows.filter(mask),
                {name: column.take(index) for name, column in predictions.items()},
                fingerprints.filter(mask),
                failed,
                known_at=None if known is None else known[place[which[good]]],
            )
            started = time.perf_counter()

    def _rows_of(self, parcels: Iterable[bytes]) -> Iterator[bytes]:
        for parcel in parcels:
            kind, body = parcel[:1], parcel[1:]
            if kind == b"P":
                yield body
            elif kind == b"T":
                sent = self.account.seconds_of_senders
                for stage, seconds in json.loads(body).items():
                    sent[stage] = sent.get(stage, 0.0) + seconds
            else:
                raise_errors([from_json(TaskError, body.decode())])


def _whole(
    rows: pa.RecordBatch, inputs: pa.Table, at: np.ndarray, which: np.ndarray
) -> pa.RecordBatch:
    """Some rows with their lines and their inputs."""
    columns = dict(
        zip(inputs.column_names, inputs.take(pa.array(which)).combine_chunks().columns, strict=True)
    )
    columns |= dict(zip(rows.schema.names, rows.take(pa.array(at)).columns, strict=True))
    whole = pa.table(columns).combine_chunks()
    return whole.to_batches()[0]
