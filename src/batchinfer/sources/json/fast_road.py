"""The fast road: many records at once with Arrow's JSON reader, where that says the same as the
plain road.

Owns what Arrow's reader may be trusted with. It is laxer than JSON in places (NaN, several objects
on a line, decimals of more digits than it counts), so such lines are told apart before, and its
answer is taken only if every line gave one row. Whatever it refuses is left to the plain road: this
one never judges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from pyarrow import compute

from batchinfer.config.json_paths import JsonPath
from batchinfer.sources.json.shape import Column, Shape
from batchinfer.sources.json.values import is_time, reading_type, retype

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_CONSTANT = re.compile(rb"[:,\[][ \t\r]*-?(?:NaN|Inf)")
# Numbers, also as text, that may have more digits than Arrow's reader counts.
_LONG_DECIMAL = re.compile(rb'[:,\[][ \t\r]*"?[+-]?(?:[0-9.]{38}|[0-9.]+[eE])|\\u00[23]')
_WIDE = pa.decimal256(76, 38)
_ROW = re.compile(r" in row (\d+)")
_VALUE = re.compile(r"couldn't parse:(.+)|: (\S+) requires")


class NotFast(Exception):
    """Arrow's reader refused the text.

    Attributes:
        line: the line of the trouble; None if that is not known.
        sure: whether all lines before it were read, if only as JSON. Else the line is a guess by a
            value that stands in it.
    """

    def __init__(self, line: int | None, sure: bool) -> None:
        super().__init__(line, sure)
        self.line, self.sure = line, sure


@dataclass(frozen=True)
class FastRows:
    """Rows of some lines.

    Attributes:
        columns: typed, in schema order.
        lines: int64 (rows,), the line of each row, from 0; rising.
        unfit: lines with a value that does not fit its type, which is null in the rows.
        without_items: lines that give no row because their list is missing, null or empty.
    """

    columns: dict[str, pa.Array]
    lines: np.ndarray
    unfit: np.ndarray
    without_items: int


@dataclass
class _Node:
    """A place in a record: an object with fields, a list with items, or a value with its type;
    never two of these.
    """

    fields: dict[str, _Node] = field(default_factory=dict)
    items: _Node | None = None
    types: list[pa.DataType] = field(default_factory=list)

    def below(self, steps: JsonPath) -> _Node:
        node = self
        for step in steps:
            if isinstance(step, str):
                node = node.fields.setdefault(step, _Node())
            else:
                node.items = node.items or _Node()
                node = node.items
        return node

    def take(self, type_: pa.DataType) -> None:
        """Notes that a value of a type is read here."""
        if pa.types.is_list(type_):
            self.below((0,)).take(type_.value_type)
        elif pa.types.is_struct(type_):
            for each in type_:
                self.below((each.name,)).take(each.type)
        else:
            self.types.append(type_)

    def type(self) -> pa.DataType | None:
        """The type that holds all that is read here; None if there is none, as for a number that is
        also an object.
        """
        if bool(self.fields) + bool(self.items) + bool(self.types) != 1:
            return None
        if self.types:
            return (
                self.types[0] if all(type_.equals(self.types[0]) for type_ in self.types) else None
            )
        if self.items:
            inner = self.items.type()
            return None if inner is None else pa.list_(inner)
        inside = {name: node.type() for name, node in self.fields.items()}
        return None if None in inside.values() else pa.struct(list(inside.items()))


def _readable(type_: pa.DataType, epoch: bool) -> pa.DataType | None:
    """The type that Arrow's reader is asked for; None: it cannot read such values.

    Args:
        epoch: whether dates and timestamps are numbers.
    """
    if pa.types.is_list(type_):
        inner = _readable(type_.value_type, epoch)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(type_):
        inside = [(each.name, _readable(each.type, epoch)) for each in type_]
        return (
            None if not inside or any(inner is None for _, inner in inside) else pa.struct(inside)
        )
    if pa.types.is_map(type_):
        return None
    if pa.types.is_decimal(type_) or (epoch and is_time(type_)):
        return _WIDE
    return reading_type(type_)


def _has_decimal(type_: pa.DataType) -> bool:
    return pa.types.is_decimal(type_) or any(
        _has_decimal(type_.field(place).type) for place in range(type_.num_fields)
    )


@dataclass(frozen=True)
class FastRoad:
    """Arrow's reader for one shape."""

    shape: Shape
    schema: pa.Schema
    decimals: bool

    @classmethod
    def of(cls, shape: Shape) -> FastRoad | None:
        """None where Arrow's reader cannot read the shape: maps; one value as two types."""
        root, decimals = _Node(), False
        for column in shape.columns:
            readable = _readable(column.type, shape.rule.timestamp.is_epoch)
            if readable is None:
                return None
            decimals = decimals or _has_decimal(readable)
            start = (
                root.below((*shape.explode, 0))
                if shape.explode is not None and column.inside
                else root
            )
            start.below(column.steps).take(readable)
        if shape.explode is not None and not any(column.inside for column in shape.columns):
            return None
        type_ = root.type()
        if type_ is None or not pa.types.is_struct(type_):
            return None
        return cls(shape, pa.schema(list(type_)), decimals)

    def doubtful(self, text: bytes, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Lines that Arrow's reader must not see: bool (lines,)."""
        bytes_ = np.frombuffer(text, np.uint8)
        wrong = (bytes_[starts] != ord("{")) | (bytes_[np.maximum(ends - 1, starts)] != ord("}"))
        patterns = [_CONSTANT] if b"NaN" in text or b"Inf" in text else []
        for pattern in [*patterns, *([_LONG_DECIMAL] if self.decimals else [])]:
            found = [match.start() for match in pattern.finditer(text)]
            wrong[np.searchsorted(ends, found)] = True
        return wrong

    def read(self, text: pa.Buffer, lines: int) -> FastRows:
        """The rows of lines.

        Args:
            text: lines none of which is doubtful.

        Runs on: executor.

        Raises:
            NotFast: a line that Arrow's reader refuses.
        """
        table = self.check(text, lines)
        try:
            return self._rows(table.to_struct_array().combine_chunks())
        except pa.ArrowInvalid as error:
            raise NotFast(*_stopped_at(str(error), text)) from error

    def check(self, text: pa.Buffer, lines: int) -> pa.Table:
        """What Arrow's reader makes of lines; see `read`."""
        try:
            table = pj.read_json(
                pa.BufferReader(text),
                pj.ReadOptions(use_threads=False, block_size=text.size + 16),
                pj.ParseOptions(explicit_schema=self.schema, unexpected_field_behavior="ignore"),
            )
        except pa.ArrowInvalid as error:
            raise NotFast(*_stopped_at(str(error), text)) from error
        if table.num_rows != lines:
            raise NotFast(None, False)
        return table

    def _rows(self, record: pa.StructArray) -> FastRows:
        rows, items = np.arange(len(record)), None
        if self.shape.explode is not None:
            found = _follow(record, self.shape.explode)
            rows, items = (
                pc.list_parent_indices(found).to_numpy(zero_copy_only=False),
                found.flatten(),
            )
        columns: dict[str, pa.Array] = {}
        bad = [np.empty(0, np.int64)]
        for column in self.shape.columns:
            values = _values(column, record, items, rows)
            columns[column.name], refused = retype(
                values.cast(reading_type(column.type)), column.type, self.shape.rule
            )
            bad.append(rows[refused])
        return FastRows(
            columns, rows, np.unique(np.concatenate(bad)), len(record) - len(np.unique(rows))
        )


def _stopped_at(told: str, text: pa.Buffer) -> tuple[int | None, bool]:
    """The line of which an error tells, and whether it names it; else the first in which the value
    stands that it names.
    """
    if row := _ROW.search(told):
        return int(row[1]), True
    value = _VALUE.search(told)
    if value is None:
        return None, False
    content = text.to_pybytes()
    found = content.find((value[1] or value[2]).encode())
    return None if found < 0 else content.count(b"\n", 0, found), False


def _values(column: Column, record: pa.Array, items: pa.Array | None, rows: np.ndarray) -> pa.Array:
    if column.inside:
        return _follow(items, column.steps)
    found = _follow(record, column.steps)
    return found if items is None else found.take(pa.array(rows))


def _follow(values: pa.Array, steps: JsonPath) -> pa.Array:
    for step in steps:
        values = pc.struct_field(values, step) if isinstance(step, str) else _item(values, step)
    return values


def _item(lists: pa.Array, number: int) -> pa.Array:
    """One item of each list; null where it is too short."""
    starts = lists.offsets[:-1].cast(pa.int64())
    there = pc.greater(pc.fill_null(pc.list_value_length(lists), 0), number)
    return lists.values.take(pc.if_else(there, pc.add(starts, number), pa.scalar(None, pa.int64())))
