"""Which online stores there are: their settings as pipeline files have them, and the stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchinfer.config.shapes.online_stores import (
    DynamoTarget,
    EmbeddedTarget,
    PostgresTarget,
    RedisTarget,
    Target,
)
from batchinfer.config.uris import join
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.lookups.stores.store_addresses import need_driver, store_address


@dataclass(frozen=True)
class StoredTable:
    """The table whose rows a store keeps, and where local files of it go.

    Attributes:
        name: of the table in stores that keep several: the pipeline's name, for its fallbacks
            `<pipeline>.fallbacks`.
        home: the state folder; relative folders begin there, and files of object stores are kept.
    """

    name: str
    home: Path


def open_store(target: Target, table: StoredTable) -> OnlineStore:
    """The store of a table that settings name; nothing is asked of it yet.

    Runs on: driver | service

    Raises:
        ConfigError: a variable that holds its address is not set, or holds none.
        SetupError: its driver is not installed.
    """
    return _STORES[target.kind](target, table)


def _embedded(target: EmbeddedTarget, table: StoredTable) -> OnlineStore:
    from batchinfer.lookups.stores.embedded_store import EmbeddedStore

    name, _, part = table.name.partition(".")
    root = "/".join(filter(None, (target.path or f"online/{name}", part)))
    cache = table.home / "cache" / "online" / table.name
    return EmbeddedStore(join(str(table.home), root), str(cache))


def _redis(target: RedisTarget, table: StoredTable) -> OnlineStore:
    need_driver("redis", target.kind)
    from batchinfer.lookups.stores.redis_store import RedisStore

    url = store_address("load.url_env", target.url_env, ("redis", "rediss", "unix"), os.environ)
    return RedisStore(url, table.name, target.ttl_s)


def _postgres(target: PostgresTarget, table: StoredTable) -> OnlineStore:
    need_driver("psycopg", target.kind)
    from batchinfer.lookups.stores.postgres_store import PostgresStore

    url = store_address("load.url_env", target.url_env, ("postgresql", "postgres"), os.environ)
    return PostgresStore(url, target.schema_, table.name)


def _dynamodb(target: DynamoTarget, table: StoredTable) -> OnlineStore:
    need_driver("boto3", target.kind)
    from batchinfer.lookups.stores.dynamodb_store import DynamoStore

    endpoint = None
    if target.endpoint_env is not None:
        endpoint = store_address(
            "load.endpoint_env", target.endpoint_env, ("https", "http"), os.environ
        )
    return DynamoStore(target.table, table.name, target.region, endpoint, target.ttl_s)


_STORES: Mapping[str, Callable[[Any, StoredTable], OnlineStore]] = {
    "embedded": _embedded,
    "redis": _redis,
    "dynamodb": _dynamodb,
    "postgres": _postgres,
}
