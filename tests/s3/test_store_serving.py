"""The embedded store in a bucket, followed as the service follows it: its files are fetched into a
folder, and those of dropped generations are removed there. No JVM.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from service import served_project
from service.served_project import KEY, new_project, rows, write_generation

from batchinfer.config.shapes.online_stores import EmbeddedTarget
from batchinfer.errors import DamagedStore
from batchinfer.lake.table_places import open_filesystem
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Layer
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.service.followed_store import FollowedStore
from batchinfer.service.served_values import ServedPipeline

pytestmark = pytest.mark.timeout(300)
QUESTION = stored_key(("c5", 5))


async def answered(store: FollowedStore) -> bytes:
    await store.look()
    with store.held() as held:
        assert held is not None
        return (await store.read(held, [QUESTION], 5.0))[0] or b""


def test_fetched_files_of_dropped_generations_are_removed(
    lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = new_project(tmp_path / "project", "churn")
    root = f"{lake}/online/churn"
    # Whoever loads is on another machine: its cache is not the service's.
    monkeypatch.setattr(
        served_project, "store_of", lambda *_: EmbeddedStore(root, str(tmp_path / "loads"))
    )
    cache = tmp_path / "serves"
    served = ServedPipeline(
        "churn",
        str(tmp_path / "table"),
        EmbeddedTarget(kind="embedded"),
        str(tmp_path / "var"),
        KEY,
        "day",
        "load",
        "score",
    )

    async def scenario() -> None:
        # As a worker has left it that ended.
        (cache / "g0").mkdir(parents=True)
        (cache / "g0" / "part").write_text("old")
        store = FollowedStore(served, EmbeddedStore(root, str(cache)), lambda _: None)
        for number in range(1, 7):
            write_generation(project, "churn", f"g{number}", rows(10, f"g{number}"))
            told = b""
            for _ in range(100):
                told = await answered(store)
                if f'"g{number}"'.encode() in told:
                    break
                await asyncio.sleep(0.1)
            assert f'"g{number}"'.encode() in told
            # The generation before stays in the store, for a rollback.
            kept = {f"g{each}" for each in (number - 1, number) if each}
            assert {entry.name for entry in cache.iterdir()} == kept
        store.close()

    asyncio.run(scenario())


def test_a_file_that_the_bucket_has_lost_is_not_taken_from_a_copy(
    lake: str, tmp_path: Path
) -> None:
    store = EmbeddedStore(f"{lake}/online/lost", str(tmp_path / "cache"))
    store.begin("1", 1)
    layer = Layer("1", (store.write_part("1", 0, [([b"a"], [b"1"])]),))
    store.finish(layer)
    store.close()
    filesystem, root = open_filesystem(store.root)
    filesystem.delete_file(f"{root}/layers/1/part-00000.lmdb")
    with pytest.raises(DamagedStore, match=r"part-00000\.lmdb: damaged: the file is not there"):
        store.finish(layer)
