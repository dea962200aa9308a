"""Row groups of a slice's files, balanced over the workers that read them."""

from __future__ import annotations

from batchinfer.config.types import spark_name
from batchinfer.inference.splits import TARGET_BYTES, split_files
from batchinfer.pipeline.slices.reading import SliceSplit
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.table_columns import table_fields


def splits_of(
    data: SliceData, count: int, most_bytes: int = TARGET_BYTES, rounds: int = 2
) -> list[SliceSplit]:
    """Row groups of a slice's files, balanced over the workers; `most_bytes` of a task, as they are
    in the files.
    """
    splits = split_files(data.table, data.files, count, most_bytes, rounds)
    if data.fields is None:
        later = {name: spark_name(type_) for name, type_ in table_fields(data.table).items()}
        return [SliceSplit(split, later=later) for split in splits]
    within = data.rule if data.rows_of_others else None
    return [
        SliceSplit(
            split, types=data.fields, within=within, slices=data.slices, char=data.rules.char
        )
        for split in splits
    ]
