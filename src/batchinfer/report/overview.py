"""How several pipelines came off, a line each: below what a command has shown of every one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.report.terminal import show_table


def show_overview(bodies: Sequence[Mapping[str, Any]]) -> None:
    """Prints a table with a row for each pipeline.

    Args:
        bodies: the JSON lines of one command, by pipeline.

    Runs on: driver. Writes to: stderr.
    """
    columns = ["pipeline", "status", "exit code", "slices", "problem"]
    rows = [
        [
            body["pipeline"],
            body.get("status", "ok"),
            body.get("exit_code", 0),
            _slices(body),
            _problem(body.get("errors") or ()),
        ]
        for body in bodies
    ]
    show_table(f"{len(bodies)} pipelines", columns, rows)


def _slices(body: Mapping[str, Any]) -> str | None:
    """How many there are of each state; of a command on one slice its name."""
    told = [one for one in body.get("slices") or () if isinstance(one, dict)]
    counts = Counter(one["status"] for one in told)
    return ", ".join(f"{count:,} {state}" for state, count in counts.items()) or body.get("slice")


def _problem(errors: Sequence[str]) -> str | None:
    if not errors:
        return None
    return errors[0] + (f" (and {len(errors) - 1:,} more)" if len(errors) > 1 else "")
