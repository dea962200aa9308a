"""Every store on its real server; DynamoDB on an emulator (moto)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from postgres import PASSWORD as DATABASE_PASSWORD
from postgres import USER, Postgres, postgres_server
from redis_server import RedisServer, redis_cluster, redis_server
from s3.conftest import MOTO, serving

from batchinfer.lookups.stores.dynamodb_store import DynamoStore
from batchinfer.lookups.stores.embedded_store import EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Layer
from batchinfer.lookups.stores.online_store import OnlineStore, Rows, part_of
from batchinfer.lookups.stores.postgres_store import PostgresStore
from batchinfer.lookups.stores.redis_store import RedisStore

KINDS = ("embedded", "redis", "valkey", "redis-cluster", "postgres", "dynamodb")
SCHEMA = 'on "line'


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    with redis_server("valkey") as server:
        yield server


@pytest.fixture(scope="session")
def cluster() -> Iterator[RedisServer]:
    with redis_cluster() as server:
        yield server


@pytest.fixture(scope="session")
def database() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[str]:
    if os.environ.get("CI") and not MOTO.is_file():
        pytest.fail(f"{MOTO} is not there; `make service` installs it")
    with serving() as server:
        yield server.url


@pytest.fixture(scope="session", autouse=True)
def credentials() -> Iterator[None]:
    """What boto3 finds in the environment of a machine, and of the workers of a session."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIACANARYSTORES")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-dynamodb-41")
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


def database_url(server: Postgres, name: str = "postgres") -> str:
    return f"postgresql://{USER}:{DATABASE_PASSWORD}@127.0.0.1:{server.port}/{name}"


@dataclass(frozen=True)
class Place:
    """Where stores of one kind are; each table is empty when a test begins."""

    kind: str
    make: Callable[[str], OnlineStore]

    def open(self, table: str = "scores") -> OnlineStore:
        return self.make(table)


def _embedded(folder: Path, table: str) -> EmbeddedStore:
    return EmbeddedStore(str(folder / table))


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind, opened = request.param, list[OnlineStore]()
    if kind == "embedded":
        new: Callable[[str], OnlineStore] = partial(_embedded, tmp_path)
    elif kind == "postgres":
        url = database_url(request.getfixturevalue("database"))
        new = partial(PostgresStore, url, SCHEMA)
    elif kind == "dynamodb":
        url = request.getfixturevalue("dynamodb")
        name = f"predictions-{os.urandom(4).hex()}"
        new = partial(DynamoStore, name, region="us-east-1", endpoint=url)
    else:
        url = request.getfixturevalue({"redis-cluster": "cluster"}.get(kind, kind)).url
        new = partial(RedisStore, url)

    def make(table: str) -> OnlineStore:
        opened.append(new(table))
        return opened[-1]

    yield Place(kind, make)
    if kind == "postgres":
        request.getfixturevalue("database").sql('DROP SCHEMA IF EXISTS "on ""line" CASCADE')
    elif kind not in ("embedded", "dynamodb"):
        from redis import Redis, RedisCluster

        client = (RedisCluster if kind == "redis-cluster" else Redis).from_url(url)
        client.flushall()
        client.close()
    for store in opened:
        store.close()


def batches(rows: Mapping[bytes, bytes], most: int = 3) -> Iterator[Rows]:
    """Rows in the order of their keys, in small batches."""
    keys = sorted(rows)
    for start in range(0, len(keys), most):
        some = keys[start : start + most]
        yield some, [rows[key] for key in some]


def own_rows(rows: Mapping[bytes, bytes], part: int, parts: int) -> dict[bytes, bytes]:
    return {key: value for key, value in rows.items() if part_of(key, parts) == part}


def write_layer(
    store: OnlineStore, name: str, rows: Mapping[bytes, bytes], parts: int = 2
) -> Layer:
    """A layer that is written and not finished."""
    store.begin(name, parts)
    told = [
        store.write_part(name, part, batches(own_rows(rows, part, parts))) for part in range(parts)
    ]
    return Layer(name, tuple(told))


def generation(*layers: Layer) -> Generation:
    """Layers as readers see them, newest first."""
    return Generation(
        name=layers[0].name if layers else "none", layers=layers, table="/lake/scores", version=1,
        slice="2026-11-30", as_of=None, rows=0, key=("id",), schema="",
        loaded_at="2026-11-30T00:00:00+00:00",
    )  # fmt: skip
