"""Where the time of a run went, and the one sentence on what bounds it.

Owns which stage is part of which: `read`, `encode`, `forward`, … are seconds of workers, added up
over tasks, and happen inside `inference`; everything else is wall time of the driver. Knows nothing
of pages.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from batchinfer.report.safe_text import duration

INFERENCE = "inference"
OTHER = "other"

WORKER_STAGES = (
    "load",
    "compile",
    "read",
    "fingerprint",
    "encode",
    "forward",
    "decode",
    "child",
    "exchange",
    "lookup",
    "write",
    "engine",
    "idle",
)

_MEANING: Mapping[str, str] = {
    "session": "the start of Spark",
    "load": "loading the model in each worker: few rows a task, or a large model",
    "compile": "compiling the model, which each worker does once: the next run is given what this "
    "one compiled",
    "read": "reading the input files: storage, or many columns",
    "fingerprint": "hashing the inputs",
    "encode": "the transforms, which run on the CPU",
    "forward": "the model itself",
    "decode": "turning the model's output into columns",
    "child": "processes apart, which tasks that are tried again score in: started anew after a row "
    "that hangs or crashes",
    "exchange": "bringing equal rows together",
    "lookup": "looking for rows that were published, and carrying them over",
    "write": "writing the prediction files",
    "engine": "cutting batches and judging what comes out of the model",
    "idle": "workers without work: too few tasks, uneven ones, or the time it takes to start them",
    "index": "reading and sorting the published rows that may be carried over",
    "keys": "the search for keys that repeat",
    "prepare": "planning the table transforms",
    "checks": "the checks of the data, not the model",
    "commit": "the commit to the table: storage, or a busy table",
    "quarantine": "writing the quarantine",
    OTHER: "what surrounds the work: starting Spark, planning, scheduling",
}
_USES = ("computing", "input", "output")
# A stage bounds a run if it takes this share of it; inference, which is many stages, must take most
# of the run.
_BOUND, _MOST = 0.4, 0.5


@dataclass(frozen=True)
class Segment:
    """One stage of a stacked bar; `start` and `share` are fractions of the bar."""

    name: str
    seconds: float
    start: float
    share: float


@dataclass(frozen=True)
class Timing:
    """The bars of a report and its sentence.

    Attributes:
        wall: driver's wall time, in the order of the run; what no stage accounts for is `other`.
        workers: seconds of the workers inside inference, added up over tasks.
        sentence: what bounds the run, in words.
    """

    wall: tuple[Segment, ...]
    workers: tuple[Segment, ...]
    sentence: str


def explain_time(
    stage_seconds: Mapping[str, float], seconds: float, tasks: Sequence[Mapping[str, Any]] = ()
) -> Timing:
    """Splits the stages of a run into wall time and workers' time, and says what bounds it.

    Args:
        stage_seconds: seconds of each stage, by name.
        seconds: wall time of the run; 0 where it is not known.
        tasks: `{seconds, …}` of each task of the inference, to tell uneven tasks.
    """
    known = {name: float(value) for name, value in stage_seconds.items() if value > 0}
    # Without the wall time of inference there is nothing that the workers' stages are part of.
    workers = (
        {name: known[name] for name in WORKER_STAGES if name in known} if INFERENCE in known else {}
    )
    wall = {name: value for name, value in known.items() if name not in workers}
    rest = seconds - sum(wall.values())
    if rest > 0.01 * seconds:
        wall[OTHER] = rest
    sentence = _sentence(wall, workers, tasks) + _of_devices(tasks) + _of_faults(tasks)
    return Timing(_segments(wall), _segments(workers), sentence)


def device_use(tasks: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Of each device, the shares of its tasks' time that it computed, and that it waited for
    `input` and `output`.

    What is left it waited for the model to be loaded or compiled, and for tasks to begin and end.

    Args:
        tasks: `{seconds, use: {device, computing, input, output}}`, seconds; those without `use` do
            not count.
    """
    whole: defaultdict[str, float] = defaultdict(float)
    parts: dict[str, Counter[str]] = {}
    for task in tasks:
        if use := task.get("use"):
            whole[use["device"]] += float(task["seconds"])
            parts.setdefault(use["device"], Counter()).update(
                {name: float(use[name]) for name in _USES}
            )
    return {
        device: {name: round(seconds[name] / whole[device], 4) for name in _USES}
        for device, seconds in parts.items()
        if whole[device] > 0
    }


def told_use(shares: Mapping[str, float]) -> str:
    """The shares of one device in words."""
    computing, rows, output = (f"{shares[name]:.0%}" for name in _USES)
    return (
        f"computed {computing} of the tasks' time, waited {rows} for rows and {output} for output"
    )


def _of_devices(tasks: Sequence[Mapping[str, Any]]) -> str:
    """What GPUs did: of a CPU the stages say it."""
    found = {
        device: shares
        for device, shares in device_use(tasks).items()
        if not device.startswith(("cpu", "processes"))
    }
    return "".join(f" {device} {told_use(shares)}." for device, shares in found.items())


def _segments(stages: Mapping[str, float]) -> tuple[Segment, ...]:
    whole, start, segments = sum(stages.values()), 0.0, []
    for name, value in stages.items():
        segments.append(Segment(name, value, start, value / whole))
        start += value / whole
    return tuple(segments)


def _sentence(
    wall: Mapping[str, float], workers: Mapping[str, float], tasks: Sequence[Mapping[str, Any]]
) -> str:
    if not wall:
        return "No stage was timed."
    name = max(wall, key=lambda stage: wall[stage])
    share = wall[name] / sum(wall.values())
    if name == INFERENCE and workers:
        return _of_workers(wall[name], share, workers) + _of_tasks(tasks)
    if share < _BOUND:
        return (
            f"No single stage bounds this run: the longest, {name}, took "
            f"{_part(wall[name], share)}."
        )
    return (
        f"This run is bound by {_MEANING.get(name, name)}: {name} took {_part(wall[name], share)}."
    )


def _part(seconds: float, share: float) -> str:
    return f"{duration(seconds)} ({share:.0%} of the wall time)"


def _of_workers(seconds: float, share: float, workers: Mapping[str, float]) -> str:
    name = max(workers, key=lambda stage: workers[stage])
    part = workers[name] / sum(workers.values())
    took = f"took {part:.0%} of the workers' time"
    if name == "idle":
        took = f"left the workers without work for {part:.0%} of their time"
    if share < _MOST:
        return (
            f"Inference is the longest part of this run, {_part(seconds, share)}; inside it "
            f"the longest stage, {name}, {took}."
        )
    if part < _BOUND:
        return (
            f"Inference took {_part(seconds, share)}; inside it no single stage stands out: "
            f"the longest, {name}, {took}."
        )
    return (
        f"This run is bound by {_MEANING.get(name, name)}: inference took "
        f"{_part(seconds, share)}, and inside it {name} {took}."
    )


def _of_tasks(tasks: Sequence[Mapping[str, Any]]) -> str:
    times = sorted(float(task["seconds"]) for task in tasks if task.get("seconds") is not None)
    if len(times) < 3 or times[-1] < 2 * median(times) or times[-1] < 1:
        return ""
    return (
        f" The tasks are uneven: the slowest took {duration(times[-1])}, the middle one "
        f"{duration(median(times))}."
    )


def _of_faults(tasks: Sequence[Mapping[str, Any]]) -> str:
    """What the search for rows that failed cost, where it was more than a tenth of the forward
    passes.
    """
    batches, attempts, children = (
        sum(int(task.get(name, 0)) for task in tasks)
        for name in ("batches", "attempts", "children")
    )
    if attempts - batches <= 0.1 * batches:
        return ""
    apart = f", in {children} processes one after another" if children > 1 else ""
    return (
        f" Rows that failed were searched for: {attempts:,} forward passes for {batches:,} "
        f"batches{apart}."
    )
