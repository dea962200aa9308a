"""Distribution of a run's score, for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.contracts import DataFile, StagedFile

_BINS = 20
_MOST_ROWS = 2_000_000


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
