"""`load` into stores on servers: executors write, and rows come back as a lookup tells them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis_server import RedisServer, redis_server
from spark.conftest import spark  # noqa: F401
from spark.test_load import FIRST, PIPELINE, SECOND, Shop, visits
from stores.conftest import database_url

from batchinfer.errors import DamagedStore, StorageError
from batchinfer.hints import commands_of
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.lookups.stores.postgres_store import PostgresStore
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.lookups.tables import lookup_rows
from batchinfer.pipeline.loading.load_targets import store_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KINDS = {
    "redis": "{kind: redis, url_env: STORE_URL}",
    "postgres": "{kind: postgres, url_env: STORE_URL, schema: of_load}",
    "dynamodb": "{kind: dynamodb, table: of-load, region: us-east-1, endpoint_env: STORE_URL}",
}


@pytest.fixture
def memory() -> Iterator[RedisServer]:
    """A server of the test's own."""
    with redis_server() as server:
        yield server


def shop_with(
    target: str, url: str, folder: Path, session: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    monkeypatch.setenv("STORE_URL", url)
    (folder / "conf/pipelines").mkdir(parents=True)
    (folder / "conf/pipelines/visits.yaml").write_text(f"{PIPELINE}load: [{target}]\n")
    return Shop(folder, lambda: session)


def store_in(shop: Shop) -> OnlineStore:
    context = shop.context()
    (target,) = context.pipeline.load
    return store_of(context, target)


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    """The address of a server of this kind."""
    if kind == "redis":
        return request.getfixturevalue("redis").url
    if kind == "postgres":
        return database_url(request.getfixturevalue("database"))
    return request.getfixturevalue("dynamodb")


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_goes_there_and_back(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    spark: SparkSession,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = shop_with(KINDS[kind], url_of(kind, request), tmp_path, spark, monkeypatch)
    store = store_in(shop)
    shop.publish(FIRST, visits(FIRST, range(60), 100.0))
    report = shop.load(verify=True)
    assert (report.rows, report.stores[0].rows_verified) == (60, 60)
    shop.publish(SECOND, visits(SECOND, range(55, 65), 200.0))
    report = shop.load(verify=True)
    assert (report.rows, report.stores[0].rows_verified) == (65, 65)
    assert (report.stores[0].rows_written, report.stores[0].layers) == (10, 2)
    pointer = store.pointer()
    assert pointer is not None
    keys = [{"shop": f"shop, {{{n % 3}}}", "visit": n} for n in range(65)]
    found = store.read(pointer.current, [stored_key(list(key.values())) for key in keys])
    told = [None if row is None else json.loads(row) for row in found]
    assert told == lookup_rows(shop.table, keys)
    assert shop.load(rollback=True).rows == 60
    shop.load(full=True)
    assert len(store.layers()) <= 3


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_a_server_has_lost_are_told_by_a_load_without_a_change(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    spark: SparkSession,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = shop_with(KINDS[kind], url_of(kind, request), tmp_path, spark, monkeypatch)
    store = store_in(shop)
    shop.publish(FIRST, visits(FIRST, range(60), 100.0))
    shop.load(full=True)
    assert shop.load().status == "unchanged"
    pointer = store.pointer()
    assert pointer is not None
    (layer,) = pointer.current.layers
    if isinstance(store, PostgresStore):
        # A view depends on it, so nobody drops it by mistake.
        table = f"of_load.{store._relation(layer.name)}"
        request.getfixturevalue("database").sql(f"DROP TABLE {table} CASCADE")
    else:
        store.drop([layer.name])
    with pytest.raises(DamagedStore, match=r"0 rows are there, 60 were|is not there") as told:
        shop.load()
    assert commands_of(told.value.hint) == [shop.context().asked.command("load", "--full")]
    shop.load(full=True, verify=True)
    with pytest.raises(DamagedStore):
        shop.load(rollback=True)
    assert shop.load(verify=True).status == "unchanged"


def test_rows_that_expire_are_all_written_again(
    memory: RedisServer,
    tmp_path: Path,
    spark: SparkSession,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = "{kind: redis, url_env: STORE_URL, ttl_s: 60}"
    shop = shop_with(target, memory.url, tmp_path, spark, monkeypatch)
    shop.publish(FIRST, visits(FIRST, range(60), 100.0))
    for _ in range(2):
        (told,) = shop.load().stores
        assert (told.status, told.rows_written, told.layers) == ("loaded", 60, 1)
    assert "ttl_s 60" in told.way


def test_room_is_looked_for_before_rows_are_written(
    memory: RedisServer,
    tmp_path: Path,
    spark: SparkSession,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = shop_with(KINDS["redis"], memory.url, tmp_path, spark, monkeypatch)
    shop.publish(FIRST, visits(FIRST, range(30_000), 100.0))
    client = memory.client
    client.config_set("maxmemory", client.info("memory")["used_memory"] + (3 << 20))
    with pytest.raises(StorageError, match=r"need some \d+ MiB of memory; free are 2 MiB"):
        shop.load()
    assert client.keys("*") == []
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] + (100 << 20))
    before = client.info("memory")["used_memory"]
    report = shop.load()
    assert "maxmemory-policy is allkeys-lru" in " ".join(report.warnings)
    took = client.info("memory")["used_memory"] - before
    assert report.stores[0].memory == pytest.approx(took, rel=0.25)
