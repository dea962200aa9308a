"""What the JVM says when it starts, on a terminal: without the one line that Spark's own options
bring about, and that no setting of Java turns off.

Owns which line that is. All else that the JVM writes reaches standard error as it comes.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Generator

# Spark's launcher adds this module to every JVM; Java says so, whatever it is told.
START_LINES = (b"WARNING: Using incubator modules: jdk.incubator.vector\n",)
_CHUNK = 65536


@contextlib.contextmanager
def without_start_lines() -> Generator[None]:
    """Processes that are started in the block write to standard error through a thread of this
    process, which leaves those lines out; only where standard error is a terminal.

    Runs on: driver.
    """
    try:
        is_terminal = os.isatty(2)
    except OSError:
        is_terminal = False
    if not is_terminal:
        yield
        return
    real = os.dup(2)
    ours, theirs = os.pipe()
    os.dup2(theirs, 2)
    os.close(theirs)
    threading.Thread(target=_pass_on, args=(ours, real), name="jvm output", daemon=True).start()
    try:
        yield
    finally:
        os.dup2(real, 2)


def _pass_on(source: int, target: int) -> None:
    """Copies what comes until nobody writes any more. What may be the beginning of a line that is
    left out waits for the rest of that line.
    """
    held = b""
    with contextlib.suppress(OSError):
        while part := os.read(source, _CHUNK):
            held += part
            for line in START_LINES:
                held = held.replace(line, b"")
            kept = _beginning(held)
            _write(target, held[: len(held) - kept])
            held = held[len(held) - kept :]
        _write(target, held)
    os.close(source)
    os.close(target)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


def _beginning(text: bytes) -> int:
    """How many bytes at the end may be the beginning of a line that is left out."""
    tail = text[text.rfind(b"\n") + 1 :]
    return len(tail) if tail and any(line.startswith(tail) for line in START_LINES) else 0
