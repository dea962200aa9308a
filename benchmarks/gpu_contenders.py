"""What runs in turn in `benchmarks.gpu`: bare PyTorch loops, the engine, and the forward passes
alone.

Owns how each scores the rows of a run and writes them, and the batch size of the bare loops. Knows
neither rounds nor reports.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from typing_extensions import Self

from benchmarks.contenders import SCHEMA
from benchmarks.gpu_workloads import Kind

BARE, CEILING = "bare loop", "forward pass alone"
_TIMEOUT_S = 600.0
# A row group of what is written.
_GROUP_ROWS = 131_072
# Rows on which the bare loop tries a batch size: so many batches of the largest.
_TRIED_BATCHES = 3


@dataclass
class Run:
    """One workload on one device: what the contenders share, and what the engine told of its last
    runs.
    """

    kind: Kind
    name: str
    rows: int
    folder: Path
    device: str
    model: Any
    size: int = 0
    source_folder: Path | None = None
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return (self.source_folder or self.folder) / "input.parquet"

    @property
    def target(self) -> Path:
        return self.folder / "output.parquet"

    def wait(self) -> None:
        """Until the device has done all that it was given."""
        if self.device == "cuda":
            torch.cuda.synchronize()


class Output:
    """Keys and predictions on their way into a file, in row groups of one size whatever the batches
    have.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=False)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self.seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, key: pa.Array, prediction: pa.Array) -> None:
        started = time.perf_counter()
        self._waiting.append(pa.RecordBatch.from_arrays([key, prediction], schema=SCHEMA))
        self._rows += len(key)
        if self._rows >= _GROUP_ROWS:
            self._flush()
        self.seconds += time.perf_counter() - started

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._writer.write_table(pa.Table.from_batches(self._waiting, SCHEMA))
        self._waiting, self._rows = [], 0


def bare_loop(run: Run, late: int = 0, size: int | None = None, batches: int | None = None) -> None:
    """Read with all cores, score, write; predictions of a batch are read back when `late` more are
    on their way.
    """
    model = run.model
    under_way: deque[tuple[pa.Array, Any]] = deque()
    with Output(run.target) as output:

        def read_back(left: int) -> None:
            while len(under_way) > left:
                key, found = under_way.popleft()
                output.write(key, model.decode(found)["prediction"])

        read = pq.ParquetFile(run.source, pre_buffer=True).iter_batches(batch_size=size or run.size)
        for batch in islice(read, batches):
            under_way.append((batch.column("key"), model.forward(model.encode(batch))))
            read_back(late)
        read_back(0)


def choose_size(run: Run) -> int:
    """The batch size at which the bare loop is fastest, of those of the workload; each is tried
    twice.
    """
    rates: dict[int, float] = {}
    most = min(run.rows, _TRIED_BATCHES * run.kind.sizes[-1])
    for size in run.kind.sizes:
        batches = max(1, most // size)
        for _ in range(2):
            started = time.perf_counter()
            bare_loop(run, size=size, batches=batches)
            rate = min(run.rows, batches * size) / (time.perf_counter() - started)
            rates[size] = max(rates.get(size, 0.0), rate)
    print(
        f"{run.name}: bare loop, rows/s by batch size: "
        f"{ ({size: round(rate) for size, rate in rates.items()}) }",
        file=sys.stderr,
    )
    return max(rates, key=lambda size: rates[size])


def engine(
    run: Run, name: str, handler: Any, rows: int | Literal["auto"], overlap: bool = True
) -> None:
    """The engine's part of a task: read row groups, score, write."""
    from batchinfer.contracts import DataFile
    from batchinfer.inference.attempt import InProcess
    from batchinfer.inference.batching import LARGEST_ROWS_GPU, new_size
    from batchinfer.inference.engine import BatchScorer
    from batchinfer.inference.split_reading import read_split
    from batchinfer.inference.splits import plan_splits
    from batchinfer.inference.workers import size_once
    from batchinfer.pipeline.scoring.devices import runner_on

    size = size_once(f"{run.name}, {name}", partial(new_size, rows, None, LARGEST_ROWS_GPU))
    runner = runner_on(run.device, handler, _TIMEOUT_S) if overlap else InProcess(handler)
    scorer = BatchScorer(runner, size, read_ahead=run.device == "cuda")
    started = time.perf_counter()
    tasks = plan_splits([DataFile(str(run.source), run.source.stat().st_size, run.rows)], 1)
    batches: Iterator[pa.RecordBatch] = chain.from_iterable(
        read_split(task, ["key", *run.model.names]) for task in tasks
    )
    with Output(run.target) as output:
        for scored in scorer.score(batches):
            output.write(scored.rows.column("key"), scored.predictions["prediction"])
    stages = scorer.timings | {"write": output.seconds}
    stages["other"] = time.perf_counter() - started - sum(stages.values())
    run.told[name] = {
        "stages_s": {stage: round(seconds, 3) for stage, seconds in stages.items()},
        "device_s": {name: round(seconds, 3) for name, seconds in use_of(scorer).items()},
        "size": size.rows,
        "curve": {size: round(rate) for size, rate in size.curve.items()},
        **{
            count: scorer.counts[count]
            for count in ("batches", "attempts", "largest_batch", "rows_failed")
        },
    }


def use_of(scorer: Any) -> dict[str, float]:
    """Seconds that the device computed, and waited for rows and for what it gave to be taken."""
    use = scorer.device_use()
    return {"computing": use.computing, "input": use.input, "output": use.output}


def forward_alone(run: Run) -> float:
    """The ceiling, in seconds for all rows: the forward passes of the first batch over and over,
    its data on the device.
    """
    batch = next(pq.ParquetFile(run.source).iter_batches(batch_size=run.size))
    tensors = {name: tensor.to(run.device) for name, tensor in run.model.encode(batch).items()}
    run.model.forward(tensors)
    run.wait()
    passes = max(1, run.rows // batch.num_rows)
    started = time.perf_counter()
    for _ in range(passes):
        run.model.forward(tensors)
    run.wait()
    return (time.perf_counter() - started) * run.rows / (passes * batch.num_rows)


def contenders(run: Run) -> dict[str, Callable[[], float | None]]:
    """What runs in turn, by name."""
    engines: dict[str, tuple[Any, int | Literal["auto"], bool]] = {
        "engine": (run.model, "auto", True),
        "engine, bare loop's size": (run.model, run.size, True),
        "engine, a batch at a time": (run.model, "auto", False),
    }
    if run.kind.built_in is not None:
        engines["engine, built-in handler"] = (run.kind.built_in(run.device), "auto", True)
    return {
        CEILING: partial(forward_alone, run),
        BARE: partial(bare_loop, run),
        "bare loop, a batch ahead": partial(bare_loop, run, 1),
        **{
            name: partial(engine, run, name, handler, *how)
            for name, (handler, *how) in engines.items()
        },
    }
