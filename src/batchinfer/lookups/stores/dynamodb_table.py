"""A table of DynamoDB as the store asks it: in batches, again where the service asks for patience,
and never without end.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from batchinfer.errors import ConfigError, StorageError
from batchinfer.lookups.stores.store_addresses import shown_address

_T = TypeVar("_T")
Item = dict[str, Any]
# DynamoDB's limits of one request.
WRITTEN_ITEMS, _READ_ITEMS = 25, 100
_CONNECT_S, _ANSWER_S, _TABLE_S, _CONNECTIONS = 3, 5, 120, 16
# Waits before the next try: from the first to the longest, of these a random share.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 5.0
# So long without a single item that was taken: a reader waits less than a load.
READ_S, LOAD_S = 5.0, 60.0
_THROTTLED = (
    *("ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"),
    *("InternalServerError", "ServiceUnavailable"),
)


@dataclass
class DynamoTable:
    """A table whose key is `pk` and `sk`, both text.

    Attributes:
        name: of the table.
        region, endpoint: where it is; None: as the machine's settings say.
    """

    name: str
    region: str | None = None
    endpoint: str | None = field(default=None, repr=False)
    _opened: Any = field(default=None, repr=False)
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @property
    def place(self) -> str:
        where = shown_address(self.endpoint) if self.endpoint else self.region or "default region"
        return f"dynamodb table {self.name} at {where}"

    @property
    def client(self) -> Any:
        with self._lock:
            if self._opened is None:
                # Tries are counted here: boto's own would be another loop inside of ours.
                config = Config(
                    connect_timeout=_CONNECT_S,
                    read_timeout=_ANSWER_S,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=_CONNECTIONS,
                )
                self._opened = boto3.Session().client(
                    "dynamodb",
                    region_name=self.region,
                    endpoint_url=self.endpoint,
                    config=config,
                )
            return self._opened

    def ask(self, operation: str, limit_s: float = LOAD_S, **given: Any) -> Any:
        """What the service answers about the table; a request that it throttles is made again, for
        so many seconds.
        """
        return self._patiently(operation, limit_s, {"TableName": self.name, **given})

    def ask_if(self, operation: str, condition: str, values: Item, **given: Any) -> bool:
        """Writes an item if it meets a condition; tells whether it did.

        Args:
            values: that the condition names.
        """
        # DynamoDB takes no empty mapping of values.
        named = {"ExpressionAttributeValues": values} if values else {}
        try:
            self.ask(operation, ConditionExpression=condition, **named, **given)
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def make(self, ttl: str | None) -> None:
        """Makes the table where it is not there, and waits for it.

        Args:
            ttl: the attribute that says when an item expires; None: none does.

        Raises:
            ConfigError: it is there, with another key.
            StorageError: it is not ready after minutes.
        """
        named = {"pk": "HASH", "sk": "RANGE"}
        with self.faults("make the table"):
            # It is there, or another load makes it at the same time.
            with suppress(self.client.exceptions.ResourceInUseException):
                self.ask(
                    "create_table",
                    BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[
                        {"AttributeName": name, "AttributeType": "S"} for name in named
                    ],
                    KeySchema=[
                        {"AttributeName": name, "KeyType": type_} for name, type_ in named.items()
                    ],
                )
            told = self._ready()
            keys = {one["AttributeName"]: one["KeyType"] for one in told["KeySchema"]}
            types = {
                one["AttributeName"]: one["AttributeType"] for one in told["AttributeDefinitions"]
            }
            if keys != named or {types[name] for name in named} != {"S"}:
                raise ConfigError(
                    f"{self.place}: its key is {keys}; allowed: pk (HASH) and sk (RANGE), of text",
                    "another name under load.table; load makes the table",
                )
            if ttl is not None:
                self._expire_by(ttl)

    def write(self, requests: Sequence[Item]) -> None:
        """Puts or deletes up to 25 items; none of them comes twice."""
        left, pause = list(requests), _Pause(LOAD_S)
        while left:
            told = self._patiently("batch_write_item", LOAD_S, {"RequestItems": {self.name: left}})
            unprocessed = told.get("UnprocessedItems", {}).get(self.name, [])
            if len(unprocessed) < len(left):
                pause = _Pause(LOAD_S)
            left = unprocessed
            if left and not pause.wait():
                raise StorageError(
                    f"{self.place}: {len(left)} rows were not taken in {LOAD_S:.0f} s: the table "
                    "is throttled"
                )

    def read(self, keys: Sequence[Item]) -> Iterator[Item]:
        """The items with some keys, as they are now; none of the keys comes twice."""
        for some in batches_of(keys, _READ_ITEMS):
            left, pause = list(some), _Pause(READ_S)
            while left:
                asked = {self.name: {"Keys": left, "ConsistentRead": True}}
                told = self._patiently("batch_get_item", READ_S, {"RequestItems": asked})
                items = told["Responses"].get(self.name, [])
                yield from items
                left = told.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                # An answer holds 16 MB; what is left is asked for at once.
                if items:
                    pause = _Pause(READ_S)
                elif left and not pause.wait():
                    raise StorageError(
                        f"{self.place}: {len(left)} rows were not read in {READ_S:.0f} s: the "
                        "table is throttled"
                    )

    def pages(self, pk: str, **asked: Any) -> Iterator[Any]:
        """Answers to a query of all items with a partition key, as they are now; none where there
        is no table.
        """
        asked |= {
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": {":pk": {"S": pk}},
            "ConsistentRead": True,
        }
        while True:
            with self.faults("list items"):
                try:
                    page = self.ask("query", **asked)
                except self.client.exceptions.ResourceNotFoundException:
                    return
            yield page
            if "LastEvaluatedKey" not in page:
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def items(self, pk: str, columns: str) -> Iterator[Item]:
        """Some attributes of all items with a partition key."""
        for page in self.pages(pk, ProjectionExpression=columns):
            yield from page["Items"]

    @contextmanager
    def faults(self, what: str) -> Generator[None]:
        """Errors of the service and of the way to it, as ours."""
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StorageError(f"{self.place}: cannot {what}: {error}") from None

    def close(self) -> None:
        with self._lock:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    def _patiently(self, operation: str, limit_s: float, given: Item) -> Any:
        pause = _Pause(limit_s)
        while True:
            try:
                return getattr(self.client, operation)(**given)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _THROTTLED or not pause.wait():
                    raise

    def _ready(self) -> Item:
        end = time.monotonic() + _TABLE_S
        while True:
            told = self.ask("describe_table")["Table"]
            if told["TableStatus"] in ("ACTIVE", "UPDATING"):
                return told
            if time.monotonic() > end:
                raise StorageError(f"{self.place}: was not ready after {_TABLE_S} s")
            time.sleep(1)

    def _expire_by(self, attribute: str) -> None:
        told = self.ask("describe_time_to_live")["TimeToLiveDescription"]
        if told["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
            setting = {"Enabled": True, "AttributeName": attribute}
            self.ask("update_time_to_live", TimeToLiveSpecification=setting)


class _Pause:
    """Waits that grow, with a random share, up to a limit of all of them."""

    def __init__(self, limit_s: float) -> None:
        self._end, self._next = time.monotonic() + limit_s, _FIRST_WAIT_S

    def wait(self) -> bool:
        """False where the time is over."""
        wait = random.uniform(0, self._next)
        if time.monotonic() + wait > self._end:
            return False
        time.sleep(wait)
        self._next = min(2 * self._next, _LONGEST_WAIT_S)
        return True


def item_key(pk: str, sk: str) -> Item:
    """The key of an item."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def batches_of(items: Sequence[_T], most: int) -> Iterator[Sequence[_T]]:
    """Items in batches of so many."""
    for start in range(0, len(items), most):
        yield items[start : start + most]
