"""The plain road: records parsed one by one with Python's own JSON reader. What it says is what a
record means.

Owns which text is JSON: as RFC 8259 has it, without NaN and Infinity; of a key that stands twice
the last value counts; whole numbers and fractions keep every digit. Must not know files or lines; a
record is known by its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.sources.json.shape import Column, Shape, follow
from batchinfer.sources.json.values import (
    Fraction,
    Unfit,
    first_unfit,
    json_text,
    reading_type,
    retype,
)

_SHOWN = 80


@dataclass(frozen=True)
class Refusal:
    """Why a record gives no row: its reason (`json`, `not_object`, `type`) and the message."""

    reason: str
    message: str


@dataclass(frozen=True)
class Rows:
    """Rows of some records.

    Attributes:
        columns: typed, in schema order.
        records: int64 (rows,), the number of the record that each row is of; rising.
        refused: records that give no row because they are bad.
        without_items: records that give no row because their list is missing, null or empty.
    """

    columns: dict[str, pa.Array]
    records: np.ndarray
    refused: dict[int, Refusal]
    without_items: int


def joined(pieces: Sequence[Rows]) -> Rows:
    """All rows, in the order of their records."""
    records = np.concatenate([piece.records for piece in pieces])
    columns = {
        name: pa.concat_arrays([piece.columns[name] for piece in pieces])
        for name in pieces[0].columns
    }
    if len(records) and (np.diff(records) < 0).any():
        order = np.argsort(records, kind="stable")
        records, columns = (
            records[order],
            {name: column.take(pa.array(order)) for name, column in columns.items()},
        )
    refused = {number: refusal for piece in pieces for number, refusal in piece.refused.items()}
    return Rows(columns, records, refused, sum(piece.without_items for piece in pieces))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _whole_number(digits: str) -> int | Fraction:
    # Python turns only so many digits into a number; a longer one fits no column but one of text.
    return int(digits) if len(digits) <= 4000 else Fraction(digits)


_DECODER = json.JSONDecoder(parse_float=Fraction, parse_constant=_no_constant)
_LONG_DECODER = json.JSONDecoder(
    parse_float=Fraction, parse_constant=_no_constant, parse_int=_whole_number
)


def decode_document(text: str) -> Any:
    """The value of a JSON text; fractions as `Fraction`.

    Raises:
        RecursionError: it is nested deeper than Python follows.
        ValueError: it is no JSON; the message says what is wrong and at which character.
    """
    try:
        try:
            return _DECODER.decode(text)
        except json.JSONDecodeError:
            raise
        except ValueError:
            return _LONG_DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}, at character {error.pos + 1}") from error


def read_record(text: bytes) -> dict[str, Any] | Refusal:
    """One record, or why it is none.

    Raises:
        RecursionError: it is nested deeper than Python follows.
    """
    try:
        record = decode_document(text.decode())
    except ValueError as error:
        return Refusal("json", f"no JSON: {error}; allowed: one object")
    if isinstance(record, dict):
        return record
    shown = json_text(record)[:_SHOWN]
    hint = " (array: true reads a file that is one array)" if isinstance(record, list) else ""
    return Refusal("not_object", f"got {shown}; allowed: an object{hint}")


class RowBuilder:
    """Gathers the rows of records; a record with one bad value gives none."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._values: dict[str, list[Any]] = {column.name: [] for column in shape.columns}
        self._records: list[int] = []
        self._refused: dict[int, Refusal] = {}
        self._without_items = 0

    def refuse(self, number: int, refusal: Refusal) -> None:
        """Notes that a record is bad."""
        self._refused[number] = refusal

    def add(self, number: int, record: Mapping[str, Any]) -> None:
        """Takes the rows of a record, all or (where an error ends this) none; numbers must rise."""
        try:
            items = self._shape.items(record)
        except Unfit as error:
            self.refuse(number, Refusal("type", f"explode, at {error.place}: {error}"))
            return
        if not items:
            self._without_items += 1
            return
        problems: list[str] = []
        rows = {
            column.name: _values_of(column, record, items, problems)
            for column in self._shape.columns
        }
        if problems:
            self.refuse(number, Refusal("type", "; ".join(problems)))
            return
        for name, values in rows.items():
            self._values[name] += values
        self._records += [number] * len(items)

    def finish(self) -> Rows:
        """The rows, typed."""
        columns: dict[str, pa.Array] = {}
        problems: dict[int, list[str]] = {}
        records = np.array(self._records, np.int64)
        for column in self._shape.columns:
            values = self._values[column.name]
            columns[column.name], bad = retype(
                pa.array(values, reading_type(column.type)), column.type, self._shape.rule
            )
            for row in bad.tolist():
                unfit = first_unfit(values[row], column.type, self._shape.rule)
                problems.setdefault(int(records[row]), []).append(_told(column, unfit))
        if problems:
            kept = ~np.isin(records, list(problems))
            columns = {name: column.filter(pa.array(kept)) for name, column in columns.items()}
            records = records[kept]
            self._refused |= {
                number: Refusal("type", "; ".join(dict.fromkeys(told)))
                for number, told in problems.items()
            }
        return Rows(columns, records, self._refused, self._without_items)


def _values_of(
    column: Column, record: Mapping[str, Any], items: Sequence[Any], problems: list[str]
) -> list[Any]:
    """The column's value in each row of one record."""
    try:
        if not column.inside:
            return [column.fit(follow(record, column.steps))] * len(items)
        return [column.fit(follow(item, column.steps)) for item in items]
    except Unfit as error:
        problems.append(_told(column, error))
        return []


def _told(column: Column, error: Unfit) -> str:
    return f"column {column.name}{f', at {error.place}' if error.place else ''}: {error}"
