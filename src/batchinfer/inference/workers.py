"""Models of a worker process: loaded once, kept while the process lives, with the batch size that
suits them.

Owns the cache of handlers and sizes, and how the process uses threads and memory. Knows neither
bundles nor Spark.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from batchinfer.contracts import ScoringHandler
from batchinfer.inference.batching import FixedSize

# A worker that serves a champion, a challenger and shadows keeps them all; an endless notebook does
# not keep every version.
MOST_HANDLERS = 4
Kept = TypeVar("Kept")
_STATUS = Path("/proc/self/status")

_handlers: OrderedDict[str, ScoringHandler] = OrderedDict()
_sizes: OrderedDict[str, FixedSize] = OrderedDict()
_lock = threading.Lock()


def load_once(
    digest: str, loader: Callable[[], ScoringHandler], threads: int | None = None
) -> ScoringHandler:
    """The handler of a bundle; loads it unless this process has it already.

    Args:
        digest: of the bundle.
        loader: loads it; is called at most once a process, unless more than four bundles take
            turns.
        threads: threads of a forward pass on the CPU; None leaves PyTorch's own choice, which is
            all cores.

    Runs on: executor.
    """
    with _lock:
        if digest not in _handlers:
            keep_freed_memory()
            with _left_alone():
                _kept(_handlers, digest, loader)
        handler = _kept(_handlers, digest, loader)
        limit_threads(threads)
        return handler


@contextlib.contextmanager
def _left_alone() -> Generator[None]:
    """What is loaded here, and all there is besides, the garbage collector no longer looks at.

    Spark's worker collects after each task: with PyTorch imported, and objects by the hundred
    thousand, that took 0.2 s.
    """
    gc.unfreeze()  # a model that made room before may be garbage now
    yield
    gc.collect()
    gc.freeze()


def size_once(key: str, make: Callable[[], FixedSize]) -> FixedSize:
    """The batch size of a model in this process: the next task goes on where the last one was, with
    its ceiling too.

    Args:
        key: of the model, its device and what was asked for.
        make: makes the first one.

    Runs on: executor.
    """
    with _lock:
        return _kept(_sizes, key, make)


def _kept(cache: OrderedDict[str, Kept], key: str, make: Callable[[], Kept]) -> Kept:
    """What the cache has under the key, or what `make` gives; what was longest unused makes
    room.
    """
    if key not in cache:
        cache[key] = make()
        while len(cache) > MOST_HANDLERS:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return cache[key]


def threads_per_worker(cores: int, workers: int) -> int:
    """Threads for each of the workers that share a machine's cores, so that they do not fight for
    them.
    """
    return max(1, cores // max(1, workers))


def limit_threads(threads: int | None) -> None:
    """Sets PyTorch's threads in this process, if it uses PyTorch."""
    torch = sys.modules.get("torch")
    if threads is not None and torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def one_thread(wanted: bool) -> Generator[None]:
    """Lets PyTorch use one thread, if that is wanted and it is in use; afterwards as many as
    before.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if wanted and torch is not None else 1
    if torch is None or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_bytes() -> int:
    """The most memory that this process has had in use, in bytes. Runs on: executor."""
    # getrusage would count what the JVM had that started this process: it survives exec.
    with contextlib.suppress(OSError), _STATUS.open(encoding="ascii") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


# Parameters of glibc's mallopt, from its malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
KEPT_BYTES = 128 * 2**20


def keep_freed_memory(kept_bytes: int = KEPT_BYTES) -> bool:
    """Lets the process keep memory that it frees, because the next batch needs as much again.

    As it comes, glibc returns the activations of every batch to the kernel, and each batch pays for
    the page faults anew: a tenth to a third of the time of a small network.

    Returns:
        False where the C library is not glibc; nothing has changed then.

    Runs on: executor.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        and mallopt(_M_TRIM_THRESHOLD, kept_bytes)
    )
