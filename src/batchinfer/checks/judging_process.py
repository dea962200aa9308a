"""A process beside the driver that judges a few rows: it imports Great Expectations while the
driver does other work, and judges with pandas.

Owns the process: its start, what it is sent, and its end. In a thread of the driver the library's
import would take turns with the driver's own work. Nothing here starts Spark: the process has none.
"""

from __future__ import annotations

import contextlib
import gc
import json
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from batchinfer import stopping
from batchinfer.checks.suites import Suite
from batchinfer.contracts import CheckReport
from batchinfer.errors import ConfigError
from batchinfer.masking.sensitive_columns import SensitiveColumns

# As `multiprocessing` does it, but without the main module, which may be a script of a user's.
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from batchinfer.checks.judging_process import run_judge
run_judge(int(sys.argv[1]))
"""
_STDERR = 2
_END_S = 5.0


class JudgeLost(Exception):
    """The process ended, or failed, without a verdict."""


class JudgingProcess:
    """Judges Arrow tables by suites; starts at once, and the caller need not wait for it.

    Args:
        suites: by what they judge.

    Runs on: driver.
    """

    def __init__(self, suites: Mapping[str, Suite]) -> None:
        stopping.check()
        self._line, theirs = multiprocessing.Pipe()
        # What the library prints must not get into the output of a command.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(sys.path)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=_STDERR,
        )
        theirs.close()
        self._refused: list[str] | None = None
        # It has ended: the first answer tells.
        with contextlib.suppress(OSError):
            self._line.send(dict(suites))

    def check(self) -> None:
        """Waits until the library has judged the arguments of all suites.

        Raises:
            ConfigError: it refuses some.
            JudgeLost: the process did not answer.
        """
        if self._refused is None:
            self._refused = self._answer()
        if self._refused:
            raise ConfigError(self._refused)

    def judge(
        self, rows: pa.Table, kind: str, name: str, sensitive: SensitiveColumns
    ) -> CheckReport:
        """What a suite says of rows; as `expectations.judge_rows`.

        Args:
            rows: of columns that `pandas_verdicts` allows for the suite.

        Raises:
            ConfigError: as `check`.
            JudgeLost: the process did not answer.
        """
        self.check()
        try:
            self._line.send((kind, name, sensitive))
            self._line.send_bytes(_to_ipc(rows))
        except OSError as error:
            raise JudgeLost("the process ended") from error
        return self._answer()

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        self._line.close()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def _answer(self) -> Any:
        try:
            said, answer = self._line.recv()
        except (EOFError, OSError) as error:
            stopping.check()
            raise JudgeLost("the process ended") from error
        if said == "failed":
            raise JudgeLost(answer)
        return answer


def run_judge(handle: int) -> None:
    """The process's life: it is told the suites, and judges until the other side closes the line.

    Args:
        handle: file descriptor of the line, inherited.

    Runs on: a child of the driver.
    """
    # The driver decides what Ctrl-C means, and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Imports make a million objects that all stay: looking for garbage took a sixth of the time.
    gc.disable()
    # Without these the library leaves out its parts for them, which take time to import.
    for name in ("pyspark", "sqlalchemy"):
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    # The driver is done, or gone: nobody is there to be told of it.
    with Connection(handle) as line, contextlib.suppress(EOFError, ConnectionError):
        _import()
        suites: dict[str, Suite] = line.recv()
        line.send(_told(partial(_build, suites)))
        while True:
            kind, name, sensitive = line.recv()
            rows = pa.ipc.open_stream(line.recv_bytes()).read_all()
            line.send(_told(partial(_judge, rows, suites, kind, name, sensitive)))


def _import() -> None:
    from batchinfer.checks.expectations import import_library

    import_library()


def _told(work: Callable[[], Any]) -> tuple[str, Any]:
    """What goes over the line: what the work gives, or why it gives nothing."""
    try:
        return "done", work()
    except Exception as error:  # noqa: BLE001 - whatever it is, the driver must hear of it
        return "failed", f"{type(error).__name__}: {error}"


def _build(suites: Mapping[str, Suite]) -> list[str]:
    """What the library says against the arguments."""
    from batchinfer.checks.expectations import build_suite

    for kind, suite in suites.items():
        try:
            build_suite(suite, kind)
        except ConfigError as error:
            return list(error.problems)
    return []


def _judge(
    rows: pa.Table,
    suites: Mapping[str, Suite],
    kind: str,
    name: str,
    sensitive: SensitiveColumns,
) -> CheckReport:
    from batchinfer.checks.expectations import judge_rows
    from batchinfer.checks.rows_on_pandas import ArrowRows

    return judge_rows(ArrowRows(rows), suites[kind], name, sensitive)


def _to_ipc(rows: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return memoryview(sink.getvalue())
