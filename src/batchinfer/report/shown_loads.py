"""What people see of a load: a table on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.report.safe_text import bytes_told, duration
from batchinfer.report.terminal import show_table

if TYPE_CHECKING:
    from batchinfer.command_reports import LoadReport

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
