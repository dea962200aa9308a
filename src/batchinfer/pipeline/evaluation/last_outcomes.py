"""The last value that was known before a row of a series, from the outcomes themselves.

Owns what a series is: the rows whose keys differ only in the column that `lag` orders by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute

from batchinfer.pipeline.evaluation.outcomes_table import VALUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from batchinfer.config.pipeline import Pipeline

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

LAST = "last"


@dataclass(frozen=True)
class Series:
    """How the rows of a forecast follow each other.

    Attributes:
        by: places of the key's columns that name a series.
        order: place of the key's column that its rows are ordered by.
        periods: rows back that the last known value is.
    """

    by: tuple[int, ...]
    order: int
    periods: int

    @property
    def words(self) -> str:
        """What the last known value is, as the end of a sentence."""
        return f"the outcome {self.periods} rows before in the table of outcomes"


def series_of(pipeline: Pipeline) -> Series | None:
    """The series of a pipeline: as its step `lag` looks back at the target, with the fewest rows.
    None where no step does, or where its `by` and `order` are not the key.

    Runs on: driver.
    """
    from batchinfer.pipeline.definition.table_steps import table_steps
    from batchinfer.prepare.lookback import Lag

    if pipeline.train is None:
        return None
    target, key = pipeline.train.target.column, list(pipeline.source.key)
    lags = [
        step for step in table_steps(pipeline) if isinstance(step, Lag) and target in step.columns
    ]
    if not lags:
        return None
    nearest = min(lags, key=lambda step: min(step.periods))
    if len(nearest.order) != 1 or sorted([*nearest.by, *nearest.order]) != sorted(key):
        return None
    by = tuple(key.index(name) for name in nearest.by)
    return Series(by, key.index(nearest.order[0]), min(nearest.periods))


def add_last(known: pa.Table, all_rows: pa.Table, keys: Sequence[str], series: Series) -> pa.Table:
    """The outcomes with a column `last`: what came true so many rows before in the series, null
    where there is no such row or nothing is known of it.

    Args:
        known: one row a key, with its `value`.
        all_rows: of the table, also those whose value is null: they have a place in the series.
        keys: the key's columns in both.

    Runs on: driver.
    """
    places = all_rows.group_by(list(keys)).aggregate([])
    for name in keys:
        places = places.filter(pc.is_valid(places[name]))
    by = [keys[place] for place in series.by]
    order = [(name, "ascending") for name in (*by, keys[series.order])]
    rows = places.join(known, keys=list(keys), join_type="left outer").sort_by(order)
    back = min(series.periods, rows.num_rows)
    earlier = rows.slice(0, rows.num_rows - back)
    later = rows.slice(back)
    last = earlier[VALUE]
    for name in by:
        same = pc.equal(earlier[name], later[name])
        last = pc.if_else(same, last, pa.scalar(None, last.type))
    missing = pa.nulls(back, rows[VALUE].type)
    whole = pa.chunked_array([missing, *last.chunks], rows[VALUE].type)
    return rows.append_column(LAST, whole).filter(pc.is_valid(rows[VALUE]))
