"""What Spark starts in place of its own daemon: PySpark's, from the installed package and not from
Spark's archives, with the modules that tasks need.

Spark puts `pyspark.zip`, Py4J's archive and its own jar first on the path of Python workers. From
there every module is compiled anew in each daemon, and every task reads the archives' directories
again, because a worker clears its import caches between tasks: a third of a second a task on a
small machine. What is installed beside this package is the same, with byte code.

Workers are forked from the daemon. So what the daemon has imported, none of them imports: PyTorch
takes seconds of a core, and its pages are then in memory once. Spark starts the daemon with the
first task. Where the driver's machine runs the tasks, a process can wait with these modules from
the time that the JVM starts (`spark.early_daemon`); what Spark starts then hands its pipes over to
it, and only passes signals on.

Owns the path and the imports of the workers, and nothing else. Set by `session.session_conf` as
`spark.python.daemon.module`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import select
import signal
import socket
import struct
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import PathFinder

IMPORTS = "BATCHINFER_WORKER_IMPORTS"
"""Variable with the names of modules, with commas, that the daemon imports before it forks."""
EARLY = "BATCHINFER_EARLY_DAEMON"
"""Variable with the socket at which a process waits that has imported them."""

_SPARKS_OWN = re.compile(r"(^|/)(pyspark\.zip|py4j-[^/]*\.zip|spark-core_[^/]*\.jar)/?$")
# What libraries and Python look at while they are loaded: a process that was started with other
# values would compute with other threads, or hash otherwise.
_READ_AT_IMPORT = re.compile(
    r"PYTHON(HASHSEED|MALLOC|OPTIMIZE|UTF8)|(OMP|MKL|KMP|GOMP|OPENBLAS|BLIS|NUMEXPR|VECLIB)_.*|"
    r"(LD|DYLD)_.*|MALLOC_.*|(TORCH|PYTORCH|CUDA|NVIDIA|ARROW)_.*"
)
# The one worker that is known before the daemon is: Spark may ask for others by name.
_WORKER = "pyspark.worker"
_STREAMS = (0, 1, 2)
_LENGTH = struct.Struct("!I")


def without_archives(path: Sequence[str]) -> list[str]:
    """The import path without Spark's own archives, if PySpark is found on the rest of it; else as
    it is.
    """
    rest = [place for place in path if not _SPARKS_OWN.search(place)]
    found = all(PathFinder.find_spec(package, rest) is not None for package in ("pyspark", "py4j"))
    return rest if found else list(path)


def read_at_import(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that decide how Python and libraries are loaded."""
    return {name: value for name, value in environment.items() if _READ_AT_IMPORT.fullmatch(name)}


def import_all(names: str) -> None:
    """Imports modules ahead of the tasks that need them; one that cannot be is told, and the task
    that needs it says it with its own words.

    Args:
        names: with commas.
    """
    for name in filter(None, names.split(",")):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module does when it is imported
            print(f"batchinfer: workers start without {name}: {error}", file=sys.stderr)
    # Workers collect garbage after each task: what stands here they need not look at.
    gc.collect()
    gc.freeze()


def wait_for_daemon(place: str) -> bool:
    """Imports the modules, and waits until a daemon that Spark has started hands its pipes over, or
    the driver ends.

    Args:
        place: of the socket, which goes when one has come.

    Returns:
        Whether this process is the daemon now: its pipes, variables and path are those of the one
        that Spark has started.

    Runs on: driver's machine, in a process of its own.
    """
    # Of a terminal's Ctrl-C the driver alone decides; Spark's workers have handlers of their own.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{place}.new")
        listening.listen()
        # Whoever sees it may ask.
        os.rename(f"{place}.new", place)
        import_all(os.environ.get(IMPORTS, ""))
        importlib.import_module(_WORKER)
        ready, _, _ = select.select([0, listening], [], [])
        if listening not in ready:
            return False
        caller, _ = listening.accept()
        os.unlink(place)
    return _take_over(caller)


def _take_over(caller: socket.socket) -> bool:
    told, pipes, _, _ = socket.recv_fds(caller, _LENGTH.size, len(_STREAMS))
    state = json.loads(caller.makefile("rb").read(_LENGTH.unpack(told)[0]))
    if read_at_import(state["environment"]) != read_at_import(os.environ):
        caller.close()
        return False
    for stream, pipe in zip(_STREAMS, pipes, strict=True):
        os.dup2(pipe, stream)
        os.close(pipe)
    os.environ.clear()
    os.environ.update(state["environment"])
    os.chdir(state["folder"])
    sys.path[:], sys.argv[:] = state["path"], state["arguments"]
    sys.path_importer_cache.clear()
    signal.signal(
        signal.SIGINT, signal.default_int_handler if state["interrupts"] else signal.SIG_IGN
    )
    caller.sendall(_LENGTH.pack(os.getpid()))
    # The end of the connection tells that the daemon has ended: its workers do not hold it.
    os.register_at_fork(after_in_child=caller.close)
    return True


def hand_over(place: str) -> bool:
    """Lets the process that waits at a socket be the daemon, and lasts as long as that does.

    Returns:
        False: nobody waits there, or with other variables; this process has to be the daemon.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(place)
        except OSError:
            # Another daemon of this session has taken it.
            return False
        state = {
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "path": sys.path,
            "arguments": sys.argv,
            "interrupts": signal.getsignal(signal.SIGINT) is not signal.SIG_IGN,
        }
        body = json.dumps(state).encode()
        socket.send_fds(connection, [_LENGTH.pack(len(body))], list(_STREAMS))
        connection.sendall(body)
        answer = connection.makefile("rb").read(_LENGTH.size)
        if not answer:
            return False
        [daemon] = _LENGTH.unpack(answer)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(daemon, signal.SIGTERM))
        # Spark sees the end of its pipes when the daemon's are closed, and not when these are.
        with open(os.devnull, "r+") as nothing:
            for stream in _STREAMS[:2]:
                os.dup2(nothing.fileno(), stream)
        connection.recv(1)
        return True


def run(early: str | None) -> None:
    """The daemon, or the process that waits to be it.

    Args:
        early: socket to wait at; None: Spark has started this process.
    """
    sys.path[:] = without_archives(sys.path)
    # What this cache still knew would be read again too.
    sys.path_importer_cache.clear()
    if early is not None:
        if not wait_for_daemon(early):
            return
    elif (place := os.environ.get(EARLY)) and hand_over(place):
        return
    else:
        import_all(os.environ.get(IMPORTS, ""))
    from pyspark.daemon import manager

    manager()


if __name__ == "__main__":
    run(sys.argv[2] if sys.argv[1:2] == ["--early"] else None)
