"""A worker loads each model once."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest
from fake_handlers import Doubling

from batchinfer.inference import workers
from batchinfer.inference.batching import new_size
from batchinfer.inference.workers import load_once, size_once, threads_per_worker


@pytest.fixture(autouse=True)
def fresh_worker() -> Iterator[None]:
    workers._handlers.clear()
    workers._sizes.clear()
    yield
    workers._handlers.clear()
    workers._sizes.clear()
    gc.unfreeze()


def test_the_next_task_goes_on_with_the_size_of_the_last() -> None:
    first = size_once("a", lambda: new_size(1024))
    first.out_of_memory(1024)
    assert size_once("a", lambda: new_size(1024)) is first and first.rows == 512
    assert size_once("b", lambda: new_size(1024)).rows == 1024


def test_each_bundle_is_loaded_once() -> None:
    loads: list[str] = []

    def loader(digest: str) -> Doubling:
        loads.append(digest)
        return Doubling()

    handlers = [
        load_once(digest, lambda digest=digest: loader(digest))
        for digest in ["a", "b", "a", "b", "a"]
    ]
    assert loads == ["a", "b"]
    assert handlers[0] is handlers[2] is handlers[4]
    assert handlers[0] is not handlers[1]


def test_the_handler_longest_unused_makes_room() -> None:
    loads: list[str] = []

    def load(digest: str) -> None:
        load_once(digest, lambda: loads.append(digest) or Doubling())

    for digest in "abcdaeab":
        load(digest)
    assert loads == list("abcdeb")


def test_the_collector_leaves_loaded_models_alone_but_not_those_that_made_room() -> None:
    class Circular(Doubling):
        def __init__(self) -> None:
            self.me = self

    first = weakref.ref(load_once("a", Circular))
    assert gc.get_freeze_count() > 1000
    assert not any(found is first() for found in gc.get_objects())
    for digest in "bcd":
        load_once(digest, Circular)
        assert first() is not None
    load_once("e", Circular)
    assert first() is None


def test_a_load_that_failed_is_tried_again() -> None:
    with pytest.raises(FileNotFoundError):
        load_once("a", lambda: (_ for _ in ()).throw(FileNotFoundError("bundle")))
    assert isinstance(load_once("a", Doubling), Doubling)


def test_cores_are_shared() -> None:
    assert [
        threads_per_worker(cores, n) for cores, n in [(16, 4), (2, 2), (2, 8), (1, 1), (8, 0)]
    ] == [4, 1, 1, 1, 8]


def test_threads_are_set_in_torch() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        load_once("a", Doubling, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is meant")
def test_memory_is_kept_for_the_next_batch() -> None:
    program = """
import resource, sys
import numpy as np
from batchinfer.inference.workers import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def batch():
    return [np.ones(2**20 + i) for i in range(4)]
batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", program, mode], capture_output=True, text=True, check=True
            ).stdout
        )
        for mode in ("given back", "kept")
    ]
    assert faults[1] < faults[0] / 10
