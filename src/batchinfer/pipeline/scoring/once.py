"""Equal rows of a whole run scored once: rows are shared out by their fingerprints, each bucket
scores its distinct rows.

What travels are narrow lines (key and fingerprint) and the inputs that a task has not sent before.
They travel in files below the environment's `staging`, which all workers see, and not through
Spark's shuffle: that would take them through two JVMs. Workers read the table's files themselves,
as on the direct road. Whether that pays is decided in `reuse/equal_rows_choice.py`. Equal rows that
happen to be in one batch are scored once in any case.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from batchinfer.inference.attempt import Failure
from batchinfer.inference.batching import join_batches
from batchinfer.inference.exchange import Bucket, Parcel, Sender
from batchinfer.inference.failed_rows import bad_records
from batchinfer.inference.windows import Scored
from batchinfer.json_values import from_json, to_json
from batchinfer.lake.parquet import make_folder, prefix_of
from batchinfer.lake.staging import JOINED_BATCHES
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.pipeline.reuse.known_index import remove_files
from batchinfer.pipeline.scoring.scoring_task import (
    Account,
    ScoringTask,
    keyless_rows,
    place_columns,
)
from batchinfer.pipeline.scoring.task_plan import ScoringPlan
from batchinfer.pipeline.scoring.task_result import TaskResult
from batchinfer.pipeline.slices.reading import SliceSplit, read_rows
from batchinfer.spark.tasks import Work, run_tasks

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

    from batchinfer.spark.progress import RowProgress

_BUCKET_ROWS = 1_000_000


@dataclass(frozen=True)
class Written:
    """Where a parcel lies: from `start` of a file of the exchange, so many bytes of lines, and
    behind them of inputs.
    """

    file: str
    start: int
    lines: int
    inputs: int


@dataclass(frozen=True)
class Sent:
    """What a task has shared out: the parcels for each bucket, and the seconds that took."""

    parcels: tuple[tuple[Written, ...], ...]
    seconds: dict[str, float]


@dataclass(frozen=True)
class BucketOf:
    """What a task of the model gets: the parcels of all senders, and seconds of these, which one
    bucket tells of.
    """

    parcels: tuple[Written, ...]
    seconds_of_senders: dict[str, float]


def score_once(
    spark: SparkSession,
    plan: ScoringPlan,
    splits: list[SliceSplit],
    count: int,
    place: str,
    description: str,
    row_progress: RowProgress,
    profile: ResourceProfile | None = None,
) -> list[TaskResult]:
    """Scores the rows of all splits, equal ones once; one result a bucket.

    Args:
        count: tasks of the model that run at the same time.
        place: folder or URI that all workers see; it is made, and what is put there goes.
        profile: what each of them takes of an executor; those that send rows take what all tasks
            take.

    Runs on: driver.

    Raises:
        StorageError: what is shared out cannot be written there, or read.
    """
    rows = sum(each.split.rows for each in splits)
    buckets = math.ceil(max(count, rows / _BUCKET_ROWS) / count) * count
    with storage_faults(place, "make the folder"):
        make_folder(*open_filesystem(place))
    try:
        sent = [
            one
            for of_task in run_tasks(
                spark,
                Work(SendSplit(plan, place, buckets), SliceSplit, Sent),
                splits,
                f"sharing out {rows:,} rows, equal ones to the same task",
            )
            for one in of_task
        ]
        seconds: Counter[str] = Counter()
        for one in sent:
            seconds.update(one.seconds)
        tasks = [
            BucketOf(
                tuple(parcel for one in sent for parcel in one.parcels[number]),
                {} if number else dict(seconds),
            )
            for number in range(buckets)
        ]
        found = run_tasks(
            spark,
            Work(ScoreBucket(plan, place), BucketOf, TaskResult),
            tasks,
            description,
            row_progress=row_progress,
            profile=profile,
        )
    finally:
        remove_files(place, plan.run_id)
    return [result for of_task in found for result in of_task]


class SendSplit:
    """The work of tasks that share rows out: each reads a split and writes one file."""

    def __init__(self, plan: ScoringPlan, place: str, buckets: int) -> None:
        self.plan, self.place, self.buckets = to_json(plan), place, buckets

    def __call__(self, split: SliceSplit) -> Iterator[Sent]:
        plan = from_json(ScoringPlan, self.plan)
        started, read_s = time.perf_counter(), 0.0
        batches = iter(read_rows(split, plan.columns))
        sender: Sender | None = None
        with _ParcelFile(self.place, plan.run_id, self.buckets) as file:
            while True:
                before = time.perf_counter()
                batch = next(batches, None)
                read_s += time.perf_counter() - before
                if batch is None:
                    break
                if sender is None:
                    own = [*plan.key, *place_columns(batch), *plan.carried]
                    sender = Sender(list(dict.fromkeys(own)), plan.model.inputs, self.buckets)
                for bucket, parcel in sender.add(batch):
                    file.write(bucket, parcel)
            for bucket, parcel in sender.end() if sender is not None else ():
                file.write(bucket, parcel)
        spent = time.perf_counter() - started
        parcels = tuple(map(tuple, file.parcels))
        yield Sent(parcels, {"read": read_s, "exchange": spent - read_s})


class _ParcelFile:
    """A file of parcels that is being written, below the exchange's folder.

    Attributes:
        parcels: those of each bucket, in the order in which they were written.
    """

    def __init__(self, place: str, run_id: str, buckets: int) -> None:
        self._place = place
        self._name = f"{prefix_of(run_id)}{uuid.uuid4().hex}.parcels"
        self.parcels: list[list[Written]] = [[] for _ in range(buckets)]

    def __enter__(self) -> _ParcelFile:
        filesystem, root = open_filesystem(self._place)
        with storage_faults(self._place, "write rows to be shared out"):
            self._sink = filesystem.open_output_stream(f"{root}/{self._name}")
        return self

    def write(self, bucket: int, parcel: Parcel) -> None:
        start = self._sink.tell()
        with storage_faults(self._place, "write rows to be shared out"):
            lines, inputs = parcel.write(self._sink)
        self.parcels[bucket].append(Written(self._name, start, lines, inputs))

    def __exit__(self, *_: object) -> None:
        with storage_faults(self._place, "write rows to be shared out"):
            self._sink.close()


class ScoreBucket:
    """The work of tasks of the model: each scores the distinct rows of one bucket."""

    def __init__(self, plan: ScoringPlan, place: str) -> None:
        self.plan, self.place = to_json(plan), place

    def __call__(self, of: BucketOf) -> Iterator[TaskResult]:
        account = Account(seconds={"exchange": 0.0})
        account.seconds_of_senders.update(of.seconds_of_senders)
        task = ScoringTask(from_json(ScoringPlan, self.plan), account=account)
        yield task.conclude(_Bucketed(task, account).scored(_read(self.place, of.parcels)))


def _read(place: str, parcels: Sequence[Written]) -> Iterator[tuple[pa.Buffer, pa.Buffer]]:
    """The parcels, mapped into memory where they lie on a disk of this machine's."""
    filesystem, root = open_filesystem(place)
    is_local = isinstance(filesystem, LocalFileSystem)
    with storage_faults(place, "read rows that were shared out"):
        for file, of_file in itertools.groupby(parcels, lambda parcel: parcel.file):
            path = f"{root}/{file}"
            with pa.memory_map(path) if is_local else filesystem.open_input_file(path) as source:
                for parcel in of_file:
                    source.seek(parcel.start)
                    yield source.read_buffer(parcel.lines), source.read_buffer(parcel.inputs)


class _Bucketed:
    """The rows of a bucket, with what became of the distinct ones."""

    def __init__(self, task: ScoringTask, account: Account) -> None:
        self.task, self.account = task, account

    def scored(self, parcels: Iterable[tuple[pa.Buffer, pa.Buffer]]) -> Iterator[Scored]:
        started = time.perf_counter()
        bucket = Bucket(parcels)
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
        for rows, fingerprints, which in bucket.places():
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
