"""The run report: what a run did, as a page that stands alone and as JSON beside it.

Owns the files `<run_id>.html` and `<run_id>.json` and how a run's JSON is arranged on the page. The
page loads nothing: style and drawings are inside it, and its own policy forbids scripts, so text
from data cannot act.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.errors import StorageError
from batchinfer.report.figures import HEIGHT, WIDTH, draw_histogram
from batchinfer.report.safe_text import counted, duration, showable
from batchinfer.report.timing import device_use, explain_time, told_use

if TYPE_CHECKING:
    from jinja2 import Environment

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_MOST_WARNINGS = 50
_TOLD = ("rows_in", "rows_scored", "rows_reused", "rows_quarantined")
# Shown elsewhere on the page, or too long for a table of facts.
_NOT_FACTS = {
    *_TOLD,
    "stage_seconds",
    "checks",
    "checks_passed",
    "checks_failed",
    "warnings",
    "errors",
    "report",
    "status",
    "pipeline",
    "slice",
}


def write_report(run: Mapping[str, Any], extra: Mapping[str, Any], folder: Path) -> Path:
    """Writes a run's page and its JSON into a folder, which is made if need be; returns the page's
    path.

    Both files appear whole or not at all. The JSON file is the run with `details` = `extra`.

    Args:
        run: the JSON of `score`, as `command_reports.RunReport.to_json` gives it.
        extra: all of it optional: `reasons` {reason: rows quarantined}; `tasks` [{seconds, rows,
            batches, attempts, largest_batch, smallest_batch, stages {stage: seconds}, use {device,
            computing, input, output}}]; `histogram` {column, edges, counts}; `lookup` (the command
            that looks up one of the rows).
        folder: where the reports are.

    Runs on: driver.

    Raises:
        ValueError: a run id that is no file name.
        StorageError: the folder cannot be written.
    """
    run_id = str(run["run_id"])
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run id {run_id!r} cannot name a file; allowed: letters, digits, dot, dash and "
            "underscore"
        )
    page = render_report(run, extra)
    data = json.dumps(_finite({**run, "details": extra}), indent=2, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / f"{run_id}.json", data + "\n")
        return _write(folder / f"{run_id}.html", page)
    except OSError as error:
        raise StorageError(
            f"the run report could not be written to {folder}: {error.strerror or error}"
        ) from error


def render_report(run: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """The page of a run, as HTML."""
    run, extra = _finite({"seconds": None, **run}), _finite(extra)
    tasks = list(extra.get("tasks") or ())
    return _environment().get_template("run.html.j2").render(
        run=run,
        rows={name: int(run.get(name) or 0) for name in _TOLD},
        conserved=_is_conserved(run),
        timing=explain_time(run.get("stage_seconds") or {}, float(run.get("seconds") or 0), tasks),
        histogram=draw_histogram(extra.get("histogram")),
        size={"width": WIDTH, "height": HEIGHT},
        checks=_checks(run.get("checks") or ()),
        reasons=sorted((extra.get("reasons") or {}).items(), key=lambda item: (-item[1], item[0])),
        batches=_batches(run, tasks),
        warnings=_warnings(run.get("warnings") or ()),
        errors=[str(error) for error in run.get("errors") or ()],
        facts=[(name, value) for name,
        value in run.items() if name not in _NOT_FACTS and value not in (None, "", [], {})],
        lookup=extra.get("lookup"),
    )  # fmt: skip


def _is_conserved(run: Mapping[str, Any]) -> bool:
    rows_in, *parts = (int(run.get(name) or 0) for name in _TOLD)
    return rows_in == sum(parts)


def _checks(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the checks table: what was checked, by which suite, and what was found."""
    rows = []
    for result in results:
        message = str(result.get("message") or "")
        # The message starts with the rule; the table shows the rule in a column of its own.
        rule, _, found = message.partition(": ")
        rows.append(
            {
                "suite": result.get("suite"),
                "success": bool(result["success"]),
                "rule": rule or result["expectation"],
                "found": found,
            }
        )
    return rows


def _batches(run: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Facts about batches and tasks, added up over tasks; memory and time, and how far off the
    estimate was.
    """
    batches = sum(int(task.get("batches") or 0) for task in tasks)
    if not batches:
        return []
    rows = sum(int(task.get("rows") or 0) for task in tasks)
    smallest = [int(task["smallest_batch"]) for task in tasks if task.get("smallest_batch")]
    largest = [int(task["largest_batch"]) for task in tasks if task.get("largest_batch")]
    retried = sum(int(task.get("attempts") or 0) for task in tasks) - batches
    facts = [
        ("Batches", f"{batches:,}, in {counted(len(tasks), 'task')}"),
        ("Rows a batch", f"{rows / batches:,.0f} on average"),
    ]
    if smallest and largest:
        facts.append(("Smallest and largest", f"{min(smallest):,} and {max(largest):,} rows"))
    if retried > 0:
        facts.append(("Extra attempts", f"{retried:,}, to find failing rows or a batch that fits"))
    times = [float(task["seconds"]) for task in tasks if task.get("seconds") is not None]
    if times:
        facts.append(("Tasks took", f"{duration(min(times))} to {duration(max(times))}"))
    facts += [(device, told_use(shares)) for device, shares in device_use(tasks).items()]
    if run.get("worker_bytes"):
        facts.append(("Memory of a worker", f"{run['worker_bytes'] / 2**20:,.0f} MiB at most"))
    if run.get("estimated_s") and run.get("seconds"):
        off = run["seconds"] / run["estimated_s"] - 1
        facts.append(
            (
                "Estimated before",
                f"{duration(run['estimated_s'])}; it took {abs(off):.0%} "
                f"{'more' if off >= 0 else 'less'}",
            )
        )
    return facts


def _warnings(warnings: Sequence[Any]) -> list[str]:
    shown = [str(warning) for warning in warnings[:_MOST_WARNINGS]]
    left = len(warnings) - len(shown)
    return [*shown, f"… and {left:,} more, in the JSON beside this page"] if left else shown


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("batchinfer", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: showable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": duration, "number": _number}
    return environment


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _finite(value: Any) -> Any:
    """The value in JSON's own types; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _write(path: Path, text: str) -> Path:
    """Writes beside the file and renames, so that a reader never sees half a report."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        # mkstemp makes a file that only its owner reads; a report is for everyone who may read the
        # folder.
        umask = os.umask(0)
        os.umask(umask)
        Path(partial).chmod(0o666 & ~umask)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return path
