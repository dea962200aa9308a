"""What every command does around its work: signals, errors, the exit code, and the one JSON line at
the end.

Owns standard output: nothing else can write to it. On an interactive terminal the line is written
only where it is asked for: people read what stands on standard error. Shared by the command line
and the jobs.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Generator
from typing import Any, NoReturn, TextIO, cast

from batchinfer import stopping
from batchinfer.credentials import IDENTIFIERS, told_without_secrets, without_credentials
from batchinfer.errors import BatchInferError, Interrupted
from batchinfer.hints import hint_fields
from batchinfer.scratch import remove_folders

# Set for jobs that spark-submit runs: the file that their JSON line goes into.
SUBMITTED = "BATCHINFER_SUBMITTED"

# Where the JSON line goes while standard output is kept for it; None: to standard output.
_line_out: int | None = None
# Whether an interactive terminal gets the line too (`--json`).
_line_asked = False

_CHILDREN_END_S = 2.0
# Why standard error could not be written, once it could not.
_stderr_lost: list[OSError] = []
# What is told of a run that came to its end although it was to stop.
_RUN = ("run_id", "pipeline", "slice")


class _Told:
    """Standard error, for whose sake no run ends: its disk may be full, or nobody reads it. What is
    lost is said in the JSON line.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            _stderr_lost.append(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            _stderr_lost.append(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def stdout_for_the_line(asked: bool = False) -> Generator[None]:
    """Keeps standard output for the JSON line alone: what a model, its libraries in C, the JVM and
    every other child process write to it reaches standard error.

    Args:
        asked: the line is written on an interactive terminal too.

    In a job that spark-submit runs, the line goes into a file that `submit` prints. There standard
    output and standard error are one, and what the JVM has not passed on when it ends is lost.
    """
    global _line_out, _line_asked
    place = os.environ.pop(SUBMITTED, None)
    if place is not None:
        _speak_on_stderr()
    _flush(sys.stdout)
    before = _copy_of(1)
    kept = before if place is None else os.open(place, os.O_WRONLY | os.O_APPEND)
    os.dup2(2, 1)
    _line_out, _line_asked = kept, asked
    # Python has none where the caller closed it; what it is open on now swallows all.
    open_again = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    told = cast("TextIO", _Told(open_again))
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            yield
    finally:
        _flush(sys.__stdout__)
        _line_out, _line_asked = None, False
        os.dup2(before, 1)
        for number in {before, kept}:
            os.close(number)


def _copy_of(number: int) -> int:
    """A copy of a file descriptor, which child processes do not get; where nobody listens, one that
    swallows all. `number` and standard error are open afterwards.
    """
    for each in (number, 2):
        try:
            os.fstat(each)
        except OSError:
            # Closed by the caller (`>&-`). A table's file must not be opened under this number.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            if nowhere != each:
                os.dup2(nowhere, each)
                os.close(nowhere)
    return os.dup(number)


def _speak_on_stderr() -> None:
    """Gives a job the standard error of spark-submit: Spark merges that of its Python into standard
    output, and copies it in a thread that it does not wait for.
    """
    try:
        real = os.open(f"/proc/{os.getppid()}/fd/2", os.O_WRONLY | os.O_APPEND)
    except OSError:
        # Not Linux, or a socket: Spark's copy ends in the same place.
        return
    os.dup2(real, 2)
    os.close(real)


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        stream.flush()


def run_command(work: Callable[[], Any], context: dict[str, Any] | None = None) -> int:
    """Runs a command's work, prints its result as the last line of stdout, and returns the exit
    code.

    Args:
        work, context: as those of `run_work`.

    Runs on: driver.
    """
    exit_code, body = run_work(work, context)
    print_line(body)
    return exit_code


def run_work(
    work: Callable[[], Any], context: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any]]:
    """Runs a command's work; returns the exit code and the fields of its JSON line.

    Args:
        work: returns a report (anything with `to_json`), or a mapping; an `exit_code` attribute or
            key is obeyed.
        context: fields that the JSON of a failure should hold as well, such as pipeline and slice;
            the work may add to them.

    Runs on: driver.
    """
    stopping.listen()
    try:
        try:
            result = work()
        finally:
            # A signal that comes from here on would end in a second line.
            stopping.stop_listening()
    except Interrupted as error:
        return _end_interrupted(error, context)
    except KeyboardInterrupt:
        return _end_interrupted(Interrupted("interrupted by Ctrl-C"), context)
    except Exception as error:
        if stopped := stopping.asked():
            # Code in C that was interrupted (an import, a callback of the JVM) may end in an error
            # of its own.
            stopped.facts |= getattr(error, "facts", {})
            return _end_interrupted(stopped, context)
        if isinstance(error, BatchInferError):
            return _failure(error, context)
        print(without_credentials(traceback.format_exc()), file=sys.stderr, end="")
        return _failure(BatchInferError(f"{type(error).__name__}: {error}"), context)
    body = result.to_json() if hasattr(result, "to_json") else dict(result)
    if stopped := stopping.asked():
        # Code of others swallowed it, and the work went on to its end.
        stopped.facts |= {name: body[name] for name in _RUN if body.get(name)}
        return _end_interrupted(stopped, context)
    exit_code = getattr(result, "exit_code", 0)
    return exit_code, {
        **body,
        "status": body.get("status", "ok"),
        "errors": body.get("errors", []),
    }


def report_interrupted() -> int:
    """How a command ends that a signal met before its work began."""
    stopping.stop_listening()
    return report_failure(stopping.asked() or Interrupted("interrupted by Ctrl-C"))


def _end_interrupted(
    stopped: Interrupted, context: dict[str, Any] | None
) -> tuple[int, dict[str, Any]]:
    """Says so once nothing that this process has started goes on."""
    if "pyspark" in sys.modules:
        from batchinfer.spark.jvm import cancel_jobs, end_children

        cancel_jobs()
        end_children(_CHILDREN_END_S)
    if "batchinfer.lake.orphans" in sys.modules:
        from batchinfer.lake.orphans import remove_interrupted

        remove_interrupted()
    return _failure(stopped, context)


def report_failure(
    error: BatchInferError | Interrupted, context: dict[str, Any] | None = None
) -> int:
    """Shows an error to people on stderr and to machines as the JSON line; returns its exit
    code.
    """
    exit_code, body = _failure(error, context)
    print_line(body)
    return exit_code


def _failure(
    error: BatchInferError | Interrupted, context: dict[str, Any] | None
) -> tuple[int, dict[str, Any]]:
    from batchinfer.report.terminal import show_error

    show_error(error)
    status = "interrupted" if isinstance(error, Interrupted) else "failed"
    facts = {**(context or {}), **error.facts}
    told = {
        name: without_credentials(fact) if isinstance(fact, str) else fact
        for name, fact in facts.items()
    }
    body = {**told, "status": status, "exit_code": error.exit_code, "errors": list(error.problems)}
    return error.exit_code, body | hint_fields(error.hint)


def print_line(body: dict[str, Any]) -> None:
    """Writes the last line of stdout, where `tell` does."""
    if _stderr_lost:
        lost = (
            f"standard error could not be written, and what it was told is lost: {_stderr_lost[0]}"
        )
        body = {**body, "warnings": [*body.get("warnings", ()), lost]}
    tell(json.dumps(told_without_secrets(body, IDENTIFIERS), default=str) + "\n")


def print_script(text: str) -> None:
    """Writes text for a shell to standard output, which then has no JSON line."""
    _write(text + "\n")


def tell(line: str) -> None:
    """Writes a JSON line to standard output as it is; not to an interactive terminal that did not
    ask for it.
    """
    terminal = sys.stdout.isatty() if _line_out is None else os.isatty(_line_out)
    if terminal and not _line_asked:
        return
    try:
        _write(line)
    except OSError as error:
        # Nobody reads it any more, or its disk is full: what was done stands all the same.
        print(f"batchinfer: the JSON line is lost ({error}): {line}", file=sys.stderr, end="")


def _write(text: str) -> None:
    if _line_out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with os.fdopen(_line_out, "w", encoding="utf-8", closefd=False) as out:
        out.write(text)


def end_command(work: Callable[[], Any], **facts: Any) -> NoReturn:
    """Runs a command's work as `run_command` does, and ends the process with its exit code.

    Args:
        facts: fields that the JSON of a failure should hold as well; None: it has no such field.
    """
    leave(run_command(work, {name: value for name, value in facts.items() if value is not None}))


def leave(exit_code: int) -> NoReturn:
    """Ends the process at once: what matters is committed, and stopping the JVM politely costs a
    second.
    """
    remove_folders()
    for stream in (sys.__stdout__, sys.stdout, sys.stderr):
        _flush(stream)
    os._exit(exit_code)
