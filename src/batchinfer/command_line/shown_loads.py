"""What people see of loads and services: small tables on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from batchinfer.show import show_rows

if TYPE_CHECKING:
    from batchinfer.command_reports import LoadReport


def show_load(report: LoadReport) -> LoadReport:
    """Every store and what became of it."""
    columns = ["store", "status", "rows", "rows_written", "slice", "layers", "bytes", "seconds"]
    rows = [[getattr(one, name) for name in columns] for one in report.stores]
    show_rows(f"load {report.pipeline}", columns, rows)
    return report
