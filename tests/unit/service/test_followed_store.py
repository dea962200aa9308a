"""A store that does not answer, or fails: nobody waits for it longer than its time, and it is read
again once it answers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from service.served_project import KEY, new_project, rows, store_of, write_generation

from batchinfer.config.shapes.online_stores import EmbeddedTarget
from batchinfer.errors import StorageError
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Pointer
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.service.followed_store import FollowedStore
from batchinfer.service.problem_documents import HttpProblem
from batchinfer.service.served_values import ServedPipeline

QUESTION = stored_key(("c5", 5))


class StoreOnServer:
    """An embedded store, asked as a server is: it may be paused, and it may be down."""

    kind, sorted_parts, finds_parts = "redis", True, False

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self.place = "redis://store.example.com:6379/0"
        self.goes = threading.Event()
        self.goes.set()
        self.down = False
        self.reads = 0

    def _answer(self) -> None:
        self.goes.wait(30)
        if self.down:
            raise StorageError(f"{self.place}: connection refused")

    def pointer(self) -> Pointer | None:
        self._answer()
        return self._store.pointer()

    def read(self, generation: Generation, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads += 1
        self._answer()
        return self._store.read(generation, keys)

    def close(self) -> None:
        self._store.close()


@pytest.fixture
def server(tmp_path: Path) -> StoreOnServer:
    project = new_project(tmp_path, "churn")
    write_generation(project, "churn", "g1", rows(10, "g1"))
    return StoreOnServer(store_of(project, "churn"))


def followed(server: StoreOnServer, tmp_path: Path) -> FollowedStore:
    table, target = str(tmp_path / "table"), EmbeddedTarget(kind="embedded")
    home = str(tmp_path / "var")
    served = ServedPipeline("churn", table, target, home, KEY, "day", "load", "score")
    return FollowedStore(served, server, lambda _: None)  # type: ignore[arg-type]


async def ask(store: FollowedStore) -> bytes | None:
    with store.held() as held:
        assert held is not None
        return (await store.read(held, [QUESTION], 5.0))[0]


async def refused(store: FollowedStore) -> float:
    """Seconds until a question is refused."""
    began = time.monotonic()
    with pytest.raises(HttpProblem) as caught:
        await ask(store)
    assert (caught.value.status, caught.value.kind) == (503, "store-unavailable")
    assert int(caught.value.headers["Retry-After"]) >= 1
    assert "redis" not in caught.value.detail, "no place inside of the service"
    return time.monotonic() - began


def test_a_store_that_is_paused_keeps_nobody_waiting(server: StoreOnServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        store = followed(server, tmp_path)
        await store.look()
        assert b'"g1"' in (await ask(store) or b"")
        server.goes.clear()
        first = await asyncio.gather(*(refused(store) for _ in range(20)))
        assert 1.5 < max(first) < 4
        assert await refused(store) < 0.2, "those that come later do not wait"
        assert store.state()["state"] == "unavailable"
        assert "does not answer within 2 s" in store.state()["fault"]
        reads = server.reads
        await asyncio.gather(*(refused(store) for _ in range(50)))
        assert server.reads == reads, "nothing piles up"
        looking = asyncio.ensure_future(store.look())
        await asyncio.sleep(2.5)
        assert not looking.done()
        server.goes.set()
        await looking
        told = "a look reads once; those that no thread had begun were taken back"
        assert server.reads == reads + 1, told
        assert b'"g1"' in (await ask(store) or b"")
        assert store.state()["state"] == "store"
        await store.close()

    asyncio.run(scenario())


def test_a_store_that_is_down_is_read_again_once_it_is_up(
    server: StoreOnServer, tmp_path: Path
) -> None:
    async def scenario() -> None:
        store = followed(server, tmp_path)
        await store.look()
        server.down = True
        assert await refused(store) < 1
        await store.look()
        assert store.state()["state"] == "unavailable"
        server.down = False
        await store.look()
        assert b'"g1"' in (await ask(store) or b"")
        await store.close()

    asyncio.run(scenario())


def test_a_store_that_is_down_at_the_start(server: StoreOnServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        server.down = True
        store = followed(server, tmp_path)
        assert store.state()["state"] == "starting"
        await store.look()
        assert store.state()["state"] == "unavailable"
        await refused(store)
        server.down = False
        await store.look()
        assert b'"g1"' in (await ask(store) or b"")
        await store.close()

    asyncio.run(scenario())


def test_a_generation_is_held_as_long_as_somebody_reads_it(
    server: StoreOnServer, tmp_path: Path
) -> None:
    async def scenario() -> None:
        store = followed(server, tmp_path)
        await store.look()
        with store.held() as held:
            assert held is not None
            write_generation(tmp_path, "churn", "g2", rows(10, "g2"))
            await store.look()
            assert store.current is not held
            found = await store.read(held, [QUESTION], 5.0)
            assert b'"g1"' in (found[0] or b"")
        await asyncio.sleep(0.01)
        assert held.readers == 0
        assert b'"g2"' in (await ask(store) or b"")
        await store.close()

    asyncio.run(scenario())
