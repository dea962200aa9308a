"""The executor's side of tables that are read in place: which slice each row belongs to, and rows
that belong to none.

Rows are read as `inference.splits` reads them; where files hold rows of several slices, those of
others are dropped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.sources import SliceColumn
from batchinfer.pipeline.definition.slice_names import names_slice

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute


def slice_names(rows: pa.RecordBatch, rule: SliceColumn) -> pa.StringArray:
    """The slice of each row; null where the column is null, or has a value that cannot name one.

    Runs on: driver | executor.
    """
    from batchinfer.sources.slice_values import slice_values

    values = slice_values(rows, rule, None)
    refused = [
        value
        for value in pc.unique(values).to_pylist()
        if value is not None and not names_slice(rule, value)
    ]
    if not refused:
        return values
    return pc.if_else(
        pc.is_in(values, pa.array(refused, pa.string())), pa.scalar(None, pa.string()), values
    )


def read_rows(split: Mapping[str, Any], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a split of `slice_splits.splits_of`, the named columns: of a table read in place
    only those of its slices.

    Runs on: driver | executor.

    Raises:
        InputError: a file that is missing, damaged, or lacks a column.
    """
    from batchinfer.config.types import parse_ddl
    from batchinfer.inference.splits import read_split

    within = split.get("within")
    schema, later = (
        None if types is None else pa.schema([(name, parse_ddl(t)) for name, t in types.items()])
        for types in (split.get("types"), split.get("later"))
    )
    if within is None:
        yield from read_split(split, list(columns), schema, later=later)
        return
    rule = SliceColumn(column=within["column"], unit=within["unit"])
    wanted = pa.array(within["slices"], pa.string())
    for batch in read_split(split, list(dict.fromkeys([*columns, rule.column])), schema):
        rows = batch.filter(pc.is_in(slice_names(batch, rule), wanted))
        yield rows.select(list(columns))


def count_slices(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """How many rows of each slice a split has; reads the slice column alone.

    Runs on: driver | executor.
    """
    rule = SliceColumn(**task["rule"])
    yield {"counts": as_pairs(count_batches(read_rows(task["split"], [rule.column]), rule))}


def count_batches(batches: Iterable[pa.RecordBatch], rule: SliceColumn) -> Counter[str | None]:
    """How many rows of each slice the batches have; None: of no slice."""
    counts: Counter[str | None] = Counter()
    for batch in batches:
        for found in pc.value_counts(slice_names(batch, rule)).to_pylist():
            counts[found["values"]] += found["counts"]
    return counts


def as_pairs(counts: Mapping[str | None, int]) -> list[list[Any]]:
    """Counts as JSON: its objects have no null keys."""
    return [[name, count] for name, count in counts.items()]
