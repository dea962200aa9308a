"""What people see on the terminal: tables, errors, progress. All of it goes to stderr; stdout
belongs to the JSON line.

rich is imported only when something is shown. Knows nothing of what a command does.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from batchinfer.errors import BatchInferError, Interrupted
from batchinfer.hints import CommandLine, commands_of, parts_of
from batchinfer.report.safe_text import duration, showable

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN_WIDTH = 160
_EVERY_S = 10.0
_MOMENT_S = 1.0
# What takes as long has its duration told when it ends.
_LONG_S = 2.0
# Bars that are shown now: a line that is written past rich would stand in the middle of one.
_bars: list[str] = []


class Advance(Protocol):
    """Tells a progress display that so many more units are done."""

    def __call__(self, done: int = 1, /, note: str = "") -> None:
        """Counts units as done; a note stands behind the counts until there is another."""
        ...


def show_line(line: str) -> None:
    """One line to whoever waits. Writes to: stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _console() -> Console:
    from rich.console import Console

    # A pipe has no width of its own, and rich's default of 80 would cut tables in a log.
    return Console(
        stderr=True, highlight=False, width=None if sys.stderr.isatty() else _PLAIN_WIDTH
    )


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table; numbers stand right, None is a dash. Cells are shown as they are, never read
    as markup.

    Runs on: driver. Writes to: stderr.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(showable(title), style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    body = [list(row) for row in rows]
    for position, column in enumerate(columns):
        values = [row[position] for row in body if row[position] is not None]
        numeric = bool(values) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )
        table.add_column(
            Text(showable(column)), justify="right" if numeric else "left", overflow="fold"
        )
    for row in body:
        table.add_row(*[Text(_cell(value)) for value in row])
    console = _console()
    console.print(table)
    if not body:
        console.print(Text("  none"))


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return rounded(value)
    return showable(str(value))


def rounded(value: float) -> str:
    """A number with four digits that tell something; a large one whole, with its thousands."""
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def show_error(error: BatchInferError | Interrupted) -> None:
    """Prints every problem of an error, and its hint where it has one.

    Runs on: driver. Writes to: stderr.
    """
    from rich.text import Text

    console = _console()
    problems = [showable(problem) for problem in error.problems]
    if len(problems) > 1:
        console.print(Text(f"{len(problems)} problems:", style="bold red"), soft_wrap=True)
    for problem in problems:
        # Soft wrap: places such as file:line:column stay whole, so that terminals can make links of
        # them.
        mark = "- " if len(problems) > 1 else "Error: "
        console.print(Text.assemble((mark, "bold red"), problem), soft_wrap=True)
    if error.hint:
        show_hint(error.hint)


def show_hint(hint: str, name: str = "Hint") -> None:
    """Prints a hint. Each of its commands has a line of its own, which can be pasted whole.

    Runs on: driver. Writes to: stderr.
    """
    from rich.text import Text

    console = _console()
    parts = parts_of(hint) if commands_of(hint) else (hint,)
    # What stands on the line that is not ended yet.
    line, begun = Text.assemble((f"{name}:", "bold cyan"), " "), False
    for part in parts:
        if isinstance(part, CommandLine):
            line.rstrip()
            console.print(line, soft_wrap=True)
            console.print(Text(f"  {showable(part)}"), soft_wrap=True)
            line, begun = Text(), True
        else:
            line.append(showable(part.lstrip(" ,;:") if begun else part))
    if line.plain.strip():
        console.print(line, soft_wrap=True)


@contextlib.contextmanager
def step(what: str) -> Generator[None]:
    """Says on a terminal what is going on, if the block takes longer than a moment, and how long it
    took, if that was longer than two seconds. A log has the lines of `progress`, and no use for
    this one.

    Args:
        what: such as `starting Spark`.

    Runs on: driver. Writes to: stderr.
    """
    if not _is_terminal():
        yield
        return
    console, started = os.dup(2), time.monotonic()

    def tell() -> None:
        if not _bars:
            os.write(console, f"{showable(what)}…\n".encode())

    line = threading.Timer(_MOMENT_S, tell)
    line.daemon = True
    line.start()
    try:
        yield
    finally:
        line.cancel()
        line.join()
        os.close(console)
    if (seconds := time.monotonic() - started) >= _LONG_S:
        show_line(f"{showable(what)}: {duration(seconds)}")


@contextlib.contextmanager
def progress(description: str, total: int | None, unit: str = "") -> Generator[Advance]:
    """Shows how far something is while the block runs; yields the function that counts units as
    done.

    On a terminal a bar, and a line with its counts and its duration once it is gone, if it took
    longer than two seconds; elsewhere a plain line at most every ten seconds, and none for work
    that is done before that. The yielded function may be called from any thread.

    Args:
        description: what is going on.
        total: units in all, or None if that is not known.
        unit: what is counted, such as `rows`.

    Runs on: driver. Writes to: stderr.
    """
    if _is_terminal():
        counted = ProgressLines(description, total, unit, write=show_line, every_s=math.inf)
        with _bar(description, total, unit) as advance:

            def count(done: int = 1, /, note: str = "") -> None:
                counted.advance(done, note=note)
                advance(done, note=note)

            yield count
        counted.finish(_LONG_S)
        return
    lines = ProgressLines(description, total, unit, write=show_line)
    try:
        yield lines.advance
    finally:
        lines.finish()


@contextlib.contextmanager
def _shown(bar: str) -> Generator[None]:
    """Takes note of a bar while it is shown."""
    _bars.append(bar)
    try:
        yield
    finally:
        _bars.remove(bar)


@contextlib.contextmanager
def _bar(description: str, total: int | None, unit: str) -> Generator[Advance]:
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            counts = f"{int(task.completed):,}" + (
                f"/{int(task.total):,}" if task.total is not None else ""
            )
            speed = f" {task.speed:,.0f}/s" if task.speed and task.speed >= 10 else ""
            return Text(f"{counts}{' ' + unit if unit else ''}{speed}", style="progress.download")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        Rate(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _shown(description), Progress(*columns, console=_console(), transient=True) as bar:
        task = bar.add_task(escape(showable(description)), total=total)

        def advance(done: int = 1, /, note: str = "") -> None:
            bar.update(
                task,
                advance=done,
                description=escape(showable(f"{description}, {note}" if note else description)),
            )

        yield advance


@dataclass
class ProgressLines:
    """Progress for logs: a line now and then, at most one in `every_s` seconds.

    Attributes:
        clock: monotonic seconds.
    """

    description: str
    total: int | None
    unit: str
    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    every_s: float = _EVERY_S
    done: int = 0
    note: str = ""
    _started: float = field(init=False)
    _shown: float = field(init=False)
    _lines: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._started = self._shown = self.clock()

    def advance(self, done: int = 1, /, note: str = "") -> None:
        """Counts units as done, and writes a line if the last one is long enough ago."""
        with self._lock:
            self.done += done
            self.note = note
            now = self.clock()
            if now - self._shown >= self.every_s:
                self._shown, self._lines = now, self._lines + 1
                self.write(self._line(now - self._started))

    def finish(self, after_s: float = math.inf) -> None:
        """Writes the last line, if there was a first one, or if it took so long."""
        with self._lock:
            seconds = self.clock() - self._started
            if self._lines or seconds >= after_s:
                self.write(
                    f"{showable(self.description)}: {self._count()} in "
                    f"{duration(seconds)}{self._rate(seconds)}"
                )

    def _count(self) -> str:
        counted = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        return f"{counted} {self.unit}".strip() + (f", {showable(self.note)}" if self.note else "")

    def _rate(self, seconds: float) -> str:
        if self.done <= 0 or seconds <= 0:
            return ""
        rate = self.done / seconds
        return f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.2g}/s"

    def _line(self, seconds: float) -> str:
        parts = [f"{showable(self.description)}: {self._count()}"]
        if self.total:
            parts.append(f" ({min(self.done / self.total, 1):.0%})")
        parts.append(self._rate(seconds))
        if self.total and 0 < self.done < self.total:
            parts.append(f", about {duration(seconds / self.done * (self.total - self.done))} left")
        return "".join(parts)
