"""Made-up logs, results and tables for the cases of `scale_constants`, and what is measured of a
case: its time and its memory.

Files of these tables are empty: only their entries in the log are read. Knows no case.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from batchinfer import contracts, predictions_table
from batchinfer.contracts import StagedFile
from batchinfer.pipeline.scoring.task_result import DeviceSeconds, Rates, TaskResult

Made = TypeVar("Made")
DAY = "2026-11-21"
# A string of the length of a real one: 62 digits of a name, below the folder of its slice.
_NAME = "slice={slice}/part-{number:08d}-0123456789abcdef0123456789abcdef0123456789abcdef.parquet"
_PIPELINE = """\
name: bench
source: {kind: csv, path: "in/*.csv", schema: {key: long, f00: float}, key: key, slice: ingest_date}
model: {uri: "models:/bench@champion"}
sink: {table: predictions/bench}
"""


def timed(work: Callable[[], Made], repeats: int = 3) -> tuple[float, Made]:
    """The least of several repeats, each the lesser of wall and CPU time, and what the last one
    gave.
    """
    best, made = float("inf"), None
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        made = work()
        best = min(best, time.perf_counter() - wall, time.process_time() - cpu)
    return round(best, 5), made  # type: ignore[return-value]


def peak_mib() -> int:
    """The most memory that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def made_apart(work: Callable[..., Made], *given: Any) -> Made:
    """What another process made: the memory that it took is not in this one's peak."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def staged(count: int, slice_: str = DAY, first: int = 0) -> list[StagedFile]:
    """Entries of files as a scoring task tells them; the files are empty."""
    return [staged_file(number, slice_) for number in range(first, first + count)]


def staged_file(number: int, slice_: str) -> StagedFile:
    """The entry of one file of a million rows, by its number."""
    low, high = number * 1_000_000, number * 1_000_000 + 999_999
    stats = {
        "numRecords": 1_000_000,
        "minValues": {"key": low},
        "maxValues": {"key": high},
        "nullCount": {"key": 0},
    }
    return StagedFile(
        _NAME.format(slice=slice_, number=number),
        1_000_000,
        0,
        {contracts.SLICE: slice_},
        json.dumps(stats),
    )


def write_empty(table: str, files: list[StagedFile]) -> list[StagedFile]:
    """Makes the files, of no bytes, that the entries speak of."""
    for folder in {Path(table, file.path).parent for file in files}:
        folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        Path(table, file.path).touch()
    return files


def make_table(folder: Path, files: int, slices: int = 1) -> str:
    """A predictions table with so many entries of empty files, and a checkpoint, as every tenth
    commit leaves one.
    """
    from deltalake import DeltaTable

    from batchinfer.lake.delta import commit

    table = str(folder / "predictions/bench")
    create_predictions(table)
    for number in range(slices):
        day = f"{dt.date.fromisoformat(DAY) - dt.timedelta(days=number)}"
        commit(
            table,
            write_empty(table, staged(files // slices, day, number * files)),
            transactions={f"slice:{day}": number},
        )
    DeltaTable(table).create_checkpoint()
    return table


def create_predictions(table: str) -> None:
    """An empty predictions table."""
    from batchinfer.lake.delta import ensure_table

    schema = predictions_table.predictions_schema({"key": pa.int64()}, {"prediction": pa.float64()})
    ensure_table(
        table,
        schema,
        [contracts.SLICE],
        None,
        {contracts.KEY_PROPERTY: "key"},
        stats_columns=["key", contracts.SLICE],
    )


def make_result(number: int) -> TaskResult:
    """What a task that scored a million rows tells: one file, its stages, counts and rates."""
    stages = ("load", "read", "fingerprint", "encode", "forward", "decode", "write")
    counts = (
        "rows_in",
        "rows_duplicate",
        "batches",
        "attempts",
        "largest_batch",
        "smallest_batch",
        "children",
    )
    return TaskResult(
        files=(staged_file(number, DAY),), quarantine=(), rows_in=1_000_000, rows_scored=1_000_000,
        rows_reused=0, rows_quarantined=0, rows_removed=0, reasons={}, examples=(),
        seconds=dict.fromkeys(stages, 1.2345678901234567 + number),
        counts=dict.fromkeys(counts, 1_000_000 + number),
        rates=Rates({"cpu, 1 thread": {2**power: 123456.789 + number for power in range(8, 15)}}),
        use=DeviceSeconds("cpu", computing=8.7654321, input=0.5, output=0.25),
        gpu=None, task_s=9.8765432101 + number, worker_bytes=1_400_000_000 + number,
    )  # fmt: skip


def open_pipeline(folder: Path) -> Any:
    """The context of a small pipeline whose whole state lies in the folder."""
    from batchinfer.pipeline.definition.context import Context

    os.environ["BATCHINFER_HOME"] = str(folder)
    file = folder / "conf/pipelines/bench.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_PIPELINE)
    return Context.open(str(file))
