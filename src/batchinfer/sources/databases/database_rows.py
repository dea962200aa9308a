"""Turns what a database handed over into typed rows, and quarantines what does not fit its type.

Owns types and windows on the worker's side. Must not know Spark, SQL or connections.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.contracts import RESCUED, SOURCE_FILE, SOURCE_LINE, BadRecord
from batchinfer.sources.parsed import Parsed
from batchinfer.sources.rescued import rescued_columns
from batchinfer.sources.text.columns import TextRule, bad_value, convert

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

Hash = Callable[[pa.RecordBatch, Sequence[str]], pa.Array]


@dataclass(frozen=True)
class Boundary:
    """Rows that were read before, at the position where the window begins.

    Attributes:
        column: of the watermark.
        value: the position, in the column's type.
        landed: hashes (16 bytes) of the rows with this watermark that have landed.
        columns: that these are made of: those that had landed then.
        quarantined: those in quarantine, each as `plain_record` tells it.
    """

    column: str
    value: pa.Scalar
    landed: pa.Array
    columns: Sequence[str]
    quarantined: Collection[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class RowReader:
    """Reads batches of one source.

    Attributes:
        fields: Arrow types of the columns that land; one that is not read is null.
        read: Arrow types of the columns that are read, in the order in which they come.
        name: `source_file` of the rows.
        key: columns that a bad record is known by.
        hash: 16 bytes a row, of some columns.
        rescue: whether columns that are read and do not land are kept in one.
        boundary: None where the window has no lower end.
        rules: how text stands for the values of a column, where that is not as everywhere.
    """

    fields: Mapping[str, pa.DataType]
    read: Mapping[str, pa.DataType]
    name: str
    key: Sequence[str]
    hash: Hash
    boundary: Boundary | None = None
    rules: Mapping[str, TextRule] = field(default_factory=dict)
    rescue: bool = False

    def rows(self, batches: Iterable[pa.RecordBatch], digest: ContentDigest) -> Iterator[Parsed]:
        """Typed rows and bad records, a batch at a time; `digest` takes in all of them.

        Runs on: executor.
        """
        for batch in batches:
            parsed = self._parse(batch)
            landing = [*self.fields, *([RESCUED] if self.rescue else [])]
            digest.add(self.hash(parsed.rows, landing), parsed.bad)
            yield self._behind_the_boundary(parsed) if self.boundary else parsed

    def _parse(self, batch: pa.RecordBatch) -> Parsed:
        typed: dict[str, pa.Array] = {}
        wrong: dict[str, pa.Array] = {}
        for name, carried in zip(self.read, batch.columns, strict=True):
            typed[name], mask = _typed(carried, self.read[name], self._rule(name))
            if mask is not None and pc.any(mask).as_py():
                wrong[name] = mask
        columns = {
            name: typed[name] if name in typed else pa.nulls(batch.num_rows, type_)
            for name, type_ in self.fields.items()
        }
        if self.rescue:
            others = {name: values for name, values in typed.items() if name not in self.fields}
            columns[RESCUED] = rescued_columns(others, batch.num_rows)
        lineage = {
            SOURCE_FILE: pa.repeat(pa.scalar(self.name), batch.num_rows),
            SOURCE_LINE: pa.nulls(batch.num_rows, pa.int64()),
        }
        rows = pa.RecordBatch.from_pydict({**columns, **lineage})
        if not wrong:
            return Parsed(rows, [], rows.num_rows, 0)
        any_wrong = np.logical_or.reduce(
            [mask.fill_null(False).to_numpy(zero_copy_only=False) for mask in wrong.values()]
        )
        bad = [self._bad(batch, rows, wrong, int(place)) for place in np.flatnonzero(any_wrong)]
        return Parsed(rows.filter(pa.array(~any_wrong)), bad, batch.num_rows, 0)

    def _rule(self, name: str) -> TextRule:
        return self.rules.get(name, TextRule())

    def _bad(
        self, batch: pa.RecordBatch, rows: pa.RecordBatch, wrong: Mapping[str, pa.Array], place: int
    ) -> BadRecord:
        row = {
            name: _shown(column[place].as_py())
            for name, column in zip(self.read, batch.columns, strict=True)
        }
        misfits = [name for name, mask in wrong.items() if mask[place].as_py()]
        first = misfits[0]
        message = bad_value(first, str(row[first]), self.read[first], self._rule(first))
        key = json.dumps(
            {
                name: row[name] if name in misfits else rows.column(name)[place].as_py()
                for name in self.key
            },
            default=str,
        )
        return BadRecord(
            self.name, None, json.dumps(row, default=str).encode(), "type", message, key=key
        )

    def _behind_the_boundary(self, parsed: Parsed) -> Parsed:
        boundary = self.boundary
        assert boundary is not None
        rows = parsed.rows
        at_start = pc.fill_null(pc.equal(rows.column(boundary.column), boundary.value), False)
        if pc.any(at_start).as_py():
            seen = pc.is_in(self.hash(rows, boundary.columns), value_set=boundary.landed)
            if boundary.quarantined:
                records = [plain_record(row) in boundary.quarantined for row in rows.to_pylist()]
                seen = pc.or_(seen, pa.array(records, pa.bool_()))
            rows = rows.filter(pc.invert(pc.and_(at_start, seen)))
        bad = [
            record
            for record in parsed.bad
            if plain_record(json.loads(record.raw)) not in boundary.quarantined
        ]
        return Parsed(rows, bad, rows.num_rows + len(bad), 0)


class ContentDigest:
    """An order-independent digest of rows: their number, and the sums of their hashes in two
    lanes.
    """

    def __init__(self) -> None:
        self.rows = self.first = self.second = 0

    def add(self, hashes: pa.Array, bad: Sequence[BadRecord]) -> None:
        words = np.frombuffer(b"".join(hashes.to_pylist()), dtype="<u8")
        self.rows += len(words) // 2 + len(bad)
        # Sums of 64-bit words wrap round by themselves.
        self.first += int(words[::2].sum(dtype=np.uint64))
        self.second += int(words[1::2].sum(dtype=np.uint64))
        for record in bad:
            self.first += int.from_bytes(_digest(record.raw)[:8], "little")
            self.second += int.from_bytes(_digest(record.raw)[8:], "little")

    def numbers(self) -> tuple[int, int, int]:
        return self.rows, self.first % 2**64, self.second % 2**64


def fingerprint_of(digests: Iterable[Sequence[int]]) -> bytes:
    """16 bytes that stand for all rows of all tasks, whichever task had them."""
    total = [sum(numbers) % 2**64 for numbers in zip(*digests, strict=True)] or [0, 0, 0]
    return _digest(json.dumps(total).encode())


def plain_record(record: Mapping[str, Any]) -> str:
    """A row as the quarantine keeps it, without its place: two reads of one row give the same
    text.
    """
    return json.dumps(
        {name: value for name, value in record.items() if name not in (SOURCE_FILE, SOURCE_LINE)},
        default=str,
    )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _shown(value: Any) -> Any:
    """A value as JSON can hold it: bytes as their text, or else in base64."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _typed(
    carried: pa.Array, type_: pa.DataType, rule: TextRule
) -> tuple[pa.Array, pa.Array | None]:
    """The column in its type, null where a value does not fit, and a mask of those (None: all
    fit).
    """
    if carried.type == type_:
        return carried, None
    if pa.types.is_list(type_):
        return _lists(carried, type_)
    if pa.types.is_binary(carried.type) and not pa.types.is_binary(type_):
        text, not_text = _as_text(carried)
        values, mask = convert(text, type_, rule)
        return values, not_text if mask is None else pc.or_(mask, not_text)
    if pa.types.is_string(carried.type):
        return convert(carried, type_, rule)
    if rule.timestamp.is_epoch:
        return convert(carried.cast(pa.string()), type_, rule)
    try:
        return carried.cast(type_), None
    except pa.ArrowInvalid:
        # Another database's number that the schema's type cannot hold: text tells which.
        return convert(carried.cast(pa.string()), type_, rule)


def _as_text(data: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Bytes as text, null where they are not UTF-8, and a mask of those."""
    try:
        return data.cast(pa.string()), pa.repeat(False, len(data))
    except pa.ArrowInvalid:
        texts = [_decoded(value) for value in data.to_pylist()]
        text = pa.array(texts, pa.string())
        return text, pc.and_(pc.is_valid(data), pc.is_null(text))


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _lists(carried: pa.Array, type_: pa.DataType) -> tuple[pa.Array, pa.Array | None]:
    """Lists from JSON lists of text; one whose items do not fit, or that holds lists itself, is
    null and in the mask.
    """
    values: list[Any] = []
    wrong: list[bool] = []
    for text in carried.to_pylist():
        items = None if text is None else json.loads(text)
        fits = items is None or not any(isinstance(item, list) for item in items)
        if fits and items is not None:
            typed, mask = convert(pa.array(items, pa.string()), type_.value_type, TextRule())
            fits = mask is None or not pc.any(mask).as_py()
            items = typed.to_pylist()
        values.append(items if fits else None)
        wrong.append(not fits)
    return pa.array(values, type_), pa.array(wrong) if any(wrong) else None
