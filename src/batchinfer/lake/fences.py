"""Whether this process may still commit: one that was frozen for a while may have lost the lease
that it worked under.

Owns the leases on object stores that this process holds; nothing of it is asked for on local lakes,
where a lock cannot be lost. Must not know how a lease is taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

_lock = threading.Lock()
_held: list[Callable[[], None]] = []


@contextmanager
def fenced(check: Callable[[], None]) -> Generator[None]:
    """While the block runs, `check` is asked before every commit; it raises SliceHeld if the lease
    is another's by now.
    """
    with _lock:
        _held.append(check)
    try:
        yield
    finally:
        with _lock:
            _held.remove(check)


def check_fences() -> None:
    """Asks every lease that this process holds.

    Runs on: driver

    Raises:
        SliceHeld: a lease was taken over by another run.
        StorageError: that cannot be found out.
    """
    with _lock:
        held = list(_held)
    for check in held:
        check()
