"""What every command does around its work: signals, errors, the exit code, and the one JSON line at
the end.

Owns standard output: nothing else may write to it. Shared by the command line and the jobs.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from batchinfer.credentials import without_credentials
from batchinfer.errors import BatchInferError, Interrupted

# Set for jobs that spark-submit runs.
SUBMITTED = "BATCHINFER_SUBMITTED"

# The signals that have arrived, as errors; looked at where an error of another kind comes up.
_stopped: list[Interrupted] = []


def run_command(work: Callable[[], Any], context: dict[str, Any] | None = None) -> int:
    """Runs a command's work, prints its result as the last line of stdout, and returns the exit
    code.

    Args:
        work: returns a report (anything with `to_json`), or a mapping; an `exit_code` attribute or
            key is obeyed.
        context: fields that the JSON of a failure should hold as well, such as pipeline and slice.

    Runs on: driver.
    """
    listen_for_signals()
    _stopped.clear()
    if SUBMITTED in os.environ:
        _speak_on_stderr()
    try:
        result = work()
    except KeyboardInterrupt as error:
        return _end_interrupted(
            error if isinstance(error, Interrupted) else Interrupted("interrupted by Ctrl-C"),
            context,
        )
    except BatchInferError as error:
        return report_failure(error, context)
    except Exception as error:
        if _stopped:
            # Code in C that was interrupted (an import, a callback of the JVM) may end in an error
            # of its own.
            _stopped[-1].facts |= getattr(error, "facts", {})
            return _end_interrupted(_stopped[-1], context)
        print(without_credentials(traceback.format_exc()), file=sys.stderr, end="")
        return report_failure(BatchInferError(f"{type(error).__name__}: {error}"), context)
    exit_code = getattr(result, "exit_code", 0)
    body = result.to_json() if hasattr(result, "to_json") else dict(result)
    print_line({**body, "status": body.get("status", "ok"), "errors": body.get("errors", [])})
    return exit_code


def _speak_on_stderr() -> None:
    """Gives a job the standard error of spark-submit: Spark merges that of its Python into standard
    output.
    """
    try:
        real = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        # Not Linux, or a socket: tables and errors then stand before the JSON line.
        print(
            f"batchinfer: standard error stays merged into standard output ({error})",
            file=sys.stderr,
        )
        return
    os.dup2(real, sys.stderr.fileno())
    os.close(real)


def _end_interrupted(stopped: Interrupted, context: dict[str, Any] | None) -> int:
    _ignore_signals()
    _stop_spark()
    return report_failure(stopped, context)


def report_failure(error: BatchInferError, context: dict[str, Any] | None = None) -> int:
    """Shows an error to people on stderr and to machines as the JSON line; returns its exit
    code.
    """
    from batchinfer.report.terminal import show_error

    show_error(error)
    status = "interrupted" if isinstance(error, Interrupted) else "failed"
    facts = {**(context or {}), **error.facts}
    told = {
        name: without_credentials(fact) if isinstance(fact, str) else fact
        for name, fact in facts.items()
    }
    body = {**told, "status": status, "exit_code": error.exit_code, "errors": list(error.problems)}
    print_line(body | ({"hint": error.hint} if error.hint else {}))
    return error.exit_code


def print_line(body: dict[str, Any]) -> None:
    """Writes the last line of stdout."""
    sys.stdout.write(json.dumps(body, default=str) + "\n")
    sys.stdout.flush()


def listen_for_signals() -> None:
    """SIGINT and SIGTERM end the work through `Interrupted`, so that leases are released and staged
    files removed.
    """

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        name, code = ("Ctrl-C", 130) if number == signal.SIGINT else ("SIGTERM", 143)
        # What py4j and Spark say of the calls that now break off is no news.
        logging.disable(logging.CRITICAL)
        _stopped.append(
            Interrupted(
                f"interrupted by {name}: what was committed stands, and nothing else",
                exit_code=code,
            )
        )
        raise _stopped[-1]

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)


def _ignore_signals() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stop_spark() -> None:
    """Ends what runs in Spark; the JVM goes with this process."""
    pyspark = sys.modules.get("pyspark")
    context = getattr(getattr(pyspark, "SparkContext", None), "_active_spark_context", None)
    if context is None:
        return
    try:
        context.setLogLevel("OFF")
        context.cancelAllJobs()
    except Exception as error:
        # The JVM got the same Ctrl-C and may be gone already: then there is nothing left to cancel.
        print(f"batchinfer: Spark had stopped already ({type(error).__name__})", file=sys.stderr)


def leave(exit_code: int) -> NoReturn:
    """Ends the process at once: what matters is committed, and stopping the JVM politely costs a
    second.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)
