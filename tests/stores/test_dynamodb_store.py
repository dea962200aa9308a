"""What only DynamoDB does: throttling, limits of its items, a table that it makes; the faults come
from a proxy of the test in front of an emulator.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import boto3
import pytest
from local_server import serving
from stores.conftest import batches, generation, write_layer

from batchinfer.errors import ConfigError, StorageError
from batchinfer.lookups.stores import dynamodb_table
from batchinfer.lookups.stores.dynamodb_store import DynamoStore
from batchinfer.lookups.stores.generation import Generation, Layer, LayerPart, Pointer

LAYER = "20261130T021500-1f2e3d4c"
ROWS = {b"%d" % number: b'{"id":"%d","score":0.5}' % number for number in range(120)}
THROTTLED = "ProvisionedThroughputExceededException"


@dataclass
class Proxy:
    """What goes wrong on the way to the server.

    Attributes:
        fails: by operation, error codes of the next answers; the last one stays if `always`.
        takes: of each batch that is written or read, so many items; the rest is unprocessed.
        asked: operations that came, and how many items each had.
        hangs: answers nothing.
    """

    url: str = ""
    fails: dict[str, list[str]] = field(default_factory=dict)
    always: bool = False
    takes: int | None = None
    asked: list[tuple[str, int]] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)

    def times(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.asked)


@pytest.fixture
def proxy(dynamodb: str) -> Iterator[Proxy]:
    told = Proxy()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            asked = json.loads(body)
            told.asked.append((operation, _items(asked)))
            if told.hangs.is_set():
                time.sleep(30)
                return
            if codes := told.fails.get(operation):
                code = codes[0] if told.always else codes.pop(0)
                self._answer(400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}"})
                return
            rest: dict[str, Any] = {}
            if told.takes is not None and operation.startswith("Batch"):
                rest = _cut(asked, told.takes)
                if told.takes == 0:
                    self._answer(200, rest | {"Responses": {}})
                    return
            status, answer = _forward(dynamodb, self.headers, asked)
            self._answer(status, answer | rest)

        def _answer(self, status: int, answer: dict[str, Any]) -> None:
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as url:
        told.url = url
        yield told
        told.hangs.clear()


def _items(asked: dict[str, Any]) -> int:
    tables = asked.get("RequestItems", {}).values()
    return sum(len(one["Keys"] if isinstance(one, dict) else one) for one in tables)


def _cut(asked: dict[str, Any], most: int) -> dict[str, Any]:
    """Leaves so many items in a request; the answer's part about the others."""
    [(table, items)] = asked["RequestItems"].items()
    if isinstance(items, list):
        asked["RequestItems"] = {table: items[:most]}
        return {"UnprocessedItems": {table: items[most:]} if items[most:] else {}}
    rest = items["Keys"][most:]
    asked["RequestItems"] = {table: items | {"Keys": items["Keys"][:most]}}
    return {"UnprocessedKeys": {table: items | {"Keys": rest}} if rest else {}}


def _forward(url: str, headers: Any, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    kept = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
    request = urllib.request.Request(
        url, json.dumps(asked).encode(), {name: headers[name] for name in kept}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture
def store(proxy: Proxy) -> Iterator[DynamoStore]:
    made = DynamoStore(f"predictions-{os.urandom(4).hex()}", "scores", "us-east-1", proxy.url)
    yield made
    made.close()


def seen(store: DynamoStore) -> Generation:
    layer = write_layer(store, LAYER, ROWS)
    store.finish(layer)
    return generation(layer)


def test_rows_are_written_and_read_in_batches_that_dynamodb_takes(
    store: DynamoStore, proxy: Proxy
) -> None:
    store.begin(LAYER, 1)
    rows = {b"%06d" % number: b"{}" for number in range(260)}
    part = store.write_part(LAYER, 0, batches(rows, 260))
    sizes = [count for name, count in proxy.asked if name == "BatchWriteItem"]
    assert (sum(sizes), max(sizes), len(sizes)) == (260, 25, 11)
    found = store.read(generation(Layer(LAYER, (part,))), [*rows, b"000001", b"none"])
    assert found == [b"{}"] * 261 + [None]
    sizes = [count for name, count in proxy.asked if name == "BatchGetItem"]
    assert sizes == [100, 100, 61]


def test_a_table_is_made_that_is_paid_by_request(store: DynamoStore, proxy: Proxy) -> None:
    seen(store)
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=proxy.url)
    told = client.describe_table(TableName=store.name)["Table"]
    assert told["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    key = {"pk": {"S": f"scores#{LAYER}#{_shard(b'7'):02d}"}, "sk": {"S": "7"}}
    assert client.get_item(TableName=store.name, Key=key)["Item"]["v"]["S"] == ROWS[b"7"].decode()
    ttl = client.describe_time_to_live(TableName=store.name)["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "DISABLED"


def _shard(key: bytes) -> int:
    import zlib

    return zlib.crc32(key) % 64


def test_rows_say_when_they_expire(proxy: Proxy) -> None:
    store = DynamoStore(f"t-{os.urandom(4).hex()}", "scores", "us-east-1", proxy.url, ttl_s=3_600)
    for _ in range(2):
        seen(store)
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=proxy.url)
    ttl = client.describe_time_to_live(TableName=store.name)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "ttl")
    key = {"pk": {"S": f"scores#{LAYER}#{_shard(b'7'):02d}"}, "sk": {"S": "7"}}
    expires = int(client.get_item(TableName=store.name, Key=key)["Item"]["ttl"]["N"])
    assert 3_500 < expires - time.time() <= 3_600
    store.close()


def test_a_table_with_another_key_is_refused(store: DynamoStore, proxy: Proxy) -> None:
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=proxy.url)
    client.create_table(
        TableName=store.name, BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"its key is \{'id': 'HASH'\}; allowed: pk \(HASH\)"):
        store.begin(LAYER, 1)


def test_throttling_is_waited_out(store: DynamoStore, proxy: Proxy) -> None:
    proxy.fails = {
        "BatchWriteItem": [THROTTLED] * 3 + ["ThrottlingException"],
        "BatchGetItem": [THROTTLED] * 2,
        "Query": ["RequestLimitExceeded"],
        "PutItem": [THROTTLED],
        "GetItem": [THROTTLED],
    }
    found = seen(store)
    assert store.read(found, list(ROWS)) == list(ROWS.values())
    store.switch(Pointer(found), None)
    assert proxy.fails == {name: [] for name in proxy.fails}


def test_what_was_not_taken_is_sent_again(store: DynamoStore, proxy: Proxy) -> None:
    proxy.takes = 7
    found = seen(store)
    assert store.read(found, list(ROWS)) == list(ROWS.values())
    store.drop([LAYER])
    assert list(store.scan(found.layers[0])) == []
    assert store.layers() == frozenset()


@pytest.mark.parametrize("way", ["throttled", "nothing taken"])
def test_a_table_that_is_throttled_for_ever_is_given_up(
    store: DynamoStore, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    found = seen(store)
    monkeypatch.setattr(dynamodb_table, "LOAD_S", 1.0)
    monkeypatch.setattr(dynamodb_table, "READ_S", 0.5)
    if way == "throttled":
        proxy.always = True
        proxy.fails = {"BatchWriteItem": [THROTTLED], "BatchGetItem": [THROTTLED]}
    else:
        proxy.takes = 0
    for work in (
        lambda: store.read(found, [b"7"]),
        lambda: store.write_part(LAYER, 0, batches(ROWS)),
    ):
        proxy.asked.clear()
        started = time.monotonic()
        with pytest.raises(StorageError, match=f"{THROTTLED}|the table is throttled"):
            work()
        assert time.monotonic() - started < 5
        # It waits longer and longer, and does not knock all the time.
        assert 2 <= len(proxy.asked) < 200


def test_a_row_that_is_too_long_is_told_with_its_key(store: DynamoStore) -> None:
    # The emulator takes some bytes less than DynamoDB does.
    longest = b'"' + b"x" * 400_000 + b'"'
    layer = write_layer(store, LAYER, {b"fits": longest}, parts=1)
    assert store.read(generation(layer), [b"fits"]) == [longest]
    name = f"scores#{LAYER}#00"
    with pytest.raises(StorageError, match="the row of key wide takes 409,601 bytes; allowed"):
        store.write_part(LAYER, 0, batches({b"wide": b"x" * (409_601 - 5 - len(name) - 4)}))


def test_rows_are_as_exact_as_their_text(store: DynamoStore) -> None:
    rows = {
        b"tiny": b'{"x":4.9e-324}',
        b"none": b'{"x":"NaN"}',
        b"wide": b'{"x":0.1000000000000000055511151231257827021181583404541015625}',
    }
    layer = write_layer(store, LAYER, rows, parts=1)
    assert store.read(generation(layer), list(rows)) == list(rows.values())


def test_a_row_that_is_lost_is_noticed(store: DynamoStore, proxy: Proxy) -> None:
    found = seen(store)
    client = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=proxy.url)
    key = {"pk": {"S": f"scores#{LAYER}#{_shard(b'7'):02d}"}, "sk": {"S": "7"}}
    client.delete_item(TableName=store.name, Key=key)
    with pytest.raises(StorageError, match="119 rows are there, 120 were written"):
        store.finish(found.layers[0])


def test_the_pointer_of_many_parts_fits_into_an_item(store: DynamoStore) -> None:
    parts = tuple(LayerPart(n, 1_000_000, 2**60 + n * 977, 2**40 + n * 31) for n in range(256))
    layers = tuple(Layer(f"2026113{n}T021500-1f2e3d4c", parts) for n in range(8))
    store.begin(LAYER, 1)
    big = Pointer(generation(*layers), generation(*layers))
    store.switch(big, None)
    assert store.pointer() == big


def test_a_pointer_whose_answer_was_lost_is_set(store: DynamoStore, proxy: Proxy) -> None:
    first = Pointer(seen(store))
    # The service sets it, the answer is an error, and the second request finds it set.
    store.switch(first, None)
    store.switch(first, first)
    proxy.fails = {"PutItem": ["ConditionalCheckFailedException"]}
    store.switch(first, first)
    assert store.pointer() == first


def test_a_service_that_hangs_is_given_up_in_seconds(store: DynamoStore, proxy: Proxy) -> None:
    found = seen(store)
    proxy.hangs.set()
    for what, work in {
        "read rows": lambda: store.read(found, [b"7"]),
        "read the pointer": store.pointer,
        "write a part": lambda: store.write_part(LAYER, 0, batches(ROWS)),
    }.items():
        started = time.monotonic()
        with pytest.raises(StorageError, match=f"cannot {what}: .*[Tt]imeout"):
            work()
        assert time.monotonic() - started < 15


def test_a_service_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = DynamoStore("predictions", "scores", "us-east-1", "http://user:canary-pw@127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot read the pointer") as failed:
        store.pointer()
    assert "canary" not in f"{failed.value} {store.place} {store!r}"


def test_refused_credentials_are_told(store: DynamoStore, proxy: Proxy) -> None:
    proxy.fails = {"GetItem": ["UnrecognizedClientException"]}
    with pytest.raises(StorageError, match=r"cannot read the pointer: .*UnrecognizedClient"):
        store.pointer()


def test_a_machine_without_credentials_is_told(
    store: DynamoStore, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StorageError, match="credentials"):
        store.pointer()


def test_a_machine_without_a_region_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(StorageError, match="region"):
        DynamoStore("predictions", "scores").pointer()
