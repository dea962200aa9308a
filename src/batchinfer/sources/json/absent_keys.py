"""Which keys of the schema never appear in a file, and what stands there that looks like them.

Owns the search for them. Must not know what becomes of a file that lacks one.

A column with a value has its key, which costs nothing to see. Only where a column is null in all
rows of a file in a block, the file's lines are looked at once more, with Python's own reader, until
every key in question has been met.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from batchinfer.config.look_alikes import look_alikes
from batchinfer.sources.json.key_places import (
    EVERY,
    Steps,
    has_struct,
    keys_of,
    read_places,
    written_place,
)
from batchinfer.sources.json.shape import Shape
from batchinfer.sources.json.sieve import Lines
from batchinfer.sources.parsed import FileKeys

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

# Names that are held of the objects at one place; more are keys that are data.
_HELD_NAMES = 10_000
# Numbers stay text: none is too long, and none is of interest.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass
class _Place:
    """A key that is looked for, or an item on the way to one, with the names of its object."""

    steps: Steps = ()
    seen: bool = False
    below: dict[str | int, _Place] = field(default_factory=dict)
    reached: bool = False
    names: set[str] = field(default_factory=set)

    def follow(self, value: Any) -> None:
        """Notes which keys below this place a value has."""
        for step, place in self.below.items():
            if step == EVERY:
                items = value.values() if isinstance(value, dict) else value
                for item in items if isinstance(value, dict | list) else ():
                    place.follow(item)
            elif isinstance(step, int):
                if isinstance(value, list) and step < len(value):
                    place.follow(value[step])
            elif isinstance(value, dict):
                self.reached = True
                if step in value:
                    place.seen = True
                    place.follow(value[step])
                elif not place.seen and len(self.names) < _HELD_NAMES:
                    self.names.update(value)

    def places(self) -> Iterator[tuple[_Place, _Place]]:
        """Every key below, with the place whose object it is a key of."""
        for step, place in self.below.items():
            if isinstance(step, str):
                yield self, place
            yield from place.places()


@dataclass
class KeyWatch:
    """Watches the blocks of one task.

    Attributes:
        columns: names of the columns that need each key of the schema.
        leaves: every place that is read, and the keys on the way to it.
        last: the file that the last block ended in, and the keys that it has: a large file is cut
            into blocks.
    """

    shape: Shape
    columns: Mapping[Steps, list[str]]
    leaves: Sequence[tuple[Steps, Sequence[Steps]]]
    last: tuple[str, frozenset[Steps]] = ("", frozenset())

    @classmethod
    def of(cls, shape: Shape) -> KeyWatch:
        columns: dict[Steps, list[str]] = {}
        leaves = list(read_places(shape))
        for steps, name in leaves:
            for key in keys_of(steps):
                if name not in columns.setdefault(key, []):
                    columns[key].append(name)
        return cls(shape, columns, [(steps, keys_of(steps)) for steps, _ in leaves])

    def look(
        self,
        names: Sequence[str],
        owners: np.ndarray,
        of_rows: np.ndarray,
        columns: Mapping[str, pa.Array],
        lines: Lines,
    ) -> tuple[dict[str, FileKeys], int]:
        """What a block tells of its files: keys that never appear in them, and, of the first and
        the last file, with which other blocks may go on, those that do; and how many files are not
        told of, for they lack nothing.

        Args:
            names: of the block's files.
            owners, of_rows: the place in `names` of each record, and of each row; rising.
            columns: of the rows.
            lines: the text of the records.

        Runs on: executor.
        """
        files = np.unique(owners)
        edges = np.searchsorted(of_rows, np.append(files, len(names)))
        void = self._void(columns, edges)
        looked_at = np.zeros(len(files), bool)
        looked_at[[0, -1]] = True
        for masked in void.values():
            looked_at |= masked
        told: dict[str, FileKeys] = {}
        for place in np.flatnonzero(looked_at).tolist():
            file = int(files[place])
            missing = [steps for steps, masked in void.items() if masked[place]]
            before = self.last[1] if names[file] == self.last[0] else frozenset[Steps]()
            has_rows = edges[place + 1] > edges[place]
            seen = self._seen(missing) | before if has_rows else before
            # One that is null, but whose keys are known to stand in the file, needs no look.
            missing = [steps for steps in missing if not seen.issuperset(keys_of(steps))]
            absent: dict[Steps, list[str]] = {}
            if missing:
                low, high = np.searchsorted(owners, [file, file + 1])
                found, absent = self._search(
                    missing, (lines[number] for number in range(low, high))
                )
                seen |= found
            if absent or place in (0, len(files) - 1):
                told[names[file]] = self._told(absent, seen)
            self.last = (names[file], frozenset(seen))
        return told, len(files) - len(told)

    def _void(self, columns: Mapping[str, pa.Array], edges: np.ndarray) -> dict[Steps, np.ndarray]:
        """Places in a record at which no row of a file has a value: bool (files,) each."""
        found: dict[Steps, np.ndarray] = {}
        for column in self.shape.columns:
            start = (*(self.shape.explode or ()), EVERY) if column.inside else ()
            found |= _void(columns[column.name], edges, (*start, *column.steps))
        if self.shape.explode is not None:
            found[self.shape.explode] = np.diff(edges) == 0
        return found

    def _seen(self, missing: Collection[Steps]) -> frozenset[Steps]:
        """The keys of all places that have values."""
        return frozenset(
            key
            for steps, keys in self.leaves
            if not any(steps[: len(gone)] == gone for gone in missing)
            for key in keys
        )

    def _search(
        self, missing: Collection[Steps], lines: Iterable[bytes]
    ) -> tuple[set[Steps], dict[Steps, list[str]]]:
        """The keys on the way to some places that appear in lines, and those that do not, with the
        names that look like them.
        """
        root = _Place()
        for steps in missing:
            place = root
            for number, step in enumerate(steps, 1):
                place = place.below.setdefault(step, _Place(steps[:number]))
        unseen = [place for _, place in root.places()]
        for line in lines:
            try:
                root.follow(_DECODER.decode(line.decode()))
            except (ValueError, RecursionError):  # no JSON: it is in the quarantine
                continue
            unseen = [place for place in unseen if not place.seen]
            if not unseen:
                break
        absent = {
            place.steps: look_alikes(
                str(place.steps[-1]),
                {name for name in above.names if (*above.steps, name) not in self.columns},
            )
            for above, place in root.places()
            if above.reached and not place.seen
        }
        return {place.steps for _, place in root.places() if place.seen}, absent

    def _told(self, absent: Mapping[Steps, list[str]], seen: Collection[Steps]) -> FileKeys:
        return FileKeys(
            {
                written_place(steps): (
                    list(self.columns.get(steps, ())),
                    [written_place((*steps[:-1], name)) for name in alike],
                )
                for steps, alike in absent.items()
            },
            {written_place(steps) for steps in seen},
        )


def _void(values: pa.Array, edges: np.ndarray, steps: Steps) -> dict[Steps, np.ndarray]:
    """Which stretches of a column have values nowhere, though they have rows; also inside of it.

    Args:
        edges: where each stretch starts, and where the last one ends.
    """
    counts = np.diff(edges)
    if values.null_count:
        valid = pc.is_valid(values).to_numpy(zero_copy_only=False)
        sums = np.concatenate([[0], np.cumsum(valid)])
        counts = np.diff(sums[edges])
    void = (counts == 0) & (np.diff(edges) > 0)
    found = {steps: void} if void.any() else {}
    type_ = values.type
    if pa.types.is_struct(type_):
        for part, inner in zip(type_, values.flatten(), strict=True):
            inside = _void(inner, edges, (*steps, part.name))
            found |= {place: mask & ~void for place, mask in inside.items()}
    elif has_struct(type_):
        child = values.items if pa.types.is_map(type_) else values.values
        offsets = values.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        found |= _void(child, offsets[edges], (*steps, EVERY))
    return found
