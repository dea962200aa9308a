"""The places in JSON records that the columns of a source read, as steps.

Owns what a type reads inside of itself, and how such places are written. Must not know records.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from batchinfer.config.json_paths import written_path
from batchinfer.sources.json.shape import Shape

# Every item of a list, every value of a map.
EVERY = -1
Steps = tuple[str | int, ...]


def has_struct(type_: pa.DataType) -> bool:
    """Whether a list or a map holds objects with keys of their own."""
    if not (pa.types.is_list(type_) or pa.types.is_map(type_)):
        return False
    inner = type_.item_type if pa.types.is_map(type_) else type_.value_type
    return pa.types.is_struct(inner) or has_struct(inner)


def read_places(shape: Shape) -> Iterator[tuple[Steps, str]]:
    """Every place that is read, with its column: that of the column, and of the fields inside."""
    for column in shape.columns:
        start = (*(shape.explode or ()), EVERY) if column.inside else ()
        for steps in _places((*start, *column.steps), column.type):
            yield steps, column.name


def _places(steps: Steps, type_: pa.DataType) -> Iterator[Steps]:
    yield steps
    if pa.types.is_struct(type_):
        for part in type_:
            yield from _places((*steps, part.name), part.type)
    elif has_struct(type_):
        inner = type_.item_type if pa.types.is_map(type_) else type_.value_type
        yield from _places((*steps, EVERY), inner)


def keys_of(steps: Steps) -> list[Steps]:
    """The places on a path that are keys."""
    return [steps[:end] for end, step in enumerate(steps, 1) if isinstance(step, str)]


def written_place(steps: Steps) -> str:
    """As `written_path`, with `[]` for every item."""
    text = ""
    for step in steps:
        if step == EVERY:
            text += "[]"
        else:
            written = written_path((step,))
            text += f".{written}" if text and not written.startswith("[") else written
    return text
