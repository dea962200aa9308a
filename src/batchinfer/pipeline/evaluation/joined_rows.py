"""Which outcome is of which prediction: rows of two tables beside each other, by their keys.

Owns the join, in bounded memory: where the two have more than a few million rows, both go to disk
in parts by a hash of the key, and one part is joined after the other. Knows neither pipelines nor
metrics.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.errors import InputError
from batchinfer.pipeline.evaluation.last_outcomes import LAST, Series, add_last
from batchinfer.pipeline.evaluation.outcomes_table import AT, VALUE

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

# Rows of both tables that are joined at a time; open files bound the number of parts.
PART_ROWS = 4_000_000
# Rows with shares of many classes are wide.
_PART_BYTES = 2**30
_MOST_PARTS = 200
_EXAMPLES = 3
# The column of the joined rows that holds what came true.
OUTCOME = "outcome"
_ROW, _RANK, _PLACE = "row", "rank", "place"


@dataclass(frozen=True)
class Side:
    """One of the two tables.

    Attributes:
        what: it is called so in messages.
        key: its key columns, by its own names.
        types: of these columns.
        batches: its rows; the key's columns come first, as `key_0`, `key_1` and so on.
        rows: how many there may be.
    """

    what: str
    key: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    batches: Iterable[pa.RecordBatch]
    rows: int


@dataclass(frozen=True)
class JoinedRows:
    """A part of the predictions.

    Attributes:
        rows: all columns of the predictions, and `outcome`, null where none is known.
        others: outcomes of keys that no prediction here has.
        without_key: outcomes without a whole key, which can be of no prediction.
    """

    rows: pa.Table
    others: int
    without_key: int


def join_rows(
    predictions: Side,
    outcomes: Side,
    hint: str | None = None,
    part_rows: int = PART_ROWS,
    series: Series | None = None,
) -> Iterator[JoinedRows]:
    """The predictions, each with the outcome of its key.

    Of several outcomes of a key, those that are newest by `at` count; a row whose `value` is null
    says nothing. At a time, one part of both is in memory: about `part_rows` rows and 1 GiB, as
    long as there are no more than 200 parts.

    Args:
        hint: what helps where a key has several outcomes.
        series: the rows get a column `last` too, with the last known value; but not where there
            are several parts, as a part does not have all rows of a series.

    Runs on: driver, without Spark.

    Raises:
        InputError: key columns of kinds that never match, or a key with outcomes that differ.
    """
    types = _common_types(predictions, outcomes)
    keys = [f"key_{place}" for place in range(len(types))]
    own_bytes, own_batches = _measured(predictions)
    came_bytes, came_batches = _measured(outcomes)
    rows, size = predictions.rows + outcomes.rows, own_bytes + came_bytes
    parts = min(_MOST_PARTS, max(1, math.ceil(rows / part_rows), math.ceil(size / _PART_BYTES)))
    own = (_with_types(batch, types) for batch in own_batches)
    came = (_with_types(batch, types) for batch in came_batches)
    if parts == 1:
        yield _join(list(own), list(came), keys, outcomes, hint, series)
        return
    with tempfile.TemporaryDirectory(prefix="batchinfer-evaluate-") as scratch:
        left = _spilled(own, keys, parts, Path(scratch), "predictions")
        right = _spilled(came, keys, parts, Path(scratch), "outcomes")
        for own_file, came_file in zip(left, right, strict=True):
            if own_file is not None or came_file is not None:
                yield _join(_read(own_file), _read(came_file), keys, outcomes, hint)


def _measured(side: Side) -> tuple[float, Iterable[pa.RecordBatch]]:
    """About how many bytes all rows take in memory, by those of the first; and the rows."""
    batches = iter(side.batches)
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        return 0.0, ()
    return first.nbytes / first.num_rows * side.rows, chain([first], batches)


def _common_types(own: Side, other: Side) -> list[pa.DataType]:
    """The type in which each pair of key columns is compared."""
    found, problems = [], []
    for name, type_, theirs, their_type in zip(
        own.key, own.types, other.key, other.types, strict=True
    ):
        common = _common_type(type_, their_type)
        if common is None:
            problems.append(
                f"outcomes.key: column {theirs} of {other.what} is {their_type}, and key column "
                f"{name} of {own.what} is {type_}: they never match; allowed: two of one kind"
            )
        else:
            found.append(common)
    if problems:
        raise InputError(problems, "a view, or a pipeline of its own, can cast the column")
    return found


def _common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    kinds = pa.types
    if kinds.is_integer(one) and kinds.is_integer(other):
        return pa.int64()
    if kinds.is_floating(one) and kinds.is_floating(other):
        return pa.float64()
    if kinds.is_timestamp(one) and kinds.is_timestamp(other):
        same = (one.tz is None) == (other.tz is None)
        return pa.timestamp("us", None if one.tz is None else "UTC") if same else None
    if isinstance(one, pa.Decimal128Type) and isinstance(other, pa.Decimal128Type):
        return pa.decimal128(38, one.scale) if one.scale == other.scale else None
    for is_kind, common in (
        (_is_text, pa.string()),
        (kinds.is_date, pa.date32()),
        (kinds.is_boolean, pa.bool_()),
        (_is_bytes, pa.binary()),
    ):
        if is_kind(one) and is_kind(other):
            return common
    return None


def _is_text(type_: pa.DataType) -> bool:
    kinds = pa.types
    return kinds.is_string(type_) or kinds.is_large_string(type_) or kinds.is_string_view(type_)


def _is_bytes(type_: pa.DataType) -> bool:
    kinds = pa.types
    return kinds.is_binary(type_) or kinds.is_large_binary(type_)


def _with_types(batch: pa.RecordBatch, types: Sequence[pa.DataType]) -> pa.RecordBatch:
    columns = [
        batch.column(place).cast(types[place]) if place < len(types) else batch.column(place)
        for place in range(batch.num_columns)
    ]
    return pa.record_batch(columns, batch.schema.names)


def _spilled(
    batches: Iterable[pa.RecordBatch], keys: Sequence[str], parts: int, folder: Path, name: str
) -> list[Path | None]:
    """Files of the rows by a hash of their key; None of parts without rows."""
    from batchinfer.lake.table_places import storage_faults

    files: list[Path | None] = [None] * parts
    writers: dict[int, Any] = {}
    with storage_faults(str(folder), "keep rows to join"):
        try:
            for batch in batches:
                places = _hashes(batch, keys) % np.uint64(parts)
                for part in np.unique(places).tolist():
                    if part not in writers:
                        path = folder / f"{name}-{part}.arrow"
                        files[part] = path
                        writers[part] = pa.ipc.new_stream(str(path), batch.schema)
                    writers[part].write_batch(batch.filter(pa.array(places == part)))
        finally:
            for writer in writers.values():
                writer.close()
    return files


def _hashes(batch: pa.RecordBatch, keys: Sequence[str]) -> np.ndarray:
    """(rows,) uint64."""
    from batchinfer.inference.fingerprint import fingerprint

    return np.frombuffer(b"".join(fingerprint(batch, keys).to_pylist()), dtype="<u8")[::2]


def _read(file: Path | None) -> list[pa.RecordBatch]:
    if file is None:
        return []
    with pa.ipc.open_stream(str(file)) as reader:
        return list(reader)


def _join(
    own: list[pa.RecordBatch],
    came: list[pa.RecordBatch],
    keys: list[str],
    outcomes: Side,
    hint: str | None,
    series: Series | None = None,
) -> JoinedRows:
    if not came:
        rows = pa.Table.from_batches(own)
        return JoinedRows(rows.append_column(OUTCOME, pa.nulls(rows.num_rows)), 0, 0)
    all_came = pa.Table.from_batches(came)
    known, without_key = _newest(all_came, keys, outcomes, hint)
    if series is not None:
        known = add_last(known, all_came, keys, series)
    if not own:
        return JoinedRows(
            pa.table({OUTCOME: known[VALUE].slice(0, 0)}), known.num_rows, without_key
        )
    rows = pa.Table.from_batches(own)
    places = rows.select(keys).append_column(_ROW, pa.array(np.arange(rows.num_rows)))
    found = places.join(known, keys=keys, join_type="left outer").sort_by(_ROW)
    others = known.join(places.select(keys), keys=keys, join_type="left anti").num_rows
    rows = rows.append_column(OUTCOME, found[VALUE])
    if series is not None:
        rows = rows.append_column(LAST, found[LAST])
    return JoinedRows(rows, others, without_key)


def _newest(
    rows: pa.Table, keys: list[str], outcomes: Side, hint: str | None
) -> tuple[pa.Table, int]:
    """One row a key: (keys and `value`, how many rows have no whole key)."""
    rows = rows.filter(pc.is_valid(rows[VALUE]))
    whole = pc.is_valid(rows[keys[0]])
    for name in keys[1:]:
        whole = pc.and_(whole, pc.is_valid(rows[name]))
    without_key = rows.num_rows
    rows = rows.filter(whole)
    without_key -= rows.num_rows
    if AT in rows.column_names and rows.num_rows:
        # From 1 up; a row that does not say since when it is known is older than all others.
        rank = pc.rank(rows[AT].combine_chunks(), sort_keys="ascending", tiebreaker="dense")
        rank = pc.if_else(pc.is_valid(rows[AT]), rank, pa.scalar(0, pa.uint64()))
        rows = rows.append_column(_RANK, rank)
        last = rows.group_by(keys).aggregate([(_RANK, "max")])
        rows = rows.join(
            last, keys=[*keys, _RANK], right_keys=[*keys, f"{_RANK}_max"], join_type="left semi"
        )
    # Arrow has no `first` of decimals, so the value is taken by its place.
    placed = rows.append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    found = placed.group_by(keys, use_threads=False).aggregate(
        [(VALUE, "count_distinct"), (_PLACE, "min")]
    )
    several = found.filter(pc.greater(found[f"{VALUE}_count_distinct"], 1))
    if several.num_rows:
        raise InputError(_told_several(rows, several, keys, outcomes), hint)
    values = rows[VALUE].take(found[f"{_PLACE}_min"])
    return found.select(keys).append_column(VALUE, values), without_key


def _told_several(rows: pa.Table, several: pa.Table, keys: list[str], outcomes: Side) -> str:
    """The sentence about keys whose outcomes differ, with a few of them."""
    shown = several.select(keys).sort_by([(name, "ascending") for name in keys]).slice(0, _EXAMPLES)
    told = []
    for key in shown.to_pylist():
        mask = pc.equal(rows[keys[0]], pa.scalar(key[keys[0]], rows[keys[0]].type))
        for name in keys[1:]:
            mask = pc.and_(mask, pc.equal(rows[name], pa.scalar(key[name], rows[name].type)))
        values = sorted(map(str, rows.filter(mask)[VALUE].unique().to_pylist()))
        told.append(f"{named_key(outcomes.key, key.values())}: {', '.join(values[:_EXAMPLES])}")
    at = " at the time that is newest" if AT in rows.column_names else ""
    more = several.num_rows - len(told)
    return (
        f"{outcomes.what}: {several.num_rows:,} keys have outcomes that differ{at}: "
        f"{'; '.join(told)}{f'; and {more:,} more' if more else ''}; allowed: one outcome a key"
    )


def named_key(names: Iterable[str], values: Iterable[Any]) -> str:
    """A key as messages show it: `id=7`, text in quotes."""
    return ",".join(f"{name}={value!r}" for name, value in zip(names, values, strict=True))
