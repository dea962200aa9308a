"""A slice of several landed files, of which each is a task of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spark.projects import SmallProject, csv_of

from batchinfer.config.uris import join
from batchinfer.contracts import DataFile
from batchinfer.errors import StorageError
from batchinfer.inference.splits import Split, plan_splits
from batchinfer.pipeline.scoring import scoring_task
from batchinfer.pipeline.slices import slice_splits
from batchinfer.pipeline.slices.reading import SliceSplit

# Forty rows that were learned from, and thirty in each of four more files.
ROWS = 160


def land_five(project: SmallProject, patch: pytest.MonkeyPatch) -> None:
    """Five landed files, a source file in each, and tasks that are cut at files."""
    for number, name in enumerate("bcde"):
        start = number + 1
        project.write(f"in/{name}.csv", csv_of(range(start, start + 30)))
        project.extract()

    def a_task_a_file(table: str, files: Sequence[DataFile], count: int, *_: Any) -> list[Split]:
        whole = [replace(file, path=join(table, file.path)) for file in files]
        return plan_splits(whole, count, smallest_bytes=1, task_rows=10, covered=_[-1])

    patch.setattr(slice_splits, "split_files", a_task_a_file)


def fail_after(patch: pytest.MonkeyPatch, tasks: int) -> list[SliceSplit]:
    """From now on the storage fails after so many tasks of a run; what tasks were given."""
    given: list[SliceSplit] = []
    real = scoring_task.read_rows

    def read(split: SliceSplit, columns: Sequence[str]) -> Any:
        given.append(split)
        if len(given) > tasks:
            raise StorageError("the disk is gone")
        return real(split, columns)

    patch.setattr(scoring_task, "read_rows", read)
    return given


def told(project: SmallProject) -> list[tuple[Any, ...]]:
    """What the published rows say, but for when and by which run."""
    rows = project.table("predictions").to_pylist()
    names = ("source_file", "source_line", "score", "label", "input_fingerprint")
    return sorted(tuple(row[name] for name in names) for row in rows)


def staged(project: SmallProject) -> set[str]:
    """Files of predictions, with the folder of their slice."""
    folder = project.root / "var/lake/predictions/small"
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}


def notes(project: SmallProject) -> list[str]:
    folder = project.root / "var/lake/predictions/small/_finished"
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def damage(path: Path, how: str, at: int) -> None:
    """Removes a file (`gone`), cuts its last byte off (`cut short`), or flips a bit of the byte at
    a place.
    """
    data = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "cut short":
        path.write_bytes(data[:-1])
    else:
        data[at] ^= 1
        path.write_bytes(data)
