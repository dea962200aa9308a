"""The rows that `train` would learn from, without learning from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from spark.projects import SmallProject

from batchinfer.pipeline.slices.reading import read_rows
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.training.learned_rows import fields_to_learn_from, rows_to_learn_from
from batchinfer.pipeline.training.newest_rows import Superseded, find_superseded
from batchinfer.pipeline.training.training_data import training_data


@contextmanager
def learned(
    project: SmallProject, *overrides: str
) -> Iterator[tuple[SliceData, Superseded | None, list[dict[str, Any]]]]:
    """The data that are learned from, what was left out of them, and their rows."""
    columns = TableColumns(project.context(*overrides))
    settings = columns.context.pipeline.train
    assert settings is not None
    data = training_data(columns.context, settings, [], project.open_session)
    fields = fields_to_learn_from(columns, data)
    found = find_superseded(columns, data, fields, project.open_session)
    with rows_to_learn_from(columns, data, fields, project.open_session, found) as rows:
        wanted = list(dict.fromkeys([*fields_to_learn_from(columns, rows), *columns.key]))
        batches = [batch for split in splits_of(rows, 2) for batch in read_rows(split, wanted)]
        yield rows, found, [row for batch in batches for row in batch.to_pylist()]
