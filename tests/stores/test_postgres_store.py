"""What only PostgreSQL does: a view for people, COPY that breaks off, locks of others."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
from postgres import PASSWORD, USER, Postgres, postgres_server
from stores.conftest import batches, database_url, generation, write_layer

from batchinfer.errors import StorageError
from batchinfer.lookups.stores.generation import Layer, Pointer
from batchinfer.lookups.stores.postgres_store import PostgresStore
from batchinfer.lookups.stores.stored_rows import GONE

OLD, NEW = "20261130T021500-1f2e3d4c", "20261201T021500-5a6b7c8d"
ROWS = {b"%d" % number: b'{"id":"%d","score":0.5}' % number for number in range(20)}


@pytest.fixture
def store(database: Postgres) -> Iterator[PostgresStore]:
    made = PostgresStore(database_url(database), "online", "scores")
    yield made
    made.close()
    database.sql("DROP SCHEMA IF EXISTS online CASCADE")


def loaded(store: PostgresStore, name: str, rows: dict[bytes, bytes]) -> Layer:
    layer = write_layer(store, name, rows)
    store.finish(layer)
    return layer


def test_people_see_the_generation_that_services_read(
    store: PostgresStore, database: Postgres
) -> None:
    below = loaded(store, OLD, ROWS)
    first = Pointer(generation(below))
    store.switch(first, None)
    view = "SELECT key, row->>'score' FROM online.scores ORDER BY key COLLATE \"C\""
    assert database.sql(view).splitlines() == [f"{key.decode()}|0.5" for key in sorted(ROWS)]
    above = loaded(store, NEW, {b"3": b'{"score":9}', b"4": GONE, b"new": b"{}"})
    second = Pointer(generation(above, below), first.current)
    store.switch(second, first)
    seen = dict(line.split("|") for line in database.sql(view).splitlines())
    assert seen["3"] == "9"
    assert seen["new"] == ""
    assert "4" not in seen
    assert len(seen) == 20
    whole = database.sql("SELECT row FROM online.scores WHERE key = '5'")
    assert whole == ROWS[b"5"].decode()
    # And back; a generation without a layer is one without rows.
    store.switch(Pointer(first.current, second.current), second)
    assert database.sql("SELECT count(*) FROM online.scores WHERE key IN ('4', 'new')") == "1"
    store.switch(Pointer(generation()), Pointer(first.current, second.current))
    assert database.sql("SELECT count(*) FROM online.scores") == "0"


def test_a_row_with_a_nul_in_it_is_seen_whole(store: PostgresStore, database: Postgres) -> None:
    odd = b'{"odd":"\\u0000","score":1}'
    store.switch(Pointer(generation(loaded(store, OLD, ROWS | {b"odd": odd}))), None)
    assert database.sql("SELECT row FROM online.scores WHERE key = 'odd'") == odd.decode()
    assert database.sql("SELECT row->>'score' FROM online.scores WHERE key = '5'") == "0.5"


def test_the_view_and_the_store_find_rows_by_an_index(
    store: PostgresStore, database: Postgres
) -> None:
    layer = loaded(store, OLD, {b"%06d" % n: b'{"n":%d}' % n for n in range(20_000)})
    store.switch(Pointer(generation(layer)), None)
    plan = database.sql("EXPLAIN SELECT row FROM online.scores WHERE key = '000777'")
    assert "Index" in plan
    assert "Seq Scan" not in plan


def test_all_layers_are_read_in_one_query(store: PostgresStore, database: Postgres) -> None:
    layers = [loaded(store, f"2026113{n}T000000-00000000", ROWS) for n in range(8)]
    seen = generation(*layers)
    connection = store._connection()
    asked: list[object] = []
    execute = connection.execute
    connection.execute = lambda *args, **kwargs: (asked.append(args), execute(*args, **kwargs))[1]  # type: ignore[method-assign]
    assert store.read(seen, list(ROWS)) == list(ROWS.values())
    assert len(asked) == 1


def test_a_copy_that_is_cut_off_leaves_no_row(store: PostgresStore, database: Postgres) -> None:
    store.begin(OLD, 1)

    def killing() -> Iterator[object]:
        yield from batches(ROWS)
        database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY %'"
        )
        big = {b"big-%d" % number: b"x" * 100_000 for number in range(100)}
        yield from batches(big)

    with pytest.raises(StorageError, match=r"cannot write a part: .*terminat"):
        store.write_part(OLD, 0, killing())
    layer = Layer(OLD, (store.write_part(OLD, 0, batches(ROWS)),))
    store.finish(layer)
    assert dict(store.scan(layer)) == ROWS


def test_two_tries_of_a_part_at_once_leave_its_rows_once(store: PostgresStore) -> None:
    store.begin(OLD, 1)
    began, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[object]:
        yield from batches(ROWS)
        began.set()
        assert go_on.wait(30)

    first = threading.Thread(target=lambda: store.write_part(OLD, 0, slow()))
    first.start()
    assert began.wait(30)
    # The second waits for the first; it begins when that one is done.
    threading.Timer(1, go_on.set).start()
    part = store.write_part(OLD, 0, batches(ROWS))
    first.join()
    store.finish(Layer(OLD, (part,)))


def test_a_key_that_comes_twice_is_told(store: PostgresStore) -> None:
    store.begin(OLD, 2)
    parts = tuple(store.write_part(OLD, part, batches(ROWS)) for part in (0, 1))
    with pytest.raises(StorageError, match=r"a key comes twice: Key \(key\)=\(\d+\)"):
        store.finish(Layer(OLD, parts))


def test_a_row_that_is_lost_is_noticed(store: PostgresStore, database: Postgres) -> None:
    layer = write_layer(store, OLD, ROWS)
    database.sql(f"DELETE FROM online.\"{store._relation(OLD)}\" WHERE key = '7'")
    with pytest.raises(StorageError, match=r"part \d: \d+ rows are there, \d+ were written"):
        store.finish(layer)


def test_names_fit_into_what_postgresql_takes(database: Postgres) -> None:
    names = ["ä" * 60 + end for end in ("a", "b")] + ['quo"te; DROP', "UPPER"]
    stores = [PostgresStore(database_url(database), 'odd "schema"', name) for name in names]
    try:
        for place, store in enumerate(stores):
            layer = loaded(store, OLD, {b"k": b'{"place":%d}' % place})
            store.switch(Pointer(generation(layer)), None)
        found = [store.read(generation(loaded_layer(store)), [b"k"]) for store in stores]
        assert found == [[b'{"place":%d}' % place] for place in range(4)]
        assert all(store.pointer() is not None for store in stores)
        seen = database.sql(
            "SELECT count(*) FROM information_schema.views WHERE table_schema = 'odd \"schema\"'"
        )
        assert seen == "4"
        assert database.sql('SELECT row FROM "odd ""schema"""."UPPER"') == '{"place":3}'
    finally:
        database.sql('DROP SCHEMA "odd ""schema""" CASCADE')


def loaded_layer(store: PostgresStore) -> Layer:
    pointer = store.pointer()
    assert pointer is not None
    return pointer.current.layers[0]


def test_a_layer_that_somebody_reads_stays_until_the_next_time(
    store: PostgresStore, database: Postgres
) -> None:
    loaded(store, OLD, ROWS)
    with psycopg.connect(database_url(database)) as other:
        other.execute(f'SELECT count(*) FROM online."{store._relation(OLD)}"')
        started = time.monotonic()
        store.drop([OLD])
        assert time.monotonic() - started < 10
        assert store.layers() == {OLD}
    store.drop([OLD])
    assert store.layers() == frozenset()


def test_a_view_that_somebody_holds_leaves_the_pointer(
    store: PostgresStore, database: Postgres
) -> None:
    first = Pointer(generation(loaded(store, OLD, ROWS)))
    store.switch(first, None)
    second = Pointer(replace(first.current, version=2))
    with psycopg.connect(database_url(database)) as other:
        other.execute("SELECT count(*) FROM online.scores")
        with pytest.raises(StorageError, match=r"cannot set the pointer: .*lock timeout"):
            store.switch(second, first)
    assert store.pointer() == first
    store.switch(second, first)


def test_a_connection_that_the_server_has_closed_is_made_anew(
    store: PostgresStore, database: Postgres
) -> None:
    seen = generation(loaded(store, OLD, ROWS))
    for _ in range(2):
        assert store.read(seen, [b"7"]) == [ROWS[b"7"]]
        database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE usename = '{USER}' AND pid <> pg_backend_pid()"
        )
    assert store.read(seen, [b"7"]) == [ROWS[b"7"]]


def test_a_user_without_the_right_to_make_schemas_uses_one(database: Postgres) -> None:
    database.sql(
        "CREATE USER loader PASSWORD 'loader-pass-1'; CREATE SCHEMA given AUTHORIZATION loader"
    )
    url = database_url(database).replace(f"{USER}:{PASSWORD}", "loader:loader-pass-1")
    try:
        store = PostgresStore(url, "given", "scores")
        assert store.read(generation(loaded(store, OLD, ROWS)), [b"7"]) == [ROWS[b"7"]]
        with pytest.raises(StorageError, match="permission denied for database"):
            PostgresStore(url, "other", "scores").begin(OLD, 1)
    finally:
        store.close()
        database.sql("DROP SCHEMA given CASCADE; DROP USER loader")


def test_a_wrong_password_is_told_and_not_shown(database: Postgres) -> None:
    url = database_url(database).replace(PASSWORD, "canary-of-nobody")
    with pytest.raises(StorageError, match=r"cannot read the pointer: .*password") as failed:
        PostgresStore(url, "online", "scores").pointer()
    assert "canary" not in str(failed.value)
    assert f"postgresql://127.0.0.1:{database.port}/postgres, schema online" in str(failed.value)


def test_a_database_that_is_not_there_is_told(database: Postgres) -> None:
    with pytest.raises(StorageError, match='database "nowhere" does not exist'):
        PostgresStore(database_url(database, "nowhere"), "online", "scores").pointer()


def test_a_server_that_hangs_is_given_up_in_seconds() -> None:
    with postgres_server() as server:
        store = PostgresStore(database_url(server), "online", "scores")
        seen = generation(loaded(store, OLD, ROWS))
        assert store.read(seen, [b"7"]) == [ROWS[b"7"]]
        pids = [int(pid) for pid in server.sql("SELECT pid FROM pg_stat_activity").split()]
        postmaster = int(server.sql("SELECT pg_read_file('postmaster.pid')").splitlines()[0])
        pids.append(postmaster)
        works = {
            "read rows": lambda: store.read(seen, [b"7"]),
            "read the pointer": PostgresStore(database_url(server), "online", "scores").pointer,
        }
        try:
            for what, work in works.items():
                for pid in pids:
                    _signal(pid, signal.SIGSTOP)
                started = time.monotonic()
                with pytest.raises(StorageError, match=f"cannot {what}: .*(no answer|timeout)"):
                    work()
                assert time.monotonic() - started < 12
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)
        assert store.read(seen, [b"7"]) == [ROWS[b"7"]]
        store.close()


def _signal(pid: int, number: int) -> None:
    # The one that told of itself has ended.
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def test_a_damaged_pointer_is_told(store: PostgresStore, database: Postgres) -> None:
    store.switch(Pointer(generation(loaded(store, OLD, ROWS))), None)
    database.sql("UPDATE online.pred_pointers SET pointer = '{}'")
    with pytest.raises(StorageError, match="pred_pointers: damaged"):
        store.pointer()
    told = json.dumps({"current": 1})
    database.sql(f"UPDATE online.pred_pointers SET pointer = '{told}'")
    with pytest.raises(StorageError, match="pred_pointers: damaged"):
        store.pointer()
    anew = Pointer(replace(generation(), version=9))
    store.switch(anew, None)
    assert store.pointer() == anew
