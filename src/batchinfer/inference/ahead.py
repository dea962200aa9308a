"""Reading ahead, where reading waits for something else than this core.

Owns the thread that reads while the model computes, its bounded queue, and the decision whether it
pays. On a machine whose cores are all busy with forward passes another thread only takes turns with
them; where reading waits for a disk or an object store, or forward passes for a GPU, it fills the
wait. So the stream is measured first.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

# Items that wait for the model: one that it takes next, and one that is ready when it does.
DEPTH = 2
# The stream's first items are read as they are needed, and timed.
_MEASURED = 6
# A thread of its own pays if at least this share of the time passes with nothing for this thread to
# do.
_WORTH = 0.1
# Nanoseconds that this thread ran, and that it waited for a core; Linux keeps them for each thread.
_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_END: object = object()


class ReadAhead(Iterator[Item]):
    """An iterator that reads in a thread of its own if the first items show that this pays; same
    items, same order.

    An error of the source is raised where its item would have come. `close` ends the thread; it
    waits for at most one item.

    Args:
        source: what is read; touched by one thread at a time.
        always: True where it is known to pay: the model computes on a device of its own.
        wall, busy: seconds of the clock on the wall, and of those in which this thread ran or
            waited for a core.

    Attributes:
        ahead: whether a thread reads now.

    Runs on: executor.
    """

    def __init__(
        self,
        source: Iterable[Item],
        *,
        always: bool = False,
        wall: Callable[[], float] = time.perf_counter,
        busy: Callable[[], float] | None = None,
    ) -> None:
        self._source = iter(source)
        self._always, self._wall, self._busy = always, wall, busy or busy_seconds
        self._read = 0
        self._began = (0.0, 0.0)
        self._queue: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(DEPTH)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def ahead(self) -> bool:
        return self._thread is not None

    def __next__(self) -> Item:
        if self._thread is None:
            self._read += 1
            # The first item also opens files, and the model warms up on it.
            if self._read == 2:
                self._began = (self._wall(), self._busy())
            if not (self._always or (self._read == _MEASURED and self._waits())):
                return next(self._source)
            self._thread = threading.Thread(target=self._run, name="read ahead", daemon=True)
            self._thread.start()
        item, error = self._queue.get()
        if error is not None:
            self._queue.put((item, error))  # asked again, it says the same
            raise error
        return item  # type: ignore[return-value]

    def close(self) -> None:
        """Ends the thread. The source itself is the caller's."""
        self._stopped.set()
        if self._thread is None:
            return
        while self._thread.is_alive():
            try:
                self._queue.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.05)

    def _waits(self) -> bool:
        wall, busy = self._wall() - self._began[0], self._busy() - self._began[1]
        return wall > 0 and busy < (1 - _WORTH) * wall

    def _run(self) -> None:
        try:
            for item in self._source:
                self._queue.put((item, None))
                if self._stopped.is_set():
                    return
            self._queue.put((_END, StopIteration()))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that asks for the item
            self._queue.put((_END, error))


def busy_seconds() -> float:
    """Seconds that this thread has run, or could have run had a core been free: what is left of a
    second it was waiting.
    """
    try:
        ran, queued, _ = _SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        # Not Linux: waiting for a core looks like waiting for data here.
        return time.thread_time()
    return (int(ran) + int(queued)) / 1e9
