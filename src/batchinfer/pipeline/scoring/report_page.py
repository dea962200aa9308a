"""The page of a run, and its JSON beside it: written where the environment keeps reports."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchinfer.credentials import IDENTIFIERS, told_without_secrets


def save_report(run: Mapping[str, Any], extra: Mapping[str, Any], folder: str) -> str:
    """Writes a run's page, and its JSON beside it; returns the place of the page.

    Args:
        run, extra: as `report.html.write_report` takes them; `report` of the run is set.
        folder: path or URI.

    Runs on: driver.

    Raises:
        StorageError: the folder cannot be written.
    """
    from batchinfer.lake.table_places import (
        local_path,
        open_filesystem,
        plain_place,
        storage_faults,
    )
    from batchinfer.report.html import write_report

    local = local_path(folder)
    place = f"{plain_place(folder)}/{run['run_id']}.html"
    body = told_without_secrets({**run, "report": place}, IDENTIFIERS)
    extra = told_without_secrets(dict(extra), IDENTIFIERS)
    if local is not None:
        write_report(body, extra, local)
        return place
    filesystem, root = open_filesystem(folder)
    with tempfile.TemporaryDirectory(prefix="batchinfer-report-") as scratch:
        page = write_report(body, extra, Path(scratch))
        # The page last: it is what is looked for.
        for path in (page.with_suffix(".json"), page):
            with (
                storage_faults(f"{folder}/{path.name}", "write the report"),
                filesystem.open_output_stream(f"{root}/{path.name}") as sink,
            ):
                sink.write(path.read_bytes())
    return place
