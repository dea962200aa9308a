"""The text file that Prometheus' node exporter reads: one a pipeline, with the figures of the last
run of each command.

Owns the form of the text, and that a reader never sees half a file: it is written beside the former
one and put in its place. What the former file says of other commands, and of the last success of a
command that has failed since, is taken over; runs of one pipeline that end together wait for each
other.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batchinfer.observability.collector_post import NotReceived
from batchinfer.observability.run_metrics import LAST_SUCCESS, METRICS, Figure

_BY_NAME = {metric.name: metric for metric in METRICS}
_OWNER = "# lake: "
_LINE = re.compile(r"(?P<name>[a-z_]+)\{(?P<labels>.*)\} (?P<value>[0-9.e+-]+)")
_LABEL = re.compile(r'(?P<name>[a-z_]+)="(?P<value>(?:[^"\\]|\\.)*)"(?:,|$)')
_ESCAPED = {"\\": "\\\\", "\n": "\\n", '"': '\\"'}
_UNESCAPED = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}
_LOOKS_S = 0.02


@dataclass(frozen=True)
class MetricsFile:
    """The file of one pipeline.

    Attributes:
        folder: that of the textfile collector.
        lake: where the pipeline's tables are: pipelines of other lakes have other figures.
    """

    folder: Path
    pipeline: str
    lake: str

    @property
    def path(self) -> Path:
        return self.folder / f"batchinfer_{self.pipeline}.prom"

    def update(self, command: str, figures: Sequence[Figure], limit_s: float) -> None:
        """Puts the figures of a run in the place of those of the command's run before.

        Args:
            limit_s: how long it waits for another run of the pipeline that writes right now.

        Runs on: driver.

        Raises:
            NotReceived: the folder is missing or cannot be written, the file is of another lake, or
                another run did not let go of it.
        """
        try:
            with self._alone(limit_s):
                former, is_whole = self._former()
                self._write([*_kept(former, command, figures), *figures])
        except OSError as error:
            raise NotReceived(f"{self.path}: {error.strerror or error}") from error
        if not is_whole:
            raise NotReceived(
                f"{self.path} is written, but the former file had lines that no build of "
                "batchinfer writes: what it said of other runs and of the last success is gone"
            )

    @contextmanager
    def _alone(self, limit_s: float) -> Generator[None]:
        until = time.monotonic() + limit_s
        # Hidden, and of another ending than the files that the node exporter reads.
        lock = os.open(self.folder / f".batchinfer_{self.pipeline}.lock", os.O_RDWR | os.O_CREAT)
        try:
            while not _locked(lock):
                if time.monotonic() > until:
                    raise NotReceived(f"{self.path}: another run is writing it")
                time.sleep(_LOOKS_S)
            yield
        finally:
            os.close(lock)

    def _former(self) -> tuple[list[Figure], bool]:
        """What the file says, and whether all of it could be read."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return [], True
        except UnicodeDecodeError:
            return [], False
        lines = text.splitlines()
        owners = [line.removeprefix(_OWNER) for line in lines if line.startswith(_OWNER)]
        if owners and owners != [_of_one_line(self.lake)]:
            raise NotReceived(
                f"{self.path} has the figures of a pipeline of the same name in the lake "
                f"{owners[0]}, and this run's are of {self.lake}; allowed: a folder for each, "
                "observability.prometheus.folder"
            )
        read = [_read(line) for line in lines if line and not line.startswith("#")]
        return [figure for figure in read if figure is not None], bool(owners) and None not in read

    def _write(self, figures: Iterable[Figure]) -> None:
        new = self.folder / f".batchinfer_{self.pipeline}.new"
        with open(new, "w", encoding="utf-8") as file:
            # The node exporter is another user.
            os.fchmod(file.fileno(), 0o644)
            file.write(f"{_OWNER}{_of_one_line(self.lake)}\n")
            file.write(metrics_text(figures))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)


def metrics_text(figures: Iterable[Figure]) -> str:
    """The figures in the text form of Prometheus: each metric once, with its help and its type.

    Source: Prometheus, exposition formats, text-based format 0.0.4.
    """
    found, lines = list(figures), list[str]()
    for metric in METRICS:
        own = [figure for figure in found if figure.metric is metric]
        if own:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} gauge"]
        lines += [f"{metric.name}{{{_labels(figure)}}} {figure.value!r}" for figure in own]
    return "".join(f"{line}\n" for line in lines)


def _kept(former: Iterable[Figure], command: str, new: Sequence[Figure]) -> list[Figure]:
    """What the former file says that the run says nothing of."""
    told = {(figure.metric.name, figure.labels) for figure in new}
    return [
        figure
        for figure in former
        if (figure.metric.name, figure.labels) not in told
        and (figure.command != command or figure.metric is LAST_SUCCESS)
    ]


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _labels(figure: Figure) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in figure.labels)


def _escaped(value: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in value)


def _of_one_line(text: str) -> str:
    return " ".join(text.split())


def _read(line: str) -> Figure | None:
    """A line that this file's `metrics_text` wrote; None: it is another one."""
    match = _LINE.fullmatch(line)
    metric = _BY_NAME.get(match["name"]) if match else None
    if match is None or metric is None:
        return None
    labels = tuple(
        (one["name"], re.sub(r"\\.", lambda pair: _UNESCAPED.get(pair[0], pair[0]), one["value"]))
        for one in _LABEL.finditer(match["labels"])
    )
    try:
        value = float(match["value"])
    except ValueError:
        return None
    return Figure(metric, labels, int(value) if value.is_integer() else value)
