"""What only Redis and Valkey do: memory that is full, time to live, a server that hangs."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import PASSWORD, RedisServer, free_port, redis_cluster, redis_server
from stores.conftest import batches, generation, write_layer

from batchinfer.errors import DamagedPointer, StorageError
from batchinfer.lookups.stores.generation import Generation, Layer, Pointer
from batchinfer.lookups.stores.online_store import Room
from batchinfer.lookups.stores.redis_store import RedisStore

LAYER = "20261130T021500-1f2e3d4c"
ROWS = {b"%d" % number: b'{"id":"%d","score":0.5}' % number for number in range(20)}


@pytest.fixture(params=["redis", "valkey"])
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server of the test's own."""
    with redis_server(request.param) as started:
        yield started


def many_rows(count: int, size: int = 150) -> dict[bytes, bytes]:
    return {b"customer-%07d" % number: b"%d" % number + b"x" * size for number in range(count)}


def test_rows_are_strings_that_anybody_can_get(server: RedisServer) -> None:
    layer = write_layer(RedisStore(server.url, "scores"), LAYER, ROWS)
    assert server.client.get(f"pred:scores:{LAYER}:7") == ROWS[b"7"]
    assert server.client.ttl(f"pred:scores:{LAYER}:7") == -1
    assert layer.rows == 20


def test_rows_expire_and_the_pointer_stays(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores", ttl_s=2)
    layer = write_layer(store, LAYER, ROWS)
    store.finish(layer)
    pointer = Pointer(generation(layer))
    store.switch(pointer, None)
    assert 0 < server.client.ttl(f"pred:scores:{LAYER}:7") <= 2
    assert store.read(pointer.current, [b"7"]) == [ROWS[b"7"]]
    time.sleep(2.5)
    assert store.read(pointer.current, [b"7"]) == [None]
    assert store.pointer() == pointer
    with pytest.raises(StorageError, match="0 rows are there"):
        store.finish(layer)
    store.drop([LAYER])
    assert server.client.keys("*") == [b"pred:scores:pointer"]


def test_a_dropped_layer_leaves_no_key_behind(server: RedisServer) -> None:
    store, other = RedisStore(server.url, "scores"), RedisStore(server.url, "scores*")
    write_layer(store, LAYER, many_rows(25_000, 10), parts=3)
    write_layer(other, LAYER, ROWS)
    there = set(server.client.keys("pred:scores[*]:*"))
    store.drop([LAYER])
    assert set(server.client.keys("*")) == there
    other.drop([LAYER])
    assert server.client.keys("*") == []


def test_rows_of_another_try_are_removed(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    store.begin(LAYER, 1)
    store.write_part(LAYER, 0, batches(ROWS | {b"odd": b"{}"}))
    part = store.write_part(LAYER, 0, batches(ROWS))
    store.finish(Layer(LAYER, (part,)))
    assert server.client.exists(f"pred:scores:{LAYER}:odd") == 0


def test_a_row_that_the_server_lost_is_noticed(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    layer = write_layer(store, LAYER, ROWS)
    server.client.delete(f"pred:scores:{LAYER}:7")
    with pytest.raises(StorageError, match=r"part \d: \d+ rows are there, \d+ were written"):
        store.finish(layer)


@pytest.mark.parametrize("text", [b"[]", b"\xff"])
def test_a_damaged_pointer_is_told_and_replaced(server: RedisServer, text: bytes) -> None:
    store = RedisStore(server.url, "scores")
    server.client.set("pred:scores:pointer", text)
    with pytest.raises(DamagedPointer, match="pred:scores:pointer: damaged"):
        store.pointer()
    anew = Pointer(generation(write_layer(store, LAYER, ROWS)))
    with pytest.raises(StorageError):
        store.switch(anew, anew)
    store.switch(anew, None)
    assert store.pointer() == anew


def test_memory_is_foreseen(server: RedisServer) -> None:
    for rows, ttl_s in ((many_rows(100_000), None), (many_rows(50_000, 400), 600)):
        store = RedisStore(server.url, "scores", ttl_s)
        before = server.client.info("memory")["used_memory"]
        layer = write_layer(store, LAYER, rows)
        took = server.client.info("memory")["used_memory"] - before
        foreseen = store.memory_needed(layer.rows, layer.size)
        assert 0.85 < foreseen / took < 1.15
        store.drop([LAYER])


def test_too_little_memory_is_told_before_anything_is_written(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    room = store.check_room(1_000_000, lambda: 170.0)
    assert room == Room(store.memory_needed(1_000_000, 170_000_000))
    assert 290 << 20 < (room.memory or 0) < 292 << 20
    server.client.config_set("maxmemory", "50mb")
    with pytest.raises(
        StorageError, match=r"need some 291 MiB of memory; free are 4\d MiB of 50; nothing was"
    ):
        store.check_room(1_000_000, lambda: 170.0)
    assert store.check_room(100_000, lambda: 170.0).warnings == ()


@pytest.mark.parametrize(
    ("policy", "ttl_s", "warns"),
    [
        ("noeviction", 600, False),
        ("allkeys-lru", None, True),
        ("volatile-ttl", None, False),
        ("volatile-ttl", 600, True),
    ],
)
def test_a_server_that_may_drop_rows_by_itself_is_told(
    redis: RedisServer, policy: str, ttl_s: int | None, warns: bool
) -> None:
    redis.client.config_set("maxmemory", "50mb")
    redis.client.config_set("maxmemory-policy", policy)
    try:
        told = RedisStore(redis.url, "scores", ttl_s).check_room(1_000, lambda: 170.0)
        assert (f"maxmemory-policy is {policy}" in " ".join(told.warnings)) is warns
    finally:
        redis.client.config_set("maxmemory", 0)
        redis.client.config_set("maxmemory-policy", "noeviction")


def test_a_full_server_ends_the_load_and_leaves_what_readers_see(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    old = write_layer(store, LAYER, ROWS)
    pointer = Pointer(generation(old))
    store.switch(pointer, None)
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] + (2 << 20))
    with pytest.raises(StorageError, match="used memory > 'maxmemory'") as failed:
        write_layer(store, "20261201T021500-5a6b7c8d", many_rows(50_000))
    assert "raise its maxmemory" in (failed.value.hint or "")
    assert PASSWORD not in str(failed.value)
    assert store.pointer() == pointer
    assert store.read(pointer.current, [b"7"]) == [ROWS[b"7"]]
    # A server that is full still takes layers away.
    store.drop(store.layers() - {LAYER})
    assert store.layers() == {LAYER}
    assert len(server.client.keys("*5a6b7c8d*")) == 0


def test_a_replica_refuses_rows(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    store.begin(LAYER, 1)
    server.client.replicaof("127.0.0.1", 1)
    with pytest.raises(StorageError, match=r"(?i)read only replica"):
        store.write_part(LAYER, 0, batches(ROWS))


def test_a_server_that_hangs_is_given_up_in_seconds(server: RedisServer) -> None:
    store, layer = (
        RedisStore(server.url, "scores"),
        write_layer(RedisStore(server.url, "scores"), LAYER, ROWS),
    )
    seen = generation(layer)
    assert store.read(seen, [b"7"]) == [ROWS[b"7"]]

    def pausing() -> Iterator[object]:
        yield from batches(many_rows(10_000), 10_000)
        server.pause()
        yield from batches(many_rows(100_000), 10_000)

    works = {
        "read rows": lambda: store.read(seen, [b"7"]),
        "read the pointer": RedisStore(server.url, "scores").pointer,
        "write a part": lambda: store.write_part(LAYER, 1, pausing()),
    }
    for what, work in works.items():
        if what != "write a part":
            server.pause()
        started = time.monotonic()
        with pytest.raises(StorageError, match=f"cannot {what}: .*[Tt]im") as failed:
            work()
        assert time.monotonic() - started < 15
        assert PASSWORD not in str(failed.value)
        server.resume()
    assert store.read(seen, [b"7"]) == [ROWS[b"7"]]


def test_a_server_that_is_gone_is_told_at_once(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    seen = generation(write_layer(store, LAYER, ROWS))
    assert store.read(seen, [b"7"]) == [ROWS[b"7"]]
    server.process.kill()
    server.process.wait()
    started = time.monotonic()
    with pytest.raises(StorageError, match=rf"redis://127.0.0.1:{server.port}/0: cannot read rows"):
        store.read(seen, [b"7"])
    assert time.monotonic() - started < 5


def test_a_connection_that_the_server_has_closed_is_made_anew(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    seen = generation(write_layer(store, LAYER, ROWS))
    server.client.client_kill_filter(_type="normal", skipme=True)
    assert store.read(seen, [b"7"]) == [ROWS[b"7"]]
    server.client.client_kill_filter(_type="normal", skipme=True)
    assert write_layer(store, LAYER, ROWS).rows == 20


def test_an_event_loop_reads_what_threads_read(server: RedisServer) -> None:
    store = RedisStore(server.url, "scores")
    newer = {b"7": b'{"id":"7","score":1.0}', b"8": b""}
    layers = [write_layer(store, f"{LAYER}-2", newer), write_layer(store, LAYER, ROWS)]
    seen, asked = generation(*layers), [b"7", b"absent", b"8", b"9", b"7"]
    told = store.read(seen, asked)
    assert told == [newer[b"7"], None, None, ROWS[b"9"], newer[b"7"]]
    before = len(server.client.client_list())

    async def scenario() -> None:
        reads = store.loop_reads()
        assert reads is not None
        assert await reads.read(seen, asked, 5) == told
        assert await reads.read(seen, [], 5) == []
        assert await reads.read(generation(), asked, 5) == [None] * 5
        many = await asyncio.gather(*(reads.read(seen, asked, 5) for _ in range(200)))
        assert many == [told] * 200
        assert len(server.client.client_list()) == before + 1
        # One that is given up leaves no answer for the next one.
        for _ in range(20):
            given_up = asyncio.ensure_future(reads.read(seen, [b"9"], 5))
            await asyncio.sleep(0)
            given_up.cancel()
            assert await reads.read(seen, [b"7"], 5) == [newer[b"7"]]
        # One that comes too late is nobody's either.
        server.pause()
        late = [asyncio.ensure_future(reads.read(seen, [b"9"], 0.2)) for _ in range(3)]
        for each in late:
            with pytest.raises(StorageError, match="cannot read rows: no answer within"):
                await each
        server.resume()
        assert await reads.read(seen, [b"7"], 5) == [newer[b"7"]]
        server.client.client_kill_filter(_type="normal", skipme=True)
        assert await reads.read(seen, asked, 5) == told
        many = [asyncio.ensure_future(reads.read(seen, asked, 5)) for _ in range(50)]
        await asyncio.sleep(0)
        server.client.client_kill_filter(_type="normal", skipme=True)
        assert await asyncio.gather(*many) == [told] * 50
        server.kill()
        with pytest.raises(StorageError, match=rf"{server.port}/0: cannot read rows") as failed:
            await reads.read(seen, asked, 5)
        assert PASSWORD not in str(failed.value)
        await reads.close()

    asyncio.run(scenario())


async def read_in_loop(store: RedisStore, seen: Generation, key: bytes) -> bytes | None:
    reads = store.loop_reads()
    assert reads is not None
    [row] = await reads.read(seen, [key], 5)
    await reads.close()
    return row


def test_a_cluster_is_read_by_threads() -> None:
    with redis_cluster() as server:
        assert RedisStore(server.url, "scores").loop_reads() is None


def test_a_wrong_password_is_told_and_not_shown(server: RedisServer) -> None:
    store = RedisStore(server.url.replace(PASSWORD, "canary-of-nobody"), "scores")
    with pytest.raises(StorageError, match=r"cannot read the pointer: .*password") as failed:
        store.pointer()
    assert "canary" not in str(failed.value)
    assert "load.url_env" in (failed.value.hint or "")


def test_who_may_not_ask_for_a_cluster_may_load(server: RedisServer) -> None:
    server.client.execute_command(
        "ACL", "SETUSER", "loader", "on", ">loader-pass-1", "~pred:*", "+@all", "-info"
    )
    url = server.url.replace(f":{PASSWORD}", "loader:loader-pass-1")
    layer = write_layer(RedisStore(url, "scores"), LAYER, ROWS)
    assert RedisStore(url, "scores").read(generation(layer), [b"7"]) == [ROWS[b"7"]]
    [told] = RedisStore(url, "scores").check_room(1_000, lambda: 170.0).warnings
    assert "how much memory there is cannot be read" in told


def test_rows_travel_encrypted_where_the_address_says_so(tmp_path: Path) -> None:
    folder = tmp_path
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject,
         "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    options = ["--tls-cert-file", f"{folder}/cert.pem", "--tls-key-file", f"{folder}/key.pem"]
    with redis_server("redis", *options, "--tls-auth-clients", "no") as server:
        port = free_port()
        server.client.config_set("tls-port", port)
        url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={folder}/cert.pem"
        store = RedisStore(url, "scores")
        layer = write_layer(store, LAYER, many_rows(30_000))
        store.finish(layer)
        assert store.place == f"rediss://127.0.0.1:{port}/0"
        read = asyncio.run(read_in_loop(store, generation(layer), b"customer-0000007"))
        assert read == many_rows(8)[b"customer-0000007"]
        with pytest.raises(StorageError, match="certificate"):
            RedisStore(url.partition("?")[0], "scores").pointer()
