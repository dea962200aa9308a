"""Settings become stores: addresses come from variables, and nothing shows their secrets."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from batchinfer.config.shapes.online_stores import LoadTarget
from batchinfer.credentials import keep_secrets
from batchinfer.errors import ConfigError, SetupError, StorageError
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.lookups.stores.store_addresses import shown_address
from batchinfer.lookups.stores.store_catalogue import StoredTable, open_store

SECRET = "canary-5d1f"
REDIS: dict[str, Any] = {"kind": "redis", "url_env": "STORE_URL", "ttl_s": 60}
POSTGRES: dict[str, Any] = {"kind": "postgres", "url_env": "STORE_URL", "schema": "online"}
DYNAMODB: dict[str, Any] = {"kind": "dynamodb", "table": "t", "endpoint_env": "STORE_URL"}
ADDRESSES = [
    (REDIS, f"rediss://user:{SECRET}@host:6380/2?password={SECRET}", "rediss://host:6380/2"),
    (REDIS, f"redis://:{SECRET}/with@slash@host/0", "redis://host/0"),
    (REDIS, f"unix://{SECRET}@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    (
        POSTGRES,
        f"postgresql://user:{SECRET}@one:5432,two:5433/db?sslpassword={SECRET}",
        "postgresql://one:5432,two:5433/db, schema online",
    ),
    (POSTGRES, f"postgres://{SECRET}@[::1]:5432/db", "postgres://[::1]:5432/db, schema online"),
    (REDIS, f"redis://user:{SECRET}?{SECRET}@host/0", "redis://***"),
    (REDIS, f"redis://host/0?password={SECRET}@{SECRET}", "redis://***"),
    (DYNAMODB, f"http://x:{SECRET}@host:8000", "dynamodb table t at http://host:8000"),
]


def opened(settings: dict[str, Any], home: Path) -> OnlineStore:
    target: Any = TypeAdapter(LoadTarget).validate_python(settings)
    return open_store(target, StoredTable("scores", home))


@pytest.mark.parametrize(("settings", "address", "shown"), ADDRESSES)
def test_a_store_is_opened_and_shows_no_secret(
    settings: dict[str, Any],
    address: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORE_URL", f" {address}\n")
    # As the loader of pipeline files does.
    keep_secrets([address, SECRET])
    store = opened(settings, tmp_path)
    assert isinstance(store, OnlineStore)
    assert StorageError(f"{store.place}: full").problems == (f"{shown}: full",)
    assert (store.kind, store.place) == (settings["kind"], shown)
    assert SECRET not in f"{store} {store!r}"
    there = pickle.loads(pickle.dumps(store))
    assert (there.place, there.kind) == (store.place, store.kind)
    assert getattr(there, "ttl_s", None) == settings.get("ttl_s")


def test_a_table_of_a_region_needs_no_variable(tmp_path: Path) -> None:
    store = opened({"kind": "dynamodb", "table": "t", "region": "eu-central-1"}, tmp_path)
    assert store.place == "dynamodb table t at eu-central-1"


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        (REDIS, "load.url_env: variable STORE_URL {}; allowed: redis://HOST or rediss://HOST"),
        (POSTGRES, "load.url_env: variable STORE_URL {}; allowed: postgresql://HOST"),
        (DYNAMODB, "load.endpoint_env: variable STORE_URL {}; allowed: https://HOST"),
    ],
)
def test_an_address_that_is_none_is_told_by_the_variable(
    settings: dict[str, Any], allowed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORE_URL", raising=False)
    with pytest.raises(ConfigError) as failed:
        opened(settings, tmp_path)
    assert allowed.format("is not set") in str(failed.value)
    for value in (f"ftp://user:{SECRET}@host", SECRET, "redis:/host", "://"):
        monkeypatch.setenv("STORE_URL", value)
        with pytest.raises(ConfigError) as failed:
            opened(settings, tmp_path)
        assert allowed.format("holds no such address") in str(failed.value)
        assert SECRET not in str(failed.value)


@pytest.mark.parametrize(
    ("settings", "driver"), [(REDIS, "redis"), (POSTGRES, "psycopg"), (DYNAMODB, "boto3")]
)
def test_a_driver_that_is_missing_is_told_with_the_extra(
    settings: dict[str, Any], driver: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(SetupError, match=f"package {driver} is not installed") as failed:
        opened(settings, tmp_path)
    assert failed.value.hint == "pip install 'batchinfer[stores]'"


def test_an_address_is_shown_without_who_asks() -> None:
    assert shown_address("redis://host:6379/0") == "redis://host:6379/0"
    assert shown_address("https://dynamodb.eu-central-1.amazonaws.com/") == (
        "https://dynamodb.eu-central-1.amazonaws.com"
    )
