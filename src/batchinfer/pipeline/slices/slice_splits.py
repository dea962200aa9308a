"""Row groups of a slice's files, balanced over the workers that read them."""

from __future__ import annotations

from dataclasses import replace

from batchinfer.config.types import spark_name
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.inference.split_reading import Split
from batchinfer.inference.splits import TARGET_BYTES, split_files
from batchinfer.pipeline.slices.reading import SliceSplit
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_columns import table_fields


def splits_of(
    data: SliceData,
    count: int,
    most_bytes: int = TARGET_BYTES,
    rounds: int = 2,
    task_rows: int | None = None,
    covered: CoveredRows | None = None,
) -> list[SliceSplit]:
    """Row groups of a slice's files, balanced over the workers; `most_bytes` of a task, as they are
    in the files. The other arguments are those of `inference.splits.plan_splits`.
    """
    splits = split_files(data.table, data.files, count, most_bytes, rounds, task_rows, covered)
    empty = empty_split(data)
    return [replace(empty, split=split) for split in splits]


def empty_split(data: SliceData) -> SliceSplit:
    """How rows of a slice's files are read, with no row to read."""
    nothing = Split((), 0, 0)
    if data.fields is None:
        later = {name: spark_name(type_) for name, type_ in table_fields(data.table).items()}
        return SliceSplit(nothing, later=later)
    within = data.rule if data.rows_of_others else None
    return SliceSplit(
        nothing, types=data.fields, within=within, slices=data.slices, char=data.rules.char
    )
