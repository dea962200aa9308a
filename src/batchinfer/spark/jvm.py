"""The JVM that runs Spark for this process: whether it lives, why it was started, how its work is
broken off, how one that has ended is forgotten.

Owns what of PySpark's state says so. Starting one is `session`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from typing import Any

from batchinfer.errors import StorageError

# Where PySpark finds the JVM that spark-submit has started.
_STARTED_BY_SPARK = "PYSPARK_GATEWAY_PORT"
_ENDS_S = 60.0
# Between the answer that breaks off and the end of the process.
_DIES_S = 2.0
_MOST_CAUSES = 20
# Why a session is wanted now, and why the one that runs was started. There is one a process.
_wanted: list[str] = []
_started_for: list[str] = []
_HINT = (
    "run the command again: what was committed stands; where memory ran out (the kernel's log "
    "tells), set a smaller spark.driver.memory or fewer cores in "
    "conf/environments/<env>.yaml"
)


def is_running() -> bool:
    """Whether this process has a session already, ours or a user's own, and its JVM lives."""
    return _context() is not None and not has_ended()


def is_submitted() -> bool:
    """Whether spark-submit has started this process, and the JVM before it."""
    return _STARTED_BY_SPARK in os.environ


@contextlib.contextmanager
def needing_session(why: str) -> Generator[None]:
    """A session that is started in the block is started because of this.

    Args:
        why: such as `rows are read from a database`.

    Runs on: driver.
    """
    _wanted.append(why)
    try:
        yield
    finally:
        _wanted.remove(why)


def starting_words() -> str:
    """What is said while the session starts; it is remembered why."""
    _started_for[:] = filter(None, _wanted[-1:])
    return ": ".join(["starting Spark", *_started_for])


def why_started() -> str:
    """Why the session that runs was started; empty where none runs.

    Runs on: driver.
    """
    if not is_running():
        return ""
    return _started_for[0] if _started_for else "the command's work is done by executors"


def has_ended(wait_s: float = 0.0) -> bool:
    """Whether the JVM that this process had started is gone.

    Args:
        wait_s: so long a dying one is waited for.
    """
    process = getattr(_gateway(), "proc", None)
    if process is None:
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    return process.poll() is not None


def as_ended(error: Exception) -> StorageError | None:
    """What is to be told in place of an error that came up because the JVM is gone; None where it
    lives.

    Runs on: driver.
    """
    if _gateway() is None or not has_ended(_DIES_S if _broke_off(error) else 0.0):
        return None
    code = _gateway().proc.poll()
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    return StorageError(f"Spark's JVM ended while it was at work ({how})", _HINT)


def _broke_off(error: BaseException | None) -> bool:
    """Whether an error, or what it was caused by, says that the other side does not answer."""
    from py4j.protocol import Py4JError

    while error is not None:
        network = isinstance(error, Py4JError) and not hasattr(error, "java_exception")
        if network or isinstance(error, ConnectionError | EOFError):
            return True
        error = error.__cause__ or error.__context__
    return False


def java_causes(error: BaseException) -> list[Any]:
    """The chain of Java's throwables behind an error of Spark's or py4j's, outermost first; none
    where there is no Java in it.
    """
    # PySpark's own classes hold the throwable too, and are no Py4JError.
    java: Any = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    found: list[Any] = []
    while java is not None and len(found) < _MOST_CAUSES:
        found.append(java)
        java = java.getCause()
    return found


def cancel_jobs() -> None:
    """Breaks off whatever Spark does for this process, in all threads.

    Runs on: driver.
    """
    context = _context()
    if context is None or has_ended():
        return
    try:
        # It would print a traceback when the JVM goes.
        context._accumulatorServer.handle_error = lambda *_: None
        context.setLogLevel("OFF")
        context.cancelAllJobs()
    except Exception as error:  # noqa: BLE001 - it may end at this moment, in as many ways as there are calls
        print(f"batchinfer: Spark had stopped already ({type(error).__name__})", file=sys.stderr)


def end_children(wait_s: float = 0.0) -> None:
    """Ends the processes that this one has started, and theirs: Spark's JVM, which stops its
    session first, its workers, and a child that scores.

    Args:
        wait_s: so long, at most, until they are gone.

    Runs on: driver.
    """
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    psutil.wait_procs(children, wait_s)


def forget_ended() -> None:
    """Lets go of a session that was stopped, as in a notebook that goes on in another environment,
    or whose JVM has died.

    The JVM of a stopped one is ended: it was started with that session's settings, and Spark would
    take them for those of the next one too.
    """
    from batchinfer.spark.shipping import SENT_PYTHON

    gateway = _gateway()
    if gateway is None:
        return
    pyspark: Any = sys.modules["pyspark"]
    gone = has_ended()
    if (context := _context()) is not None:
        # Otherwise it would tell a JVM to stop that does not listen.
        context._jsc = None
        context.stop()
    if (sql := sys.modules.get("pyspark.sql")) is not None:
        sql.SparkSession._instantiatedSession = sql.SparkSession._activeSession = None
    pyspark.SparkContext._gateway = pyspark.SparkContext._jvm = None
    if not gone:
        gateway.shutdown()
    with contextlib.suppress(BrokenPipeError):
        # It ends when nobody can write to it any more.
        gateway.proc.stdin.close()
    gateway.proc.wait(_ENDS_S)
    if os.environ.get("PYSPARK_PYTHON") == SENT_PYTHON:
        del os.environ["PYSPARK_PYTHON"]


def _context() -> Any:
    pyspark: Any = sys.modules.get("pyspark")
    return getattr(getattr(pyspark, "SparkContext", None), "_active_spark_context", None)


def _gateway() -> Any:
    pyspark: Any = sys.modules.get("pyspark")
    return getattr(getattr(pyspark, "SparkContext", None), "_gateway", None)
