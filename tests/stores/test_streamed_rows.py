"""Rows of streams above generations, in every store: of each key the newest commit counts."""

from __future__ import annotations

import asyncio
import pickle
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from postgres import Postgres
from redis_server import RedisServer
from stores.conftest import Place, batches, database_url, generation, write_layer

from batchinfer.errors import InputError, StorageError
from batchinfer.lookups.stores.generation import Generation, Pointer
from batchinfer.lookups.stores.online_store import OnlineStore, ReadInLoop, Rows
from batchinfer.lookups.stores.postgres_store import PostgresStore
from batchinfer.lookups.stores.redis_store import RedisStore
from batchinfer.lookups.stores.stored_rows import GONE

LINE = "3f0c6a52-0d0e-4a1b-9d55-5f0c2a7b9e11"
ROWS = {b"%d" % number: b'{"id":"%d","of":"load"}' % number for number in range(6)}
Known = dict[bytes, bytes]


def row(text: str) -> bytes:
    return b'{"of":"%b"}' % text.encode()


def loaded(store: OnlineStore, rows: Mapping[bytes, bytes], version: int, line: str = LINE) -> str:
    """What `load` does, without Spark: a layer, the pointer, and what nobody reads is swept."""
    found = store.pointer()
    before = None if found is None else found.bare()
    name = f"2026{version:04d}T000000-{random.randbytes(4).hex()}"
    layer = write_layer(store, name, rows)
    store.finish(layer)
    new = replace(generation(layer), name=name, version=version, line=line)
    after = Pointer(new, None if before is None else before.current)
    store.switch(after, before)
    store.drop(store.layers() - after.layers())
    store.sweep_streamed()
    return name


def rolled_back(store: OnlineStore) -> None:
    before = store.pointer()
    assert before is not None
    assert before.former is not None
    store.switch(Pointer(before.former, before.current), before)


def now(store: OnlineStore) -> Generation:
    pointer = store.pointer()
    assert pointer is not None
    return pointer.current


def told(store: OnlineStore, keys: Mapping[bytes, bytes] | list[bytes] = ROWS) -> Known:
    """What a reader finds who has just read the pointer, in whichever way it reads."""
    found = store.read(now(store), list(keys))
    if isinstance(store, ReadInLoop):
        assert asyncio.run(read_in_loop(store, now(store), list(keys))) in (found, None)
    return {key: value for key, value in zip(keys, found, strict=True) if value is not None}


async def read_in_loop(
    store: ReadInLoop, seen: Generation, keys: list[bytes]
) -> list[bytes | None] | None:
    """None of a cluster, which only threads read."""
    reads = store.loop_reads()
    if reads is None:
        return None
    found = await reads.read(seen, keys, 5)
    await reads.close()
    return found


def test_a_streamed_row_is_above_what_was_loaded(place: Place) -> None:
    store, reader = place.open(), place.open()
    loaded(store, ROWS, version=4)
    unaware = now(reader)
    assert unaware.streamed == ()
    assert store.upsert(5, batches({b"1": row("5"), b"2": GONE, b"new": row("5")})) == 3
    seen = ROWS | {b"1": row("5"), b"new": row("5")}
    del seen[b"2"]
    assert told(reader, [*ROWS, b"new"]) == seen
    assert reader.read(unaware, [b"1", b"2", b"new"]) == [ROWS[b"1"], ROWS[b"2"], None]
    aware = now(reader)
    assert store.upsert(6, batches({b"2": row("6")})) == 1
    at_once = now(reader) if place.kind == "embedded" else aware
    assert reader.read(at_once, [b"2", b"1", b"2"]) == [row("6"), row("5"), row("6")]


def test_the_newest_commit_wins_in_any_order(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=4)
    assert store.upsert(9, batches({b"1": row("9"), b"2": GONE})) == 2
    assert store.upsert(7, batches({b"1": row("7"), b"2": row("7"), b"3": row("7")})) == 1
    assert store.upsert(9, batches({b"1": row("again"), b"2": row("again")})) == 0
    # Numbers, no texts; and rows that the generation has already.
    assert store.upsert(10, batches({b"1": row("10")})) == 1
    assert store.upsert(4, batches({b"5": row("4"), b"0": GONE})) == 0
    assert store.upsert(11, []) == 0
    seen = ROWS | {b"1": row("10"), b"3": row("7")}
    del seen[b"2"]
    assert told(store) == seen


def test_there_has_to_be_something_below(place: Place) -> None:
    store = place.open()
    with pytest.raises(StorageError, match="nothing was loaded"):
        store.upsert(1, batches(ROWS))
    loaded(store, ROWS, version=0, line="")
    with pytest.raises(StorageError, match="an older build has loaded it") as caught:
        store.upsert(1, batches(ROWS))
    assert caught.value.hint == "load the table first, with --full"
    for wrong in (-1, 1 << 63):
        with pytest.raises(InputError, match=f"got {wrong}; allowed: 0 to 9223372036854775807"):
            store.upsert(wrong, batches(ROWS))
    loaded(store, ROWS, version=0)
    assert store.upsert((1 << 63) - 1, batches({b"1": row("last")})) == 1
    assert told(store)[b"1"] == row("last")


def test_a_generation_overtakes_and_a_way_back_shows_the_rows_again(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=4)
    store.upsert(5, batches({b"1": row("5"), b"2": row("5")}))
    store.upsert(8, batches({b"3": row("8")}))
    second = ROWS | {b"1": row("table at 6")}
    del second[b"2"]
    loaded(store, second, version=6)
    assert told(store) == second | {b"3": row("8")}
    # A late commit is below it, and above the one before.
    store.upsert(6, batches({b"0": row("6")}))
    assert told(store) == second | {b"3": row("8")}
    rolled_back(store)
    above = {b"0": row("6"), b"1": row("5"), b"2": row("5"), b"3": row("8")}
    assert told(store) == ROWS | above
    rolled_back(store)
    assert told(store) == second | {b"3": row("8")}


def test_rows_that_no_generation_shows_are_swept(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=4)
    for commit in (5, 6, 9):
        store.upsert(commit, batches({b"%d" % commit: row(str(commit)), b"0": row(str(commit))}))
    loaded(store, ROWS, version=6)
    assert {commit for _, commit, _ in store.streamed(now(store))} >= {9}
    loaded(store, ROWS, version=8)
    assert sorted(store.streamed(now(store))) == [(b"0", 9, row("9")), (b"9", 9, row("9"))]
    # What is overtaken comes no more; what is swept is no reason to refuse a newer row.
    assert store.upsert(6, batches({b"1": row("6")})) == 0
    assert store.upsert(10, batches({b"6": row("10")})) == 1
    for version in (10, 11):
        loaded(store, ROWS, version=version)
    assert list(store.streamed(now(store))) == []
    assert told(store) == ROWS


def test_a_sweep_leaves_nothing_behind(redis: RedisServer) -> None:
    store = RedisStore(redis.url, "swept")
    loaded(store, ROWS, version=4)
    for commit in range(5, 30):
        store.upsert(commit, batches(ROWS))
    for version in (29, 30):
        loaded(store, ROWS, version=version)
    assert redis.client.keys("pred:swept:streamed*") == []
    registered = {str(name) for name in redis.client.sscan_iter("pred:swept:layers", "streamed*")}
    assert registered == {str(f"streamed-{LINE}".encode())}


def test_a_load_keeps_the_stream_that_began_meanwhile(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=4)
    before = store.pointer()
    assert before is not None
    layer = write_layer(store, "20261202T000000-00000000", ROWS)
    place.open().upsert(7, batches({b"1": row("7"), b"2": GONE}))
    # As a load sweeps that knows the pointer of then.
    store.drop(store.layers() - before.layers() - {layer.name})
    new = Pointer(replace(before.current, name=layer.name, layers=(layer,), version=6))
    store.switch(new, before)
    seen = ROWS | {b"1": row("7")}
    del seen[b"2"]
    assert told(store) == seen
    store.switch(Pointer(replace(new.current, version=8)), new)
    assert told(store) == ROWS


def test_a_table_that_was_made_anew_has_nothing_above_it(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=40)
    store.upsert(57, batches({b"1": row("57")}))
    loaded(store, ROWS, version=2, line="another")
    assert told(store) == ROWS
    assert store.upsert(3, batches({b"1": row("3")})) == 1
    assert told(store)[b"1"] == row("3")
    rolled_back(store)
    assert told(store)[b"1"] == row("57")
    rolled_back(store)
    loaded(store, ROWS, version=4, line="another")
    assert store.layers().isdisjoint({f"streamed-{LINE}"})


def test_a_writer_that_was_killed_is_repeated(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=4)
    rows = {b"%d" % number: row("5") for number in range(10)}

    def breaking() -> Iterator[Rows]:
        yield from batches(dict(list(rows.items())[:6]))
        raise RuntimeError("the task was lost")

    with pytest.raises(RuntimeError, match="the task was lost"):
        place.open().upsert(5, breaking())
    place.open().upsert(6, batches({b"2": row("6")}))
    store.upsert(5, batches(rows))
    assert told(store, [*rows]) == rows | {b"2": row("6")}
    assert {(key, commit) for key, commit, _ in store.streamed(now(store))} == {
        (key, 6 if key == b"2" else 5) for key in rows
    }


def test_many_write_at_once(place: Place) -> None:
    store = place.open()
    loaded(store, ROWS, version=4)
    commits = [*range(5, 17)] * 2
    random.Random(7).shuffle(commits)

    def write(commit: int) -> None:
        own = pickle.loads(pickle.dumps(place.open()))
        own.upsert(commit, batches({b"%d" % key: row(f"{commit}") for key in range(commit)}))
        own.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, commits))
    assert told(store, [b"%d" % key for key in range(16)]) == {
        b"%d" % key: row("16") for key in range(16)
    }


@pytest.mark.parametrize("seed", range(4))
def test_readers_find_what_a_plain_model_says(place: Place, seed: int) -> None:
    """Commits come in any order, twice or never, between loads and ways back."""
    chance = random.Random(seed)
    store, keys = place.open(), [b"%d" % number for number in range(8)]
    history: list[Known] = [{key: row("0") for key in keys[:5]}]
    came = set[int]()
    loads: list[int] = []

    def table(version: int) -> Known:
        rows = Known()
        for changed in history[: version + 1]:
            rows |= changed
        return {key: value for key, value in rows.items() if value != GONE}

    def expected(version: int) -> Known:
        rows = table(version)
        for commit in sorted(one for one in came if one > version):
            rows |= history[commit]
        return {key: value for key, value in rows.items() if value != GONE}

    for _ in range(16 if place.kind == "dynamodb" else 60):
        step = chance.random()
        if not loads or step < 0.12:
            loaded(store, table(len(history) - 1), len(history) - 1)
            loads = [len(history) - 1, *loads[:1]]
        elif step < 0.2 and len(loads) == 2:
            rolled_back(store)
            loads.reverse()
        else:
            if chance.random() < 0.7:
                changed = chance.sample(keys, chance.randint(1, 5))
                value = f"{len(history)}"
                history.append(
                    {key: GONE if chance.random() < 0.3 else row(value) for key in changed}
                )
            commit = chance.randrange(len(history))
            store.upsert(commit, batches(history[commit], most=2))
            came.add(commit)
        assert told(store, keys) == expected(loads[0])


def test_one_read_is_one_request_of_redis(redis: RedisServer) -> None:
    store = RedisStore(redis.url, "requests")
    loaded(store, ROWS, version=4)
    store.upsert(5, batches(ROWS))
    seen, client = now(store), redis.client

    def requests() -> int:
        stats = client.info("commandstats")
        return sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")

    before = requests()
    store.read(seen, list(ROWS))
    assert requests() - before == 1


def test_streamed_rows_expire_in_redis_as_others_do(redis: RedisServer) -> None:
    store, client = RedisStore(redis.url, "expiring", ttl_s=60), redis.client
    loaded(store, ROWS, version=4)
    store.upsert(5, batches(ROWS))
    names = list(client.scan_iter("pred:expiring:streamed*"))
    assert len(names) == len(ROWS) + 1
    assert all(0 < client.ttl(name) <= 60 for name in names)


def test_the_view_of_postgres_shows_streamed_rows(database: Postgres) -> None:
    store = PostgresStore(database_url(database), "viewed", "seen")
    loaded(store, ROWS, version=4)
    store.upsert(6, batches({b"1": row("6"), b"2": GONE, b"new": row("6")}))

    def shown(key: str) -> str:
        return database.sql(f"SELECT row->>'of' FROM viewed.seen WHERE key = '{key}'")

    assert [shown(key) for key in ("0", "1", "2", "new")] == ["load", "6", "", "6"]
    loaded(store, ROWS, version=7)
    assert [shown(key) for key in ("0", "1", "2", "new")] == ["load", "load", "load", ""]
    database.sql("DROP SCHEMA viewed CASCADE")
