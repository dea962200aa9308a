"""A worker loads each model once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_handlers import Doubling

from batchinfer.inference import workers
from batchinfer.inference.workers import load_once, threads_per_worker


@pytest.fixture(autouse=True)
def fresh_worker() -> Iterator[None]:
    workers._handlers.clear()
    yield
    workers._handlers.clear()


def test_each_bundle_is_loaded_once() -> None:
    loads: list[str] = []

    def loader(digest: str) -> Doubling:
        loads.append(digest)
        return Doubling()

    handlers = [load_once(digest, lambda digest=digest: loader(digest)) for digest in ["a", "b", "a", "b", "a"]]
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


def test_a_load_that_failed_is_tried_again() -> None:
    with pytest.raises(FileNotFoundError):
        load_once("a", lambda: (_ for _ in ()).throw(FileNotFoundError("bundle")))
    assert isinstance(load_once("a", Doubling), Doubling)


def test_cores_are_shared() -> None:
    assert [threads_per_worker(cores, n) for cores, n in [(16, 4), (2, 2), (2, 8), (1, 1), (8, 0)]] == [4, 1, 1, 1, 8]


def test_threads_are_set_in_torch() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    try:
        load_once("a", Doubling, threads=1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
