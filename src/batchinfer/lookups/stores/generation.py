"""What readers of a store see: a generation, made of layers, and the pointer that names it.

A layer is written once and never changes. A generation is a list of layers, newest first: a row is
the first one that a layer has of its key. `load` writes a whole layer, or an overlay of what has
changed; then it sets the pointer to the generation, in one step.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from batchinfer.errors import DamagedPointer
from batchinfer.json_values import from_json


@dataclass(frozen=True)
class LayerPart:
    """What one task wrote into a layer.

    Attributes:
        number: of the part, from 0; which rows are in it is decided by `part_of`.
        rows: that were written, rows that are taken away among them.
        checksum: as `stored_rows.total_checksum`.
        size: bytes of keys and values.
        digest: of the file, where the store keeps one.
    """

    number: int
    rows: int
    checksum: int
    size: int
    digest: str = ""


@dataclass(frozen=True)
class Layer:
    """Rows that were written together.

    Attributes:
        name: sorts by time.
        parts: in the order of their numbers; parts without rows are there, too.
    """

    name: str
    parts: tuple[LayerPart, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of keys and values."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Generation:
    """One state of a table, as a store has it.

    Attributes:
        name: sorts by time; the run's id.
        layers: newest first.
        table: place of the predictions table.
        version: of the table that was copied.
        slice: the greatest slice that was copied; None: of an empty table.
        as_of: the slice up to which was asked for; None: all of the table.
        rows: keys that are found in it.
        key: names of the key columns.
        schema: the table's Arrow schema, serialized, in base64.
        confirmed: when each slice was last published, ISO time in UTC.
        loaded_at: ISO time, UTC.
    """

    name: str
    layers: tuple[Layer, ...]
    table: str
    version: int
    slice: str | None
    as_of: str | None
    rows: int
    key: tuple[str, ...]
    schema: str
    loaded_at: str
    confirmed: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key_types(self) -> dict[str, pa.DataType]:
        """Arrow type of each key column, in order."""
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.schema)))
        return {name: schema.field(name).type for name in self.key}


@dataclass(frozen=True)
class Pointer:
    """Which generation is read, and which one was before; that one stays for a way back."""

    current: Generation
    former: Generation | None = None

    def layers(self) -> frozenset[str]:
        """Names of all layers that must stay."""
        told = (self.current, *((self.former,) if self.former else ()))
        return frozenset(layer.name for one in told for layer in one.layers)


def read_pointer(text: str, place: str) -> Pointer:
    """The pointer that a store has as JSON.

    Raises:
        DamagedPointer: it cannot be read.
    """
    try:
        return from_json(Pointer, text)
    except ValueError as error:
        raise DamagedPointer(
            f"{place}: damaged: {error}", "remove it: the next load then writes all rows anew"
        ) from error


def columns_text(schema: pa.Schema) -> str:
    """The field `schema` of a generation."""
    return base64.b64encode(schema.remove_metadata().serialize().to_pybytes()).decode()
