"""A child that crashes or hangs costs the row to blame, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from fake_handlers import (
    Refusing,
    load_crashing,
    load_doubling,
    load_hanging,
    load_nothing,
    load_thread_counting,
    stream_of,
)

from batchinfer.errors import InputError, ModelError, StorageError
from batchinfer.inference.child import from_ipc, to_ipc
from batchinfer.inference.engine import BatchScorer
from batchinfer.inference.watchdog import ChildRunner


def _scores(results: list) -> list[tuple[int, float]]:
    return [
        pair
        for scored in results
        for pair in zip(
            scored.rows.column("source_line").to_pylist(),
            scored.predictions["score"].to_pylist(),
            strict=True,
        )
    ]


def test_gives_what_the_same_process_gives() -> None:
    xs = [i % 9 for i in range(50)]
    options = {"batch_rows": 16, "columns_for_fingerprint": ["x"], "key_columns": ["source_line"]}
    inside = list(BatchScorer(load_doubling(), **options).score(stream_of(xs, [])))
    with BatchScorer(ChildRunner(load_doubling).loaded(), **options) as scorer:
        outside = list(scorer.score(stream_of(xs, [])))
        assert scorer._runner.starts == 1
        assert scorer.timings["forward"] > 0
    assert _scores(outside) == _scores(inside)
    assert [scored.failed for scored in outside] == [scored.failed for scored in inside]
    assert all(a.fingerprints.equals(b.fingerprints) for a, b in zip(outside, inside, strict=True))


def test_a_segmentation_fault_costs_one_row() -> None:
    xs = list(range(10))
    with BatchScorer(ChildRunner(load_crashing).loaded(), batch_rows=4) as scorer:
        results = list(scorer.score(stream_of(xs, [])))
        assert scorer._runner.starts == 4
    assert _scores(results) == [(x + 1, 2.0 * x + 1) for x in xs if x != 7]
    (record,) = [record for scored in results for record in scored.failed]
    assert (record.source_line, record.reason) == (8, "crash")
    assert record.message == "the process was ended by SIGSEGV while it scored these rows"


def test_a_hang_costs_one_row_and_not_a_timeout_at_each_halving() -> None:
    xs = list(range(10))
    started = time.monotonic()
    with BatchScorer(ChildRunner(load_hanging, timeout_s=3.0).loaded(), batch_rows=4) as scorer:
        results = list(scorer.score(stream_of(xs, [])))
    assert _scores(results) == [(x + 1, 2.0 * x + 1) for x in xs if x != 7]
    (record,) = [record for scored in results for record in scored.failed]
    assert (record.source_line, record.reason, record.message) == (
        8,
        "hang",
        "no answer within 3 s; the process was ended",
    )
    assert time.monotonic() - started < 60


def test_a_model_that_cannot_be_loaded_is_a_model_error() -> None:
    with pytest.raises(
        ModelError, match="cannot be loaded: FileNotFoundError: the bundle is not here"
    ):
        ChildRunner(load_nothing).loaded()
    with pytest.raises(ModelError, match="the process ended with exit code 3 while loading"):
        ChildRunner(partial(os._exit, 3)).loaded()
    with pytest.raises(ModelError, match=r"took more than 0\.5 s while loading"):
        ChildRunner(partial(time.sleep, 60), load_timeout_s=0.5).loaded()


def test_errors_keep_their_class() -> None:
    runner = ChildRunner(partial(Refusing, "StorageError")).loaded()
    with (
        BatchScorer(runner, batch_rows=4) as scorer,
        pytest.raises(StorageError, match="no answer"),
    ):
        list(scorer.score(stream_of([1, 2], [])))


def test_a_gpu_that_is_lost_costs_the_child() -> None:
    loader = partial(Refusing, "RuntimeError", "CUDA error: device-side assert triggered")
    with BatchScorer(ChildRunner(loader).loaded(), batch_rows=4) as scorer:
        (scored,) = scorer.score(stream_of([1, 7], []))
        assert scorer._runner.starts == 2
    assert [record.reason for record in scored.failed] == ["crash"]
    assert _scores([scored]) == [(1, 3.0)]


def test_a_model_that_always_crashes_is_given_up() -> None:
    runner = ChildRunner(load_crashing, max_losses=2)
    with pytest.raises(
        ModelError, match="3 processes of this model crashed or hung in one task; allowed: 2"
    ):
        list(BatchScorer(runner, 4).score(stream_of([7] * 8, [])))


def test_the_child_ends_with_its_parent() -> None:
    with BatchScorer(ChildRunner(load_doubling).loaded()) as scorer:
        process = scorer._runner._process
        assert process is not None
        assert process.poll() is None
    assert process.wait(5) == -signal.SIGKILL


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    """`multiprocessing` would import the main module in the child, which would start a child of its
    own.
    """
    script = tmp_path / "script.py"
    script.write_text(
        """
import pyarrow as pa
from fake_handlers import load_doubling, stream_of
from batchinfer.inference.engine import BatchScorer
from batchinfer.inference.watchdog import ChildRunner
with BatchScorer(ChildRunner(load_doubling).loaded(), 4) as scorer:
    print(sum(scored.rows.num_rows for scored in scorer.score(stream_of([1, 2, 4], []))))
"""
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run(
        [sys.executable, script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout, ended.returncode) == ("3\n", 0), ended.stderr


def test_what_a_model_prints_is_not_output_of_the_command() -> None:
    program = """
from functools import partial
from batchinfer.inference.watchdog import ChildRunner
try:
    ChildRunner(partial(print, "printed by the model")).loaded()
except Exception as error:
    print(type(error).__name__)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "ModelError\n"
    assert "printed by the model" in ended.stderr


def test_a_child_has_as_many_threads_as_it_is_told() -> None:
    with BatchScorer(ChildRunner(load_thread_counting, threads=1).loaded(), 4) as scorer:
        (scored,) = scorer.score(stream_of([1], []))
    assert scored.predictions["score"].to_pylist() == [1.0]


def test_only_the_rows_of_a_slice_are_sent() -> None:
    batch = pa.RecordBatch.from_pydict({"x": list(range(100_000)), "t": ["text"] * 100_000})
    sent = to_ipc(batch.slice(500, 10))
    assert len(sent) < 2000
    assert from_ipc(bytes(sent)).equals(batch.slice(500, 10))


def test_a_hang_in_the_worker_itself_ends_it_with_a_traceback() -> None:
    program = """
from fake_handlers import load_hanging, stream_of
from batchinfer.inference.engine import BatchScorer
scorer = BatchScorer(load_hanging(), 4, timeout_s=0.5)
for scored in scorer.score(stream_of(list(range(12)), [])):
    print(scored.rows.num_rows, flush=True)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "4\n"
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
    assert "fake_handlers.py" in ended.stderr
    assert "in forward" in ended.stderr


def test_a_slow_stream_is_not_a_hang() -> None:
    def slow():
        for batch in stream_of([1, 2, 3], [1, 1]):
            time.sleep(0.3)
            yield batch

    assert len(list(BatchScorer(load_doubling(), 1, timeout_s=0.2).score(slow()))) == 3


def test_wrong_columns_are_said_before_a_child_is_asked() -> None:
    runner = ChildRunner(load_doubling).loaded()
    with (
        BatchScorer(runner, columns_for_fingerprint=["y"]) as scorer,
        pytest.raises(InputError, match="none called y"),
    ):
        list(scorer.score(stream_of([1], [])))
