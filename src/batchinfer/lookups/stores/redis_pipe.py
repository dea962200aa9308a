"""Many commands to a server of Redis at once, or to each node of a cluster.

Owns how a server is reached, how bytes go there, and what comes back: answers of one line, which
are counted, not parsed. The client library makes connections (TLS, password, database); packing and
parsing one command at a time would take it longer than the server needs to run it.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisCluster
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry as LoopRetry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoPermissionError, ResponseError
from redis.retry import Retry

_CONNECT_S, _ANSWER_S = 3, 5
_SLOTS = 16_384
_READ_BYTES = 1 << 20


def open_redis(url: str) -> tuple[Any, bool]:
    """A client that gives up after seconds, and whether it is one of a cluster."""
    # One more try, for a connection that the server has closed while nobody used it.
    settings = {"socket_connect_timeout": _CONNECT_S, "socket_timeout": _ANSWER_S}
    settings |= {"retry": Retry(ConstantBackoff(0.05), 1), "protocol": 2}
    client = Redis.from_url(url, **settings)
    try:
        is_cluster = bool(client.info("cluster").get("cluster_enabled"))
    except NoPermissionError:
        # Taken for a server alone; a node of a cluster would refuse rows that are another's.
        is_cluster = False
    if not is_cluster:
        return client, False
    client.close()
    return RedisCluster.from_url(url, **settings), True


def loop_connection(url: str) -> Any:
    """A connection for an event loop, to a server alone, that is not open yet. It waits for answers
    as long as its user does.
    """
    settings = {"socket_connect_timeout": _CONNECT_S, "socket_timeout": None, "protocol": 2}
    pool = ConnectionPool.from_url(url, retry=LoopRetry(NoBackoff(), 0), **settings)
    return pool.make_connection()


class RedisPipe:
    """Commands that each name one key, and are answered by one line: `+OK`, `:1`, or an error.

    Attributes:
        ones: answers that were `:1`.
    """

    def __init__(self, client: Any, is_cluster: bool) -> None:
        self._client, self._is_cluster = client, is_cluster
        self._nodes: dict[str, _NodePipe] = {}

    @property
    def ones(self) -> int:
        return sum(pipe.ones for pipe in self._nodes.values())

    def send(self, keys: Sequence[bytes], commands: Sequence[bytes]) -> None:
        """Sends commands; the answers to those before them have come when this returns.

        Args:
            keys: of each command; a cluster has its slot on one of the nodes.

        Raises:
            redis.RedisError: what a server said, or that it does not answer.
        """
        if not self._is_cluster:
            self._node("").send(commands)
            return
        of_node: dict[str, list[bytes]] = {}
        names: dict[int, str] = {}
        for key, command in zip(keys, commands, strict=True):
            slot = crc_hqx(key, 0) % _SLOTS
            if slot not in names:
                names[slot] = self._client.nodes_manager.get_node_from_slot(slot).name
            of_node.setdefault(names[slot], []).append(command)
        for name, own in of_node.items():
            self._node(name).send(own)

    def flush(self) -> None:
        """Waits for all answers."""
        for pipe in self._nodes.values():
            pipe.take(0)

    def __enter__(self) -> RedisPipe:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for pipe in self._nodes.values():
            pipe.release(whole=kind is None)

    def _node(self, name: str) -> _NodePipe:
        if name not in self._nodes:
            client = self._client
            if self._is_cluster:
                client = client.get_redis_connection(client.get_node(node_name=name))
            self._nodes[name] = _NodePipe(client.connection_pool)
        return self._nodes[name]


class _NodePipe:
    """One connection."""

    def __init__(self, pool: Any) -> None:
        self._pool, self._connection = pool, pool.get_connection()
        self._socket = self._connection._sock
        self._awaited, self._rest, self.ones = 0, b"", 0

    def send(self, commands: Sequence[bytes]) -> None:
        self._socket.sendall(b"".join(commands))
        self._awaited += len(commands)
        # These run while the next ones are made.
        self.take(len(commands))

    def take(self, left: int) -> None:
        """Reads answers until so few are awaited."""
        while self._awaited > left:
            came = self._socket.recv(_READ_BYTES)
            if not came:
                raise Lost("the connection was closed")
            lines, end, self._rest = (self._rest + came).rpartition(b"\r\n")
            if not end:
                continue
            if lines.startswith(b"-") or b"\n-" in lines:
                failed = next(line for line in lines.split(b"\r\n") if line.startswith(b"-"))
                raise ResponseError(failed[1:].decode(errors="replace"))
            self._awaited -= lines.count(b"\n") + 1
            self.ones += lines.count(b":1")

    def release(self, whole: bool) -> None:
        """Gives the connection back; one with answers on their way cannot be used again."""
        if not whole or self._awaited:
            self._connection.disconnect()
        self._pool.release(self._connection)
