"""The pages that are made from the code, and how each is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from reference_pages.pipeline_page import pipeline_page
from reference_pages.python_page import python_page
from reference_pages.tables_page import tables_page

from batchinfer.checks.known_expectations import record_text
from batchinfer.command_line.file_schema import schema_text

ROOT = Path(__file__).resolve().parents[2]
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/pipeline-file.md": pipeline_page,
    "docs/pipeline.schema.json": schema_text,
    "docs/tables.md": tables_page,
    "docs/python.md": python_page,
    "src/batchinfer/checks/known_arguments.json": record_text,
}
