"""Models of a worker process: loaded once, kept while the process lives.

Owns the cache of handlers and the number of threads of a worker. Knows neither bundles nor Spark.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable

from batchinfer.contracts import Handler

# A worker that serves a champion, a challenger and shadows keeps them all; an endless notebook does not keep every version.
MOST_HANDLERS = 4

_handlers: OrderedDict[str, Handler] = OrderedDict()
_lock = threading.Lock()


def load_once(digest: str, loader: Callable[[], Handler], threads: int | None = None) -> Handler:
    """The handler of a bundle; loads it unless this process has it already.

    Args:
        digest: of the bundle.
        loader: loads it; is called at most once a process, unless more than four bundles take turns.
        threads: threads of a forward pass on the CPU; None leaves PyTorch's own choice, which is all cores.

    Runs on: executor.
    """
    with _lock:
        if digest not in _handlers:
            handler = loader()
            _handlers[digest] = handler
            while len(_handlers) > MOST_HANDLERS:
                _handlers.popitem(last=False)
        _handlers.move_to_end(digest)
        limit_threads(threads)
        return _handlers[digest]


def threads_per_worker(cores: int, workers: int) -> int:
    """Threads for each of the workers that share a machine's cores, so that they do not fight for them."""
    return max(1, cores // max(1, workers))


def limit_threads(threads: int | None) -> None:
    """Sets PyTorch's threads in this process, if it uses PyTorch."""
    torch = sys.modules.get("torch")
    if threads is not None and torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
