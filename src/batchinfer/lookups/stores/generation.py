"""What readers of a store see: a generation, made of layers, and the pointer that names it.

A layer is written once and never changes. A generation is a list of layers, newest first: a row is
the first one that a layer has of its key. `load` writes a whole layer, or an overlay of what has
changed; then it sets the pointer to the generation, in one step. Rows of streams stand above the
layers: of each key the row of the newest commit, if that is newer than the generation.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import pyarrow as pa
from pydantic import ValidationError

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
        parts: in the order of their numbers; parts without rows are there, too. A layer of streamed
            rows that grows has none.
        commit: of streamed rows that never change, the newest commit; None: of all others.
    """

    name: str
    parts: tuple[LayerPart, ...]
    commit: int | None = None

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
        line: id of the table itself; versions of one line only grow. Empty: of an older build.
        streamed: layers of streamed rows above its own, newest first; where a row is in several of
            them, the first counts. Rows of commits up to `version` do not count.
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
    line: str = ""
    streamed: tuple[Layer, ...] = ()

    @property
    def stream(self) -> str:
        """Name of the layer, or of a folder of layers, that its line's rows are streamed into."""
        return f"streamed-{self.line}"

    @property
    def seen(self) -> tuple[Layer, ...]:
        """All layers that a reader looks into."""
        return (*self.streamed, *self.layers)

    def bare(self) -> Generation:
        """What was loaded, without streamed rows."""
        return replace(self, streamed=())

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

    @property
    def generations(self) -> tuple[Generation, ...]:
        return (self.current, *((self.former,) if self.former else ()))

    @property
    def floor(self) -> int:
        """The commit up to which streamed rows are seen by nobody, whichever generation is read."""
        line = self.current.line
        return min(one.version for one in self.generations if one.line == line)

    @property
    def streamed(self) -> dict[str, tuple[Layer, ...]]:
        """Layers of streamed rows, by the name of the stream."""
        return {one.stream: one.streamed for one in self.generations}

    def layers(self) -> frozenset[str]:
        """Names of all layers that must stay; a stream may begin at any moment, so its name is one
        of them.
        """
        own = (layer.name for one in self.generations for layer in one.layers)
        return frozenset((*own, *self.streamed))

    def bare(self) -> Pointer:
        """What was loaded, without streamed rows."""
        return self.streaming({})

    def streaming(self, streamed: Mapping[str, tuple[Layer, ...]]) -> Pointer:
        """The pointer with layers of streamed rows, each above the generations of its line; not
        above those that have overtaken it.
        """

        def with_rows(one: Generation) -> Generation:
            layers = streamed.get(one.stream, ())
            newer = (ly for ly in layers if ly.commit is None or ly.commit > one.version)
            return replace(one, streamed=tuple(newer))

        former = None if self.former is None else with_rows(self.former)
        return Pointer(with_rows(self.current), former)

    def with_stream(self) -> Pointer:
        """The pointer with one layer for streamed rows, which grows."""
        stream = self.current.stream
        return self.streaming({**self.streamed, stream: (Layer(stream, ()),)})


def succeeding(new: Pointer, expected: Pointer | None, now: Pointer | None) -> Pointer | None:
    """What a load sets in place of the pointer as it is: the new one, with the streamed rows that
    there are by now. None where it is not the expected one, streamed rows aside.
    """
    if (now and now.bare()) != (expected and expected.bare()):
        return None
    return new.streaming(now.streamed if now is not None else {})


def read_pointer(text: str | bytes, place: str) -> Pointer:
    """The pointer that a store has as JSON.

    Raises:
        DamagedPointer: it cannot be read.
    """
    try:
        return from_json(Pointer, text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(("pointer", *(str(part) for part in fault["loc"])))
        no_object = fault["type"] == "dataclass_type"
        said = "it is no JSON object" if no_object else fault["msg"]
        raise _damaged(place, f"{where}: {said}") from error
    except ValueError as error:
        raise _damaged(place, str(error)) from error


def _damaged(place: str, fault: str) -> DamagedPointer:
    return DamagedPointer(f"{place}: damaged: {fault}", "load the table anew, with --full")


def columns_text(schema: pa.Schema) -> str:
    """The field `schema` of a generation."""
    return base64.b64encode(schema.remove_metadata().serialize().to_pybytes()).decode()
