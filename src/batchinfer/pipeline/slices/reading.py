"""The executor's side of tables that are read in place: which slice each row belongs to, and rows
that belong to none.

Rows are read as `inference.split_reading` reads them; where files hold rows of several slices,
those of others are dropped here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.shapes.source_columns import SliceColumn
from batchinfer.inference.split_reading import READ_ROWS, Split, read_split
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


@dataclass(frozen=True)
class SliceSplit:
    """What one task reads of a table, and how; travels as JSON.

    Attributes:
        types: Spark SQL types that the columns get; None: those of the files.
        later: types of columns that files may lack.
        within: how rows are told to be of `slices`, where the files hold others too; None: all
            rows are.
        char: columns of text that are filled up with spaces, and to how many characters.
    """

    split: Split
    types: Mapping[str, str] | None = None
    later: Mapping[str, str] | None = None
    within: SliceColumn | None = None
    slices: tuple[str, ...] = ()
    char: Mapping[str, int] = field(default_factory=dict)


def read_rows(
    of: SliceSplit, columns: Sequence[str], batch_rows: int = READ_ROWS
) -> Iterator[pa.RecordBatch]:
    """The rows of a split, the named columns: of a table read in place only those of its slices.

    Args:
        batch_rows: most rows of a batch.

    Runs on: driver | executor.

    Raises:
        InputError: a file that is missing, damaged, or lacks a column.
    """
    from batchinfer.config.types import parse_ddl

    schema, later = (
        None if types is None else pa.schema([(name, parse_ddl(t)) for name, t in types.items()])
        for types in (of.types, of.later)
    )
    if of.within is None:
        yield from read_split(of.split, list(columns), schema, batch_rows, later, of.char)
        return
    wanted = pa.array(of.slices, pa.string())
    names = list(dict.fromkeys([*columns, of.within.column]))
    for batch in read_split(of.split, names, schema, batch_rows, char=of.char):
        rows = batch.filter(pc.is_in(slice_names(batch, of.within), wanted))
        yield rows.select(list(columns))


@dataclass(frozen=True)
class SlicesOf:
    """A split whose rows are to be counted by their slice."""

    split: SliceSplit
    rule: SliceColumn


# A slice, or None for rows that are of none, and how many rows it has. JSON's objects have no null
# keys.
SliceCounts = list[tuple[str | None, int]]


def count_slices(task: SlicesOf) -> Iterator[SliceCounts]:
    """How many rows of each slice a split has; reads the slice column alone.

    Runs on: driver | executor.
    """
    rows = read_rows(task.split, [task.rule.column])
    yield list(count_batches(rows, task.rule).items())


def count_batches(batches: Iterable[pa.RecordBatch], rule: SliceColumn) -> Counter[str | None]:
    """How many rows of each slice the batches have; None: of no slice."""
    counts: Counter[str | None] = Counter()
    for batch in batches:
        for found in pc.value_counts(slice_names(batch, rule)).to_pylist():
            counts[found["values"]] += found["counts"]
    return counts
