"""The engine with the model on a GPU against a plain loop on the CPU: each row once, in its place,
whatever fails there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import torch
from gpu.models import (
    ATOL,
    MIB,
    NAMES,
    ROWS,
    RTOL,
    Hungry,
    Lookup,
    Net,
    NotFinite,
    OnDevice,
    Poisoned,
    feature_table,
    given_out,
    plain_loop,
    room,
    word_table,
)
from lanes import PlayedLane

from batchinfer.inference.engine import BatchScorer, Scored
from batchinfer.inference.overlap import OverlapRunner
from batchinfer.inference.watchdog import ChildRunner
from batchinfer.models.handler import Regressor
from batchinfer.pipeline.scoring.devices import choose_device, describe_device

PROGRAM = """
import os, sys
from gpu.models import Lookup, word_table
from batchinfer.inference.attempt import is_device_lost
from batchinfer.inference.engine import BatchScorer

def say(*words):
    print(*words, flush=True)

try:
    words = [word_table([*range(6), 100, *range(5)])]
    for scored in BatchScorer(Lookup(sys.argv[1]), 4).score(words):
        say("scored", scored.rows.num_rows, len(scored.failed))
except Exception as error:
    say("lost" if is_device_lost(error) else "not seen as lost", repr(error))
os._exit(0)  # what ends a process without a context is the driver's affair
"""


ROW_BYTES, ROOM_BYTES = 4 * MIB, 300 * MIB


def in_batches(table: pa.RecordBatch) -> list[pa.RecordBatch]:
    """As a reader gives them: of other sizes than the model's."""
    return [table.slice(start, 300) for start in range(0, table.num_rows, 300)]


def overlapped(device: str, handler: Any, moves: bool = False) -> OverlapRunner:
    """As tasks run a model on a GPU; on the CPU the lane is played."""
    if device == "cpu":
        return OverlapRunner(handler, PlayedLane(), moves=moves)
    from batchinfer.inference.cuda import CudaLane

    return OverlapRunner(handler, CudaLane(device), moves=moves)


def columns(results: list[Scored]) -> tuple[np.ndarray, np.ndarray]:
    """Keys and predictions of all scored rows."""
    keys = pa.concat_arrays([scored.rows.column("key") for scored in results])
    return keys.to_numpy(), pa.concat_arrays(
        [scored.predictions["prediction"] for scored in results]
    ).to_numpy()


def failures(results: list[Scored]) -> list[tuple[int, str, str]]:
    return [
        (at, record.reason, record.message)
        for scored in results
        for at, record in zip(scored.failed_at, scored.failed, strict=True)
    ]


def check(results: list[Scored], expected: np.ndarray, but: tuple[int, ...] = ()) -> None:
    """All rows but some, in order, with the plain loop's predictions."""
    keys, predictions = columns(results)
    assert keys.tolist() == [key for key in range(len(expected)) if key not in but]
    np.testing.assert_allclose(predictions, np.delete(expected, list(but)), rtol=RTOL, atol=ATOL)


@pytest.mark.parametrize("batch_rows", [1, 7, ROWS - 1, ROWS, ROWS + 1])
@pytest.mark.parametrize("read_ahead", [False, True])
def test_predictions_equal_a_plain_loop_s(
    device: str, table: pa.RecordBatch, batch_rows: int, read_ahead: bool
) -> None:
    handler = OnDevice(device)
    results = list(BatchScorer(handler, batch_rows, read_ahead=read_ahead).score(in_batches(table)))
    check(results, plain_loop(table))
    assert not failures(results)
    assert next(handler.module.parameters()).device.type == device
    assert handler.calls == [batch_rows] * (ROWS // batch_rows) + [ROWS % batch_rows] * (
        ROWS % batch_rows > 0
    )


@pytest.mark.parametrize("batch_rows", [1, 7, ROWS - 1, ROWS, ROWS + 1])
@pytest.mark.parametrize("moves", [False, True])
def test_two_batches_on_the_device_at_a_time_change_nothing(
    device: str, table: pa.RecordBatch, batch_rows: int, moves: bool
) -> None:
    # Moved tensors are for handlers that use them where they are; `OnDevice` wants its keys on the
    # CPU.
    handler = Regressor(Net().eval().to(device), columns=NAMES) if moves else OnDevice(device)
    scorer = BatchScorer(overlapped(device, handler, moves), batch_rows, read_ahead=True)
    results = list(scorer.score(in_batches(table)))
    check(results, plain_loop(table))
    assert not failures(results)
    scorer.close()
    runner: Any = scorer._runner
    assert device == "cpu" or runner.use.computing > 0


def test_rows_that_raise_beside_another_batch_cost_themselves(
    device: str, table: pa.RecordBatch
) -> None:
    bad = (5, 100, 613, 999)
    results = list(
        BatchScorer(overlapped(device, Poisoned(device, bad)), 64).score(in_batches(table))
    )
    check(results, plain_loop(table), but=bad)
    assert [(at, reason) for at, reason, _ in failures(results)] == [
        (at, "model_error") for at in bad
    ]


def test_memory_that_ends_beside_another_batch_loses_nothing(device: str) -> None:
    table = feature_table(2048)
    handler = Hungry(device, ROW_BYTES, ROOM_BYTES)
    for rows in (512, 256, 128, 64, 32, 1):
        OnDevice(device).forward(OnDevice(device).encode(table.slice(0, rows)))
    runner = overlapped(device, handler)
    with room(device, ROOM_BYTES):
        scorer = BatchScorer(runner, 256)
        results = list(scorer.score(in_batches(table)))
    check(results, plain_loop(table))
    assert not failures(results)
    assert scorer.size.rows <= 64


def test_with_a_size_that_it_finds(device: str) -> None:
    table = feature_table(60_000)
    handler = OnDevice(device)
    scorer = BatchScorer(handler, "auto", columns_for_fingerprint=["f00"], read_ahead=True)
    results = list(scorer.score(in_batches(table)))
    check(results, plain_loop(table))
    assert handler.calls[0] < max(handler.calls)
    assert scorer.counts["rows_scored"] == 60_000


@pytest.mark.parametrize(
    ("batch_rows", "too_many"),
    [(512, [512, 256, 128, 128, 256, 128, 128]), ("auto", [128])],
    ids=["512", "auto"],
)
def test_memory_that_really_ends_loses_nothing(
    device: str, batch_rows: int | Literal["auto"], too_many: list[int]
) -> None:
    table = feature_table(2048)
    handler = Hungry(device, ROW_BYTES, ROOM_BYTES)
    # Made before memory is short: what stays for good, such as the workspaces of matrix products of
    # each size.
    for rows in (512, 256, 128, 64, 32, 1):
        OnDevice(device).forward(OnDevice(device).encode(table.slice(0, rows)))
    with room(device, ROOM_BYTES):
        before = given_out(device)
        scorer = BatchScorer(handler, batch_rows)
        results = list(scorer.score(in_batches(table)))
        after = given_out(device)
    check(results, plain_loop(table))
    assert not failures(results)
    assert [rows for rows in handler.calls if rows > 64] == too_many, (
        "64 rows of 4 MiB fit into 300, 128 do not"
    )
    assert scorer.size.ceiling == 127
    assert scorer.size.rows <= 64
    assert set(handler.held) == {before}, "an attempt left memory behind"
    assert after == before


@pytest.mark.parametrize("batch_rows", [256, ROWS])
def test_a_row_that_raises_costs_itself(
    device: str, table: pa.RecordBatch, batch_rows: int
) -> None:
    results = list(BatchScorer(Poisoned(device, [613]), batch_rows).score(in_batches(table)))
    check(results, plain_loop(table), but=(613,))
    assert failures(results) == [(613, "model_error", "ValueError: cannot take 613")]


def test_a_row_that_is_not_a_number_costs_itself(device: str, table: pa.RecordBatch) -> None:
    scorer = BatchScorer(NotFinite(device, [7]), 256)
    results = list(scorer.score(in_batches(table)))
    check(results, plain_loop(table), but=(7,))
    assert failures(results) == [
        (7, "not_finite", "the model gave prediction = nan; allowed: finite numbers")
    ]
    assert scorer.counts["attempts"] == scorer.counts["batches"]


def test_a_lost_context_ends_the_first_attempt_and_blames_no_row(device: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, device],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert lines[:-1] == ["scored 4 0"], ended.stderr[-3000:]
    assert lines[-1].startswith("lost "), lines[-1]
    assert "CUDA error: device-side assert triggered" in lines[-1]


def test_a_lost_context_costs_one_row_where_the_model_has_a_process_of_its_own(device: str) -> None:
    words = [*range(6), 100, *range(5)]
    started: Any = torch.ones(3, device=device)
    # What a task does from its second attempt on.
    with BatchScorer(ChildRunner(partial(Lookup, device)).loaded(), batch_rows=4) as scorer:
        results = list(scorer.score([word_table(words)]))
        assert scorer._runner.starts == 4, (
            "one at first, and a new one after the batch, the pair and the row"
        )
    keys, predictions = columns(results)
    assert keys.tolist() == [key for key in range(12) if key != 6]
    assert predictions.tolist() == [2.0 * word for word in words if word != 100]
    [(at, reason, message)] = failures(results)
    assert (at, reason) == (6, "crash")
    assert "CUDA error: device-side assert triggered" in message
    assert float(started.sum()) == 3.0, "the context of this process is another one"


def test_a_gpu_is_chosen_and_named(device: str) -> None:
    if device == "cpu":
        assert describe_device("cpu", 1) == "cpu, 1 thread"
        return
    assert choose_device("auto") == choose_device("cuda") == "cuda"
    assert choose_device("cpu") == "cpu"
    assert describe_device("cuda", 1) == torch.cuda.get_device_name()
    assert describe_device("cpu", 2) == "cpu, 2 threads"
