"""The online store of one pipeline, followed: which generation it has now, and whether it answers.

A new generation is opened in a thread, checked, and only then taken up. Each request holds one
generation from start to end; a former one is let go when nobody holds it any more.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from batchinfer.config.uris import join, local_path
from batchinfer.credentials import without_credentials
from batchinfer.errors import BatchInferError, DamagedPointer, StorageError
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lookups.stores.embedded_store import POINTER_FILE, EmbeddedStore
from batchinfer.lookups.stores.generation import Generation, Pointer
from batchinfer.lookups.stores.online_store import LoopReads, OnlineStore, ReadInLoop
from batchinfer.report.terminal import show_line
from batchinfer.service.held_generation import HeldGeneration
from batchinfer.service.problem_documents import HttpProblem, unavailable
from batchinfer.service.served_values import ServedPipeline

_T = TypeVar("_T")
# How often the pointer is looked at: a file's state costs nothing, a server's answer little.
_FILE_EVERY_S, _SERVER_EVERY_S = 0.2, 1.0
# So long a store may take to tell its pointer, or to read keys.
_ANSWERS_WITHIN_S = 2.0
# A generation that could not be opened is tried again after so long, if the pointer stays.
_TRY_AGAIN_S = 10.0
# Where nothing was loaded, it is looked for a table so often.
_TABLE_EVERY_S = 2.0
_THREADS = 8
# So many keys at once are few: the event loop reads them itself, where the store can be so asked.
FEW_KEYS = 16
_NOTHING = "nothing"
# No row has this key: in keys, `%` stands only before digits. To look for it opens every layer.
_NO_KEY = b"%"


class FollowedStore:
    """What answers need of a store. All methods are called in the thread of the event loop.

    Attributes:
        current: the generation that is read now; None where there is none (yet).
        fault: why the newest generation is not read, or the store not reached; None: all is well.
        looked: whether the store has told once what it has.
        inline: reads are so quick that the event loop waits for them.
    """

    def __init__(
        self,
        pipeline: ServedPipeline,
        store: OnlineStore,
        took_up: Callable[[HeldGeneration], None],
    ) -> None:
        self.name = pipeline.name
        self._load_command = pipeline.load_command
        self._took_up = took_up
        self._store = store
        self._embedded = store if isinstance(store, EmbeddedStore) else None
        self.inline = self._embedded is not None
        self._loop_reads: LoopReads | None = None
        self.current: HeldGeneration | None = None
        self.fault: str | None = None
        self._damaged = False
        self.looked = False
        self._former: list[HeldGeneration] = []
        self._silent = False
        self._reading = ThreadPoolExecutor(_THREADS, f"read-{self.name}")
        self._looking = ThreadPoolExecutor(1, f"follow-{self.name}")
        self._seen: object = None
        self._failed: tuple[Pointer, float] | None = None
        self._log_folder = join(pipeline.table, "_delta_log")
        self._has_table, self._table_due = False, 0.0

    @property
    def reachable(self) -> bool:
        """Whether a read is worth a try."""
        return not self._silent

    def state(self) -> dict[str, Any]:
        """How the pipeline stands, for those who watch: `starting`, `store`, `degraded` (an older
        generation than the newest, or a pointer that cannot be read), `unavailable`, `table`
        (nothing was loaded: answers come from the table) or `nothing`.
        """
        held = self.current
        if held is None and not self.looked:
            told: dict[str, Any] = {"state": "starting"}
        elif self._silent or (held is None and self.fault is not None):
            told = {"state": "unavailable"}
        elif held is None:
            told = {"state": "table" if self._has_table else "nothing"}
        else:
            told = {
                "state": "store" if self.fault is None else "degraded",
                "generation": held.generation.name,
                "rows": held.generation.rows,
                "slice": held.generation.slice,
                "loaded_at": held.generation.loaded_at,
            }
        return told if self.fault is None else {**told, "fault": self.fault}

    async def follow(self) -> None:
        """Follows the pointer until it is cancelled."""
        every = _FILE_EVERY_S if self._local_pointer() else _SERVER_EVERY_S
        while True:
            await self.look()
            await asyncio.sleep(every)

    async def look(self) -> None:
        """Looks at the pointer once, and takes a new generation up."""
        pending = asyncio.get_running_loop().run_in_executor(self._looking, self._changed)
        done, _ = await asyncio.wait([pending], timeout=_ANSWERS_WITHIN_S)
        if not done:
            self._lost(f"does not answer within {_ANSWERS_WITHIN_S:g} s")
            # A second look would wait behind this one.
            await asyncio.wait([pending])
        self.looked = True
        try:
            changed, pointer = pending.result()
        except DamagedPointer as error:
            # The store has answered: rows of the generation that is held can be read.
            self._seen, self._silent = None, False
            self._tell_fault(str(error), damaged=True)
            return
        except (BatchInferError, OSError) as error:
            self._lost(str(error))
            return
        if self._silent and not await self._reads_again(pointer):
            return
        self._silent = False
        if changed:
            await self._turn_to(pointer)
        if self._former:
            self._let_former_go()

    async def _reads_again(self, pointer: Pointer | None) -> bool:
        """Whether rows can be read where they could not: to tell its pointer is not enough."""
        current = self.current
        if current is None or pointer is None or pointer.current != current.generation:
            return True
        try:
            await self._opened(current.generation)
        except BatchInferError as error:
            self._lost(str(error))
            return False
        return True

    @contextmanager
    def held(self) -> Generator[HeldGeneration | None]:
        """The generation of one request; None where the store has none.

        Raises:
            HttpProblem: 503: nobody knows yet what the store has, or it does not answer.
        """
        current = self.current
        if current is None and (self.fault is not None or self._silent):
            raise self._unavailable()
        if current is None and not self.looked:
            raise unavailable("starting", f"the store of pipeline {self.name} is being opened")
        if current is not None and not self.reachable:
            raise self._unavailable()
        if current is None:
            yield None
            return
        current.readers += 1
        try:
            yield current
        finally:
            current.readers -= 1

    def read_inline(self, held: HeldGeneration, keys: Sequence[bytes]) -> list[bytes | None]:
        """The rows of a few keys, of a store whose reads are `inline`.

        Raises:
            HttpProblem: 503: a file is damaged.
        """
        try:
            return self._store.read(held.generation, keys)
        except BatchInferError as error:
            raise self.unreadable(held, str(error)) from None

    def unreadable(self, held: HeldGeneration, fault: str) -> HttpProblem:
        """What is answered where rows of a generation cannot be read. Files are opened and checked
        anew then, or those of the former generation are.
        """
        if self._embedded is None:
            self._lost(fault)
        else:
            self._seen = None
            self._tell_fault(fault, damaged=True)
            if self.current is held:
                self._replace(None)
        return self._unavailable()

    async def read(
        self, held: HeldGeneration, keys: Sequence[bytes], seconds: float
    ) -> list[bytes | None]:
        """The rows of some keys.

        Raises:
            HttpProblem: 503: the store fails, or does not answer in time.
        """
        within = min(seconds, _ANSWERS_WITHIN_S)
        try:
            if self._loop_reads is not None and len(keys) <= FEW_KEYS:
                return await self._loop_reads.read(held.generation, keys, within)
            return await asyncio.wait_for(self._read_in_thread(held, keys), within)
        except asyncio.TimeoutError:
            # Ending the wait has also taken back a read that no thread had begun.
            self._lost(f"does not answer within {_ANSWERS_WITHIN_S:g} s")
        except BatchInferError as error:
            raise self.unreadable(held, str(error)) from None
        raise self._unavailable()

    def _read_in_thread(
        self, held: HeldGeneration, keys: Sequence[bytes]
    ) -> Awaitable[list[bytes | None]]:
        loop = asyncio.get_running_loop()
        reading = self._reading.submit(self._store.read, held.generation, keys)
        # It goes on after its request has ended: the generation stays held.
        held.readers += 1
        reading.add_done_callback(lambda _: loop.call_soon_threadsafe(_let_go, held))
        return asyncio.wrap_future(reading)

    async def close(self) -> None:
        """Lets go of the store."""
        if self._loop_reads is not None:
            await self._loop_reads.close()
        for pool in (self._reading, self._looking):
            pool.shutdown(wait=False, cancel_futures=True)

    def _changed(self) -> tuple[bool, Pointer | None]:
        """Whether the pointer may be another one, and which it is. In a thread."""
        seen: object = None
        if path := self._local_pointer():
            seen = _state(path)
            if self._embedded is not None and (held := self.current) is not None:
                seen = seen, _state(self._embedded.stream_file(held.generation))
            due = self._failed is not None and time.monotonic() >= self._failed[1]
            if seen == self._seen and not due:
                if seen == _NOTHING:
                    self._look_for_table()
                return False, None
        pointer = self._store.pointer()
        if pointer is None:
            self._look_for_table()
        self._seen = seen
        return True, pointer

    def _look_for_table(self) -> None:
        now = time.monotonic()
        if now >= self._table_due:
            filesystem, path = open_filesystem(self._log_folder)
            with storage_faults(self._log_folder, "look for the table"):
                self._has_table = filesystem.get_file_info(path).type.name != "NotFound"
            self._table_due = now + _TABLE_EVERY_S

    async def _turn_to(self, pointer: Pointer | None) -> None:
        if pointer is None:
            # What was read so far is gone, or nothing was there.
            self._tell_fault(None)
            self._replace(None)
            return
        current = self.current
        if current is not None and current.generation == pointer.current:
            self._failed = None
            self._tell_fault(None)
            return
        failed = self._failed
        if failed is not None and failed[0] == pointer and time.monotonic() < failed[1]:
            return
        try:
            self._replace(await self._opened(pointer.current))
        except BatchInferError as error:
            self._failed = (pointer, time.monotonic() + _TRY_AGAIN_S)
            self._tell_fault(str(error), damaged=True)
            if current is None and pointer.former is not None:
                await self._take_former(pointer.former)
            return
        self._failed = None
        self._tell_fault(None)

    async def _take_former(self, former: Generation) -> None:
        try:
            self._replace(await self._opened(former))
        except BatchInferError as error:
            show_line(f"batchinfer: pipeline {self.name}: the generation before it: {error}")

    async def _opened(self, generation: Generation) -> HeldGeneration:
        """The generation, once each of its files is checked, or the server has answered for it."""
        await self._in_thread(lambda: self._store.read(generation, [_NO_KEY]))
        if self._loop_reads is None and isinstance(self._store, ReadInLoop):
            self._loop_reads = self._store.loop_reads()
        try:
            return HeldGeneration.of(generation)
        except (KeyError, ValueError) as error:
            raise StorageError(
                f"{self._store.place}: generation {generation.name}: its columns or times cannot "
                f"be read: {error}"
            ) from error

    def _replace(self, new: HeldGeneration | None) -> None:
        before, self.current = self.current, new
        if before is not None:
            self._former.append(before)
        # With each write of streamed rows the same generation comes anew.
        if new is not None and (before is None or before.generation.name != new.generation.name):
            self._took_up(new)
        self._let_former_go()

    def _let_former_go(self) -> None:
        """Closes the files of generations that nobody reads any more."""
        self._former = [former for former in self._former if former.readers]
        if self._embedded is not None:
            held = [*self._former, *([self.current] if self.current else [])]
            self._embedded.release({layer.name for one in held for layer in one.generation.seen})

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._looking, work)

    def _local_pointer(self) -> str | None:
        if self._embedded is None:
            return None
        root = local_path(self._embedded.root)
        return None if root is None else os.path.join(root, POINTER_FILE)

    def _lost(self, fault: str) -> None:
        """The store does not answer: until it does, nobody waits for it. Of files that are mapped
        only the pointer is lost.
        """
        self._seen = None
        self._silent = not self.inline
        self._tell_fault(fault)

    def _tell_fault(self, fault: str | None, damaged: bool = False) -> None:
        self._damaged = damaged
        if damaged:
            fault = f"{fault}; {self._load_command} --full writes the store anew"
        told = None if fault is None else without_credentials(fault)
        if told == self.fault:
            return
        self.fault = told
        what = "answers again" if told is None else f"store: {told}"
        show_line(f"batchinfer: pipeline {self.name}: {what}")

    def _unavailable(self) -> HttpProblem:
        problem = unavailable(
            "store-unavailable", f"the online store of pipeline {self.name} cannot be read now"
        )
        if self._damaged:
            problem.fields["hint"] = f"{self._load_command} --full writes a damaged store anew"
        return problem


def _state(path: str) -> object:
    """What tells whether a file may be another one."""
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return _NOTHING
    return state.st_mtime_ns, state.st_ino, state.st_size


def _let_go(held: HeldGeneration) -> None:
    held.readers -= 1
