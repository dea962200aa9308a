"""The cases of `scale_constants` without a JVM: the functions that meet logs, results and tables of
many files.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from batchinfer import contracts, predictions_table
from batchinfer.contracts import DataFile
from batchinfer.inference.split_reading import Part, Split
from batchinfer.json_values import to_json
from batchinfer.pipeline.slices.reading import SliceSplit
from benchmarks.scale_synthetic import (
    DAY,
    create_predictions,
    made_apart,
    make_result,
    make_table,
    open_pipeline,
    peak_mib,
    staged,
    staged_file,
    timed,
    write_empty,
)


def commit_adds(folder: Path, size: int) -> dict[str, Any]:
    """One commit of so many new files into an empty table."""
    from batchinfer.lake.delta import commit

    table = str(folder / "predictions/bench")
    create_predictions(table)
    files = write_empty(table, staged(size))
    before = peak_mib()
    seconds, version = timed(
        lambda: commit(table, files, replace={contracts.SLICE: DAY}, transactions={"a": 1}), 1
    )
    log = Path(table, f"_delta_log/{version:020d}.json").stat().st_size
    return {"seconds": seconds, "log_bytes": log, "mib": peak_mib() - before}


def open_log(folder: Path, size: int) -> dict[str, Any]:
    """Opening a table of so many files, and listing them as every command does."""
    from batchinfer.lake.snapshots import open_table, table_files

    table = made_apart(make_table, folder, size)
    before = peak_mib()
    # Kept, as a command keeps them.
    opening, opened = timed(lambda: open_table(table))
    listing, listed = timed(lambda: table_files(opened))
    assert len(listed) == size
    checkpoint = sum(
        file.stat().st_size for file in Path(table, "_delta_log").glob("*.checkpoint*.parquet")
    )
    return {
        "seconds": round(opening + listing, 5),
        "open_s": opening,
        "mib": peak_mib() - before,
        "checkpoint_bytes": checkpoint,
    }


def commit_slice(folder: Path, size: int) -> dict[str, Any]:
    """A commit of ten files that replaces a slice of ten, in a table of so many; then the tenth
    one, with its checkpoint.
    """
    from batchinfer.lake.delta import commit

    table = make_table(folder, size)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(11):
        files = write_empty(table, staged(10, f"new-{number % 2}", 10 * (size + number)))
        seconds, version = timed(
            lambda n=number, f=files: commit(table, f, replace={contracts.SLICE: f"new-{n % 2}"}), 1
        )
        checkpoint = Path(table, "_delta_log", f"{version:020d}.checkpoint.parquet").exists()
        times[checkpoint].append(seconds)
    return {"seconds": min(times[False]), "with_checkpoint_s": min(times[True], default=None)}


def read_transactions(folder: Path, size: int) -> dict[str, Any]:
    """The ledger of so many landed files: each `extract` and `status` reads it whole."""
    from deltalake import DeltaTable

    from batchinfer.lake.delta import commit
    from batchinfer.lake.log import read_transactions as read

    table = str(folder / "landed/bench")
    create_predictions(table)
    commit(
        table,
        [],
        transactions={f"file:{DAY}:part-{number:08d}.csv": number for number in range(size)},
    )
    DeltaTable(table).create_checkpoint()
    before = peak_mib()
    seconds, _ = timed(lambda: read(table))
    return {"seconds": seconds, "mib": peak_mib() - before}


def take_results(folder: Path, size: int) -> dict[str, Any]:
    """The driver puts the results of so many tasks in order and adds them up, as `score` does."""
    from batchinfer.pipeline.scoring.outcome import RunOutcome
    from batchinfer.pipeline.scoring.task_result import TaskResult
    from batchinfer.spark.tasks import results_in_order

    found = [(number, to_json(make_result(number))) for number in range(size)]
    before, outcomes = peak_mib(), []

    def take() -> Any:
        results = [
            result for of_task in results_in_order(found, TaskResult, size) for result in of_task
        ]
        outcome = RunOutcome()
        for result in results:
            outcome.add(result)
        outcomes.append((results, outcome))  # kept, as `publish` does until the commit
        return outcome

    seconds, _ = timed(take, 1)
    return {
        "seconds": seconds,
        "json_bytes": sum(len(text) for _, text in found),
        "mib": peak_mib() - before,
    }


def make_tasks(folder: Path, size: int) -> dict[str, Any]:
    """The tasks of a run on 64 columns of a table that is read in place as JSON, one file each."""
    names = [f"f{place:02d}" for place in range(64)]
    types = dict.fromkeys(names, "float")
    before = peak_mib()

    def make() -> list[tuple[int, str]]:
        parts = [
            Part(staged_file(number, DAY).path, (0, 1), {"day": DAY}) for number in range(size)
        ]
        splits = [SliceSplit(Split((part,), 1_000_000, 2**28), types) for part in parts]
        return [(number, to_json(split)) for number, split in enumerate(splits)]

    seconds, made = timed(make, 1)
    return {
        "seconds": seconds,
        "json_bytes": sum(len(text) for _, text in made),
        "mib": peak_mib() - before,
    }


def key_blocks(folder: Path, size: int) -> dict[str, Any]:
    """The proof that no key repeats, of so many blocks of 65,536 rows: their JSON, and the driver's
    work on them.
    """
    from batchinfer.pipeline.slices.unique_keys import Block, overlapping
    from batchinfer.spark.tasks import results_in_order

    def block(number: int) -> Block:
        return Block(number, 65_536, False, [number * 65_536], [number * 65_536 + 65_535])

    found = [(0, to_json(block(number))) for number in range(size)]
    before = peak_mib()

    def prove() -> list[Block]:
        blocks = results_in_order(found, Block, 1)[0]
        assert not overlapping(blocks)
        return blocks

    seconds, _ = timed(prove, 1)
    return {
        "seconds": seconds,
        "json_bytes": sum(len(text) for _, text in found),
        "mib": peak_mib() - before,
    }


def plan_small_files(folder: Path, size: int) -> dict[str, Any]:
    """Sharing out files that are smaller than a task: none is opened."""
    from batchinfer.inference.splits import plan_splits

    files = [DataFile(f"/data/{number}.parquet", 100 * 2**20, 400_000) for number in range(size)]
    before = peak_mib()
    seconds, tasks = timed(lambda: plan_splits(files, 100), 1)
    return {"seconds": seconds, "tasks": len(tasks), "mib": peak_mib() - before}


def plan_large_files(folder: Path, size: int) -> dict[str, Any]:
    """Sharing out files that are larger than a task: the driver opens each for its row groups."""
    import pyarrow.parquet as pq

    from batchinfer.inference.splits import plan_splits

    path = str(folder / "one.parquet")
    rows = pa.table({f"f{place:02d}": pa.array(range(8), pa.float32()) for place in range(64)})
    with pq.ParquetWriter(path, rows.schema) as writer:
        for _ in range(8):
            writer.write_table(rows)
    files = [DataFile(path, 2**30, 4_000_000) for _ in range(size)]
    seconds, tasks = timed(lambda: plan_splits(files, 100), 1)
    return {"seconds": seconds, "tasks": len(tasks)}


def status_slices(folder: Path, size: int) -> dict[str, Any]:
    """What `status` reads of so many published slices: the log, and a file of each slice."""
    from batchinfer.lake.delta import commit
    from batchinfer.lake.staging import StagedWriter
    from batchinfer.pipeline.scoring.published import read_published

    context = open_pipeline(folder)
    create_predictions(context.predictions)
    schema = predictions_table.predictions_schema({"key": pa.int64()}, {"prediction": pa.float64()})
    constants = dict.fromkeys(predictions_table.LINEAGE)
    rows = pa.RecordBatch.from_pydict(
        {"key": pa.array(range(1000)), "prediction": pa.array([0.5] * 1000)}
    )
    with StagedWriter(
        context.predictions, schema, (contracts.SLICE,), ["key"], folder="one"
    ) as writer:
        writer.write(rows, {contracts.SLICE: DAY}, constants)
        one = writer.close()[0]
    source, adds = Path(context.predictions, one.path), []
    for number in range(size):
        path = f"slice={number}/{number:08d}.parquet"
        Path(context.predictions, path).parent.mkdir(parents=True)
        Path(context.predictions, path).hardlink_to(source)
        adds.append(dataclasses.replace(one, path=path, partition={contracts.SLICE: str(number)}))
    commit(context.predictions, adds, transactions={f"slice:{number}": 1 for number in range(size)})
    seconds, published = timed(lambda: read_published(context), 2)
    one_s, _ = timed(lambda: read_published(context, "7"))
    assert len(published) == size
    return {"seconds": seconds, "one_slice_s": one_s}


def lookup_files(folder: Path, size: int) -> dict[str, Any]:
    """The first lookup in a table of so many files opens its log; the next ones find it in
    memory.
    """
    from batchinfer.lookups.keyed_snapshots import open_snapshot

    table = made_apart(make_table, folder, size)
    before = peak_mib()
    cold, snapshot = timed(lambda: open_snapshot(table), 1)
    memory = peak_mib() - before
    key = (10**12,)
    warm, _ = timed(
        lambda: [
            file
            for files in open_snapshot(table).slices.values()
            for file in files
            if file.may_hold(key)
        ]
    )
    return {"seconds": cold, "mib": memory, "warm_s": warm, "version": snapshot.version}


def earlier_runs(folder: Path, size: int) -> dict[str, Any]:
    """What every run reads of the runs of its bundle, after so many of them; and what adding one
    takes.
    """
    from batchinfer.lake.runs import append_run
    from batchinfer.pipeline.scoring.earlier_runs import runs_of_bundle

    context = open_pipeline(folder)
    start = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    body = json.dumps(
        {"stage_seconds": dict.fromkeys("abcdefghij", 1.5), "batch_rates": {}, "text": "x" * 2_000}
    )

    def add(number: int) -> None:
        row = {
            "run_id": f"r{number}",
            "pipeline": "bench",
            "command": "score",
            "slice": f"s{number}",
            "exit_code": 0,
            "report": body,
        }
        append_run(
            context.runs,
            row
            | {
                "started_at": start + dt.timedelta(days=number),
                "bundle_digest": "d",
                "rows_in": 10,
            },
        )

    for number in range(size):
        add(number)
    appending, _ = timed(lambda: add(size))
    seconds, runs = timed(lambda: runs_of_bundle(context.runs, context.name, "d"))
    return {"seconds": seconds, "append_s": appending, "runs": len(runs)}


def resolve_model(folder: Path, size: int) -> dict[str, Any]:
    """What an alias of a model of so many versions stands for, from a registry on SQLite."""
    from mlflow import MlflowClient

    from batchinfer.models.registry import DIGEST_TAG

    context = open_pipeline(folder)
    uri = context.registry.tracking_uri
    client = MlflowClient(uri, uri)
    client.create_registered_model("bench")
    for _ in range(size):
        client.create_model_version("bench", str(folder), tags={DIGEST_TAG: "d" * 64})
    client.set_registered_model_alias("bench", "champion", str(size))
    print("resolving", file=sys.stderr)
    seconds, _ = timed(lambda: context.registry.resolve("models:/bench@champion"), 5)
    return {"seconds": seconds}


def report_tasks(folder: Path, size: int) -> dict[str, Any]:
    """The page and the JSON of a run of so many tasks."""
    from batchinfer.pipeline.scoring.outcome import RunOutcome
    from batchinfer.report.html import write_report

    outcome = RunOutcome()
    for number in range(size):
        outcome.add(make_result(number))
    run = {
        "run_id": "r",
        "pipeline": "bench",
        "slice": DAY,
        "status": "published",
        "stage_seconds": {"inference": 1.0},
    }
    before = peak_mib()
    seconds, _ = timed(lambda: write_report(run, {"tasks": outcome.tasks}, folder), 1)
    return {
        "seconds": seconds,
        "mib": peak_mib() - before,
        "json_bytes": (folder / "r.json").stat().st_size,
    }
