"""The service on real servers of Redis and PostgreSQL that hang, die, come back, are full or hold
what cannot be read: each question has its answer, nobody waits long, and nothing is restarted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from postgres import PASSWORD as DATABASE_PASSWORD
from postgres import USER, Postgres, postgres_server
from redis_server import PASSWORD, RedisServer, redis_server
from service.asking import BATCH, PATH, ROWS, asked_all_along, wait_for
from service.served_project import (
    Served,
    get,
    new_project,
    post,
    problem,
    publish,
    rows,
    serving,
    write_generation,
)

from batchinfer.errors import StorageError
from batchinfer.lookups.stores.online_store import OnlineStore
from batchinfer.lookups.stores.postgres_store import PostgresStore
from batchinfer.lookups.stores.redis_store import RedisStore

ONE = f"{PATH}?customer=c5&order=5"
# What an answer may take: the two seconds of a store, and what a busy machine adds.
BOUND_S = 4.5
KEPT = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass
class Place:
    """A server, and the project whose pipeline `churn` is loaded into it."""

    server: RedisServer | Postgres
    project: Path
    url: str

    def store(self) -> OnlineStore:
        if isinstance(self.server, RedisServer):
            return RedisStore(self.url, "churn")
        return PostgresStore(self.url, "batchinfer", "churn")

    def load(self, generation: str, count: int = ROWS) -> None:
        batch = rows(count, generation)
        write_generation(self.project, "churn", generation, batch, store=self.store())

    @contextmanager
    def serving(self, workers: int = 1) -> Iterator[Served]:
        options = ("--workers", str(workers), "--no-access-log")
        with serving(self.project, *options, env={"STORE_URL": self.url}) as served:
            yield served
            assert not [line for line in served.lines if "Traceback" in line], served.lines
            told = "".join(served.lines)
            assert PASSWORD not in told and DATABASE_PASSWORD not in told

    def stop(self) -> None:
        """At once, as a crash does."""
        self.server.kill() if isinstance(self.server, RedisServer) else self.server.stop()


def place_of(server: RedisServer | Postgres, folder: Path) -> Place:
    if isinstance(server, RedisServer):
        kind, url = "redis", server.url
    else:
        kind = "postgres"
        url = f"postgresql://{USER}:{DATABASE_PASSWORD}@127.0.0.1:{server.port}/postgres"
    project = new_project(folder, "churn", load=f"{{kind: {kind}, url_env: STORE_URL}}")
    return Place(server, project, url)


@pytest.fixture(params=["redis", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A server of the test's own, which keeps what it was told."""
    opened = redis_server("redis", *KEPT) if request.param == "redis" else postgres_server()
    with opened as server:
        yield place_of(server, tmp_path)


def state(served: Served) -> dict[str, Any]:
    return get(served, "/readyz").json()["pipelines"]["churn"]


def wait_for_state(served: Served, wanted: str, within_s: float = 20) -> dict[str, Any]:
    until = time.monotonic() + within_s
    while (told := state(served))["state"] != wanted:
        assert time.monotonic() < until, told
        time.sleep(0.05)
    return told


def label(served: Served) -> str:
    """What one key is answered, and many: the same generation."""
    one = get(served, ONE).json()["prediction"]["label"]
    keys = [{"customer": f"c{n}", "order": n} for n in range(100)]
    many = post(served, BATCH, json={"keys": keys}).json()
    assert {each["prediction"]["label"] for each in many["results"]} == {one}
    return one


def refused(served: Served) -> None:
    """One key and many: 503, soon, with the time after which to ask again."""
    many = {"keys": [{"customer": f"c{n}", "order": n} for n in range(100)]}
    for ask in (lambda: get(served, ONE), lambda: post(served, BATCH, json=many)):
        began = time.monotonic()
        answer = ask()
        assert time.monotonic() - began < BOUND_S
        told = problem(answer, 503, "store-unavailable")
        assert told["detail"] == "the online store of pipeline churn cannot be read now"
        assert int(answer.headers["retry-after"]) >= 1
    assert get(served, "/healthz").status_code == 200


def test_a_switch_under_load_fails_no_answer_and_mixes_none(place: Place) -> None:
    place.load("g1")
    with place.serving(workers=2) as served:
        with asked_all_along(served, 3) as asking:
            for number in range(2, 6):
                place.load(f"g{number}")
                wait_for(served, f"g{number}", within_s=30)
        assert all(each.answers > 10 for each in asking)
        assert set().union(*(each.seen for each in asking)) >= {"g1", "g5"}
        assert label(served) == "g5"


def test_a_server_that_hangs_is_answered_for_until_it_goes_on(place: Place) -> None:
    place.load("g1")
    with place.serving() as served:
        assert label(served) == "g1"
        place.server.pause()
        try:
            refused(served)
            wait_for_state(served, "unavailable")
            refused(served)
            assert get(served, "/readyz").status_code == 503
        finally:
            place.server.resume()
        wait_for_state(served, "store")
        assert label(served) == "g1"


def test_a_server_that_dies_is_read_again_once_it_is_back(place: Place) -> None:
    place.load("g1")
    with place.serving() as served:
        assert label(served) == "g1"
        place.stop()
        refused(served)
        wait_for_state(served, "unavailable")
        refused(served)
        place.server.start()
        wait_for_state(served, "store")
        assert label(served) == "g1"
        place.load("g2")
        wait_for(served, "g2")
        assert label(served) == "g2"


def test_a_server_that_is_not_there_at_the_start_and_nothing_published(place: Place) -> None:
    place.stop()
    with place.serving() as served:
        refused(served)
        assert state(served)["state"] == "unavailable"
        place.server.start()
        wait_for_state(served, "nothing")
        told = problem(get(served, ONE), 404, "nothing-published")
        assert told["next"][1].startswith("batchinfer load -p churn")
        publish(place.project, "churn", rows(10, "table"))
        wait_for_state(served, "table")
        assert get(served, ONE).json()["prediction"]["label"] == "table"
        place.load("g1")
        wait_for(served, "g1")
        assert label(served) == "g1"


def test_a_pointer_that_cannot_be_read_takes_no_answer_away(place: Place) -> None:
    place.load("g1")
    with place.serving() as served:
        assert label(served) == "g1"
        if isinstance(place.server, RedisServer):
            name = "pred:churn:pointer"
            whole = place.server.client.get(name)
            place.server.client.set(name, "{}")
        else:
            whole = place.server.sql("SELECT pointer FROM batchinfer.pred_pointers")
            place.server.sql("UPDATE batchinfer.pred_pointers SET pointer = '{}'")
        told = wait_for_state(served, "degraded")
        assert "damaged" in told["fault"]
        assert label(served) == "g1"
        if isinstance(place.server, RedisServer):
            place.server.client.set(name, whole)
        else:
            place.server.sql(f"UPDATE batchinfer.pred_pointers SET pointer = '{whole}'")
        wait_for_state(served, "store")
        assert label(served) == "g1"


def test_a_server_that_is_full_goes_on_with_what_it_has(place: Place) -> None:
    place.load("g1")
    if isinstance(place.server, Postgres):
        place.server.stop()
        # Its log has files of 16 MiB, which are made whole.
        place.server.start(most_file_bytes=17 << 20)
    with place.serving() as served:
        assert label(served) == "g1"
        if isinstance(place.server, RedisServer):
            used = place.server.client.info("memory")["used_memory"]
            place.server.client.config_set("maxmemory", used + (1 << 20))
            told = "maxmemory"
        else:
            told = "could not extend file"
        with pytest.raises(StorageError, match=told):
            place.load("g2", 200_000)
        assert state(served)["state"] == "store"
        assert label(served) == "g1"
        if isinstance(place.server, RedisServer):
            place.server.client.config_set("maxmemory", 0)
        else:
            place.server.stop()
            place.server.start()
        store = place.store()
        store.drop(store.layers() - {"g1"})
        place.load("g3")
        wait_for(served, "g3")
        assert label(served) == "g3"


def test_a_generation_whose_table_is_gone_is_told_until_another_comes(tmp_path: Path) -> None:
    with postgres_server() as server:
        place = place_of(server, tmp_path)
        place.load("g1")
        with place.serving() as served:
            assert label(served) == "g1"
            names = "SELECT relation FROM batchinfer.pred_layers"
            server.sql(f'DROP TABLE batchinfer."{server.sql(names)}" CASCADE')
            refused(served)
            told = wait_for_state(served, "unavailable")
            assert "does not exist" in told["fault"]
            # It is not said to be well in between.
            seen = set()
            until = time.monotonic() + 3
            while time.monotonic() < until:
                seen.add(state(served)["state"])
                refused(served)
            assert seen == {"unavailable"}
            place.load("g2")
            wait_for(served, "g2")
            assert label(served) == "g2"


def test_a_server_that_lost_everything_is_answered_for_by_the_table(tmp_path: Path) -> None:
    with redis_server() as server:
        place = place_of(server, tmp_path)
        publish(place.project, "churn", rows(10, "table"))
        place.load("g1")
        with place.serving() as served:
            assert label(served) == "g1"
            server.kill()
            refused(served)
            server.start()
            wait_for_state(served, "table")
            assert get(served, ONE).json()["prediction"]["label"] == "table"
            place.load("g2")
            wait_for(served, "g2")
            assert label(served) == "g2"


def test_no_more_connections_than_a_few_are_held(tmp_path: Path) -> None:
    with redis_server() as server:
        place = place_of(server, tmp_path)
        place.load("g1")
        with place.serving() as served:
            most = 0
            with asked_all_along(served, 40):
                for _ in range(20):
                    most = max(most, len(server.client.client_list()))
                    time.sleep(0.1)
            # One of the loop, of threads 9, and the test's own.
            assert 2 < most <= 1 + 9 + 4
