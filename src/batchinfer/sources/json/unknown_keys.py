"""Keys of JSON records that no column reads: which there are, and the types of their values.

Owns what counts as unknown: a key at a place that the schema reads neither whole nor in part.
Must not know what becomes of such keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from batchinfer.config.json_paths import read_json_path
from batchinfer.sources.json.fast_road import FastRoad
from batchinfer.sources.json.key_places import EVERY, Steps, has_struct, written_place
from batchinfer.sources.json.plain_road import decode_document
from batchinfer.sources.json.shape import Shape
from batchinfer.sources.json.sieve import Lines
from batchinfer.sources.json.values import Fraction

# Keys that are told of one file; more are data.
_TOLD_KEYS = 1_000
# Records of a block that are looked at where nothing depends on it.
_LOOKED_AT = 5
_TOO_DEEP = "what is nested too deeply to be read"
# Up to here each whole number is a double, too.
_EXACT = 2**53
_LONG = 2**63
# Digits that every double keeps.
_DOUBLE_DIGITS = 15
_ITEM = "[]"
NOTHING: Any = object()


@dataclass
class KnownPlace:
    """A place in records: the columns read all that stands there, or some of the keys and items
    inside.
    """

    whole: bool = False
    keys: dict[str, KnownPlace] = field(default_factory=dict)
    items: dict[int, KnownPlace] = field(default_factory=dict)

    @classmethod
    def of(cls, shape: Shape) -> KnownPlace:
        """What a shape reads of records."""
        root = cls()
        for column in shape.columns:
            start = (*(shape.explode or ()), EVERY) if column.inside else ()
            place = root
            for step in (*start, *column.steps):
                place = place._below(step)
            place._take(column.type)
        return root

    def rest(self, value: Any) -> Any:
        """The part of a value that no column reads, in the shape that it has there (null in the
        place of items of which nothing is left); `NOTHING`: there is none.
        """
        if self.whole:
            return NOTHING
        every = self.items.get(EVERY)
        if isinstance(value, dict):
            found = {
                key: item if (inside := self.keys.get(key, every)) is None else inside.rest(item)
                for key, item in value.items()
            }
            return {key: item for key, item in found.items() if item is not NOTHING} or NOTHING
        if isinstance(value, list):
            items = [
                item if (inside := self.items.get(number, every)) is None else inside.rest(item)
                for number, item in enumerate(value)
            ]
            left = any(item is not NOTHING for item in items)
            return [None if item is NOTHING else item for item in items] if left else NOTHING
        return NOTHING

    def _below(self, step: str | int) -> KnownPlace:
        if isinstance(step, str):
            return self.keys.setdefault(step, KnownPlace())
        return self.items.setdefault(step, KnownPlace())

    def _take(self, type_: pa.DataType) -> None:
        if pa.types.is_struct(type_):
            for part in type_:
                self._below(part.name)._take(part.type)
        elif has_struct(type_):
            inner = type_.item_type if pa.types.is_map(type_) else type_.value_type
            self._below(EVERY)._take(inner)
        else:
            self.whole = True

    @classmethod
    def of_paths(cls, paths: Iterable[str]) -> KnownPlace:
        """What is read whole at some paths."""
        root = cls()
        for path in paths:
            place = root
            for step in read_json_path(path):
                place = place._below(step)
            place.whole = True
        return root

    def unknown(self, value: Any, steps: Steps = ()) -> Iterator[Steps]:
        """Places of the keys of a value that no column reads."""
        if self.whole:
            return
        every = self.items.get(EVERY)
        if isinstance(value, dict):
            for key, item in value.items():
                inside = self.keys.get(key, every)
                if inside is None:
                    yield (*steps, key)
                else:
                    yield from inside.unknown(item, (*steps, key if key in self.keys else EVERY))
        elif isinstance(value, list):
            for number, item in enumerate(value):
                inside = self.items.get(number, every)
                if inside is not None:
                    step = number if number in self.items else EVERY
                    yield from inside.unknown(item, (*steps, step))


@dataclass(frozen=True)
class UnknownKeys:
    """Looks for keys that no column reads.

    Attributes:
        schema: by which Arrow's reader tells that a text has no such keys; None: it cannot.
    """

    known: KnownPlace
    schema: pa.Schema | None

    @classmethod
    def of(cls, shape: Shape, fast: FastRoad | None) -> UnknownKeys:
        return cls(KnownPlace.of(shape), fast.schema if fast else None)

    def may_hold(self, text: bytes) -> bool:
        """Whether the lines of a text may have unknown keys; False is sure."""
        if self.schema is None:
            return True
        try:
            pj.read_json(
                pa.BufferReader(text),
                pj.ReadOptions(use_threads=False, block_size=len(text) + 16),
                pj.ParseOptions(explicit_schema=self.schema, unexpected_field_behavior="error"),
            )
        except pa.ArrowInvalid:
            return True
        return False

    def told(self, lines: Iterable[bytes]) -> list[str]:
        """Paths of the unknown keys of lines, sorted; at most so many as anyone reads."""
        found: set[str] = set()
        for line in lines:
            record = decoded(line, found)
            found.update(map(written_place, self.known.unknown(record) if record else ()))
            if len(found) >= _TOLD_KEYS:
                break
        return sorted(found)[:_TOLD_KEYS]


@dataclass
class NewKeyWatch:
    """Watches the blocks of one task for unknown keys.

    Attributes:
        every: look at all records, until a block has unknown keys, for they end the run. Else only
            at a few of each block, which costs nothing.
        ended: whether a block had some.
    """

    unknown: UnknownKeys
    every: bool
    ended: bool = False

    def look(self, names: Sequence[str], owners: np.ndarray, lines: Lines) -> dict[str, list[str]]:
        """Paths of the unknown keys of each file of a block that has some.

        Args:
            names: of the files.
            owners: the place in `names` of each line; rising.
            lines: of the block, at least one.

        Runs on: executor.
        """
        if not self.every:
            looked_at = np.unique(np.linspace(0, len(lines) - 1, _LOOKED_AT).astype(np.int64))
        elif self.ended or not self.unknown.may_hold(lines.text):
            return {}
        else:
            looked_at = np.arange(len(lines))
        found: dict[str, list[str]] = {}
        for file in map(int, np.unique(owners[looked_at])):
            numbers = looked_at[owners[looked_at] == file].tolist()
            if keys := self.unknown.told(lines[number] for number in numbers):
                found[names[file]] = keys
        self.ended = self.every and bool(found)
        return found


def decoded(line: bytes, deep: set[str]) -> dict[str, Any] | None:
    """The object of a line; None: it is none, and stands in the quarantine. What is nested too
    deeply is noted in `deep`.
    """
    try:
        record = decode_document(line.decode())
    except ValueError:
        return None
    except RecursionError:
        deep.add(_TOO_DEEP)
        return None
    return record if isinstance(record, dict) else None


@dataclass
class KeyKinds:
    """Kinds of the values of keys at the top of records that no column reads.

    Attributes:
        kinds: of each key: `null`, `boolean`, `bigint` (`exact`, where each is a double, too),
            `double`, `string`, `object`, and of lists those of their items behind `[]`.
        files: the first file that has each key.
        inside: paths of unknown keys that stand deeper.
    """

    kinds: dict[str, set[str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)

    def look(self, record: Mapping[str, Any], known: KnownPlace, file: str) -> None:
        """Notes the unknown keys of a record."""
        for steps in known.unknown(record):
            key = str(steps[0])
            if len(steps) > 1:
                if len(self.inside) < _TOLD_KEYS:
                    self.inside.add(written_place(steps))
            else:
                self.files.setdefault(key, file)
                self.kinds.setdefault(key, set()).update(_kinds(record[key]))

    def add(self, other: KeyKinds) -> None:
        """Adds what another part of the data tells."""
        for key, kinds in other.kinds.items():
            self.files.setdefault(key, other.files[key])
            self.kinds.setdefault(key, set()).update(kinds)
        self.inside |= other.inside

    def types(self) -> dict[str, str]:
        """Spark SQL type of each key that has a value somewhere."""
        found = {key: _type_of(kinds) for key, kinds in self.kinds.items()}
        return {key: type_ for key, type_ in found.items() if type_ is not None}


def _kinds(value: Any) -> set[str]:
    if value is None:
        return {"null"}
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, Fraction):
        return {"double" if _is_double(value) else "number"}
    if isinstance(value, int):
        if abs(value) <= _EXACT:
            return {"exact"}
        return {"bigint" if -_LONG <= value < _LONG else "number"}
    if isinstance(value, str):
        return {"string"}
    if isinstance(value, list):
        inner: set[str] = set()
        for item in value:
            inner |= _kinds(item)
        return {_ITEM + kind for kind in inner} or {_ITEM}
    return {"object"}


def _is_double(number: Fraction) -> bool:
    """Whether a double keeps all digits of a number."""
    digits = number.lower().partition("e")[0].replace(".", "").lstrip("-0")
    return len(digits.rstrip("0")) <= _DOUBLE_DIGITS and abs(float(number)) < float("inf")


def _type_of(kinds: set[str]) -> str | None:
    """The type that keeps all values of these kinds; None: there is no value."""
    kinds = kinds - {"null"}
    lists = {kind for kind in kinds if kind.startswith(_ITEM)}
    if not kinds or kinds == {_ITEM}:
        return None
    if lists == kinds:
        inner = _type_of({kind.removeprefix(_ITEM) for kind in lists} - {""})
        if inner is None or any(kind.endswith("object") for kind in lists):
            return None if inner is None else "string"
        return f"array<{inner}>"
    if kinds == {"boolean"}:
        return "boolean"
    if kinds <= {"exact", "bigint"}:
        return "bigint"
    if kinds <= {"exact", "double"}:
        return "double"
    # Text keeps the JSON of anything.
    return "string"
