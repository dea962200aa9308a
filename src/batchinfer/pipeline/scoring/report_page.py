"""The page of a run, and its JSON beside it: written where the environment keeps reports; and the
distribution of the scores that it shows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchinfer.contracts import DataFile, StagedFile
from batchinfer.credentials import IDENTIFIERS, told_without_secrets

_BINS = 20
_MOST_ROWS = 2_000_000


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


def score_histogram(
    table: str, files: Sequence[StagedFile | DataFile], outputs: Mapping[str, str]
) -> dict[str, Any] | None:
    """Counts of the first double output in equal bins, from the first files of at most two million
    rows.

    Runs on: driver.

    Returns:
        {column, edges: n + 1 floats, counts: n ints}, or None where no output is a double.
    """
    import numpy as np

    from batchinfer.lake.staged_files import read_staged

    column = next((name for name, type_ in outputs.items() if type_ == "double"), None)
    if column is None or not files:
        return None
    parts, rows = [], 0
    for file in files:
        if rows >= _MOST_ROWS:
            break
        parts.append(read_staged(table, [file], [column]).column(0).drop_null().to_numpy())
        rows += file.rows or 0
    values = np.concatenate(parts)
    if values.size == 0:
        return None
    low, high = (
        (0.0, 1.0)
        if values.min() >= 0 and values.max() <= 1
        else (float(values.min()), float(values.max()))
    )
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high if high > low else low + 1.0))
    return {"column": column, "edges": edges.tolist(), "counts": counts.tolist()}
