"""Rows of a server of Redis or Valkey, read by the event loop of a service.

A hand-over to a thread and back takes as much of a core as the question itself, and two more turns
of the scheduler. All questions of a loop go over one connection, one behind the other, and answers
come in their order: no one waits for a free connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from redis.exceptions import ConnectionError as Lost
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as Late

from batchinfer.lookups.stores.generation import Generation
from batchinfer.lookups.stores.redis_pipe import loop_connection
from batchinfer.lookups.stores.streamed_rows import newest_rows


class RedisReads:
    """The connection of one event loop to a server alone.

    Args:
        url: with user and password.
        names: of rows on the server, for each layer those of all keys.
        faults: makes storage errors of what the client raises.
    """

    def __init__(
        self,
        url: str,
        names: Callable[[Generation, Sequence[bytes]], list[bytes]],
        faults: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._url, self._names, self._faults = url, names, faults
        self._line: _Line | None = None
        self._opening = asyncio.Lock()

    async def read(
        self, generation: Generation, keys: Sequence[bytes], within_s: float
    ) -> list[bytes | None]:
        names = self._names(generation, keys)
        if not names:
            return [None] * len(keys)
        parts = [b"$%d\r\n%b\r\n" % (len(name), name) for name in names]
        command = b"*%d\r\n$4\r\nMGET\r\n%b" % (len(names) + 1, b"".join(parts))
        with self._faults("read rows"):
            values = await self._ask(command, within_s)
        return newest_rows(generation, values, len(keys))

    async def close(self) -> None:
        if self._line is not None:
            self._line.end(Lost("the service ends"))
            await asyncio.wait([self._line.answers])

    async def _ask(self, command: bytes, within_s: float) -> list[bytes | None]:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        known = self._line
        if known is not None and not known.ended:
            try:
                return await known.ask(command, within_s)
            except Lost:
                # The server may have closed it while nobody used it; a read can be made again.
                pass
        try:
            line = await asyncio.wait_for(self._opened(), until - loop.time())
        except asyncio.TimeoutError:
            raise Late(f"no connection within {within_s:g} s") from None
        return await line.ask(command, until - loop.time())

    async def _opened(self) -> _Line:
        async with self._opening:
            if self._line is None or self._line.ended:
                connection = loop_connection(self._url)
                await connection.connect()
                self._line = _Line(connection)
            return self._line


class _Line:
    """A connection and who waits for its answers, in the order of their questions.

    Attributes:
        ended: nothing can be asked any more.
        answers: the task that hands answers out; it closes the connection.
    """

    def __init__(self, connection: Any) -> None:
        self.ended = False
        self._connection = connection
        self._waiting: deque[asyncio.Future[list[bytes | None]]] = deque()
        self._loop = asyncio.get_running_loop()
        self.answers = self._loop.create_task(self._hand_out())

    async def ask(self, command: bytes, within_s: float) -> list[bytes | None]:
        """The answer to a command.

        Raises:
            Late: it does not come in time; the connection is given up, and nobody else gets it.
            Lost: the connection ended before it came.
        """
        if not self._connection.is_connected:
            raise Lost("the connection has ended")
        answer = self._loop.create_future()
        self._waiting.append(answer)
        late = self._loop.call_later(within_s, self.end, Late(f"no answer within {within_s:.3g} s"))
        try:
            # What is sent is sent before this gives way, so questions keep their order.
            await self._connection.send_packed_command([command], check_health=False)
            return await answer
        finally:
            late.cancel()

    def end(self, why: RedisError) -> None:
        """Ends it; who waits is told why."""
        self.answers.cancel()
        self._fail(why)

    def _fail(self, why: RedisError) -> None:
        self.ended = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(why)

    async def _hand_out(self) -> None:
        try:
            while True:
                try:
                    told: Any = await self._connection.read_response()
                except ResponseError as error:
                    told = error
                waiting = self._waiting.popleft()
                # One that was cancelled has its answer, too, and nobody takes it.
                if not waiting.done():
                    if isinstance(told, ResponseError):
                        waiting.set_exception(told)
                    else:
                        waiting.set_result(told)
        except (RedisError, OSError) as error:
            self._fail(Lost(str(error)))
        finally:
            with suppress(RedisError, OSError):
                await self._connection.disconnect(nowait=True)
