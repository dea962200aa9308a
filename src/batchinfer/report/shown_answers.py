"""What people see of loads and of predictions made now: tables on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from batchinfer.report.safe_text import bytes_told, duration
from batchinfer.report.terminal import show_table

if TYPE_CHECKING:
    from batchinfer.command_reports import LoadReport

Body = TypeVar("Body", bound=dict[str, Any])

_COLUMNS = ["store", "status", "rows", "written", "slice", "layers", "size", "seconds", "way"]


def show_load(report: LoadReport) -> LoadReport:
    """Every store and what became of it; returns what it was given, for the JSON line."""
    rows = [
        [
            one.store,
            one.status,
            f"{one.rows:,}",
            f"{one.rows_written:,}",
            one.slice or "-",
            str(one.layers),
            bytes_told(one.bytes),
            duration(one.seconds),
            one.way,
        ]
        for one in report.stores
    ]
    show_table(f"load {report.pipeline}", _COLUMNS, rows)
    return report


def show_predicted(body: Body) -> Body:
    """A row for each prediction, and what could not be predicted."""
    results = body.get("results", [body])
    found = [one["prediction"] for one in results if one.get("prediction")]
    if found:
        columns = list(found[0])
        show_table("predicted", columns, [[str(row[name]) for name in columns] for row in found])
    if problems := body.get("errors"):
        show_table("not predicted", ["what"], [[text] for text in problems])
    return body
