"""Where each part of a document stands, so that a problem can be told with its place.

Owns how a place and a problem are written. Knows neither YAML nor what a document means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchinfer.contracts import Problem

# Keys are text and list places numbers, but YAML also has true, null and dates as keys.
Path = tuple[Any, ...]


@dataclass
class Spot:
    """One node of a document.

    Attributes:
        where: `file:line:column` of the entry's key or the item's start, or the override that set
            it.
        order: sorts spots as they are read: which text, line, column.
        written: the characters of an unquoted YAML word, None for anything else.
        key: the same of the key that this is the entry of.
        children: spots of the entries (by key) or items (by number).
    """

    where: str
    order: tuple[int, int, int] = (0, 0, 0)
    written: str | None = None
    key: str | None = None
    children: dict[Any, Spot] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """The spots of a whole document."""

    root: Spot

    def spot(self, path: Sequence[str | int]) -> Spot:
        """The spot of a path; of its nearest ancestor where the document has no such part."""
        spot = self.root
        for part in path:
            if part not in spot.children:
                return spot
            spot = spot.children[part]
        return spot

    def has(self, path: Sequence[str | int]) -> bool:
        """Whether the document has a part at this path."""
        spot = self.root
        for part in path:
            if part not in spot.children:
                return False
            spot = spot.children[part]
        return True

    def locate(self, path: Sequence[str | int]) -> str:
        """`file:line:column` of a path such as ("features", 2, "clip"), 1-based; or the override
        that set it.
        """
        return self.spot(path).where

    def sentence(self, problem: Problem) -> str:
        """A problem as a user reads it: `file:line:column (features[2].clip): message`."""
        where = self.locate(problem.path)
        return (
            f"{where} ({dotted(problem.path)}): {problem.message}"
            if problem.path
            else f"{where}: {problem.message}"
        )

    def sentences(self, problems: Iterable[Problem]) -> list[str]:
        """Problems in the order of the file, each told once."""
        ordered = sorted(problems, key=lambda problem: self.spot(problem.path).order)
        return list(dict.fromkeys(self.sentence(problem) for problem in ordered))


def dotted(path: Sequence[str | int]) -> str:
    """A path as it is written in messages and after `--set`: `features[2].clip.columns`."""
    return "".join(_step(part) for part in path).removeprefix(".")


def _step(part: object) -> str:
    if isinstance(part, bool):
        return f".{str(part).lower()}"
    return f"[{part}]" if isinstance(part, int) else f".{part}"


def merge(base: Any, base_spot: Spot, over: Any, over_spot: Spot) -> tuple[Any, Spot]:
    """One document laid over another: mappings entry by entry, anything else replaced whole; the
    spots likewise.
    """
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over, over_spot
    merged, spots = dict(base), dict(base_spot.children)
    for key, value in over.items():
        spot = over_spot.children.get(key, over_spot)
        merged[key], spots[key] = (
            merge(base[key], spots.get(key, base_spot), value, spot)
            if key in base
            else (value, spot)
        )
    return merged, Spot(over_spot.where, over_spot.order, children=spots)


def mapping_at(document: Any, *path: str) -> dict[Any, Any]:
    """The mapping at a path of a document; an empty one where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def each_name(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    """Each name of a list of names, or of one name alone, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        yield from (
            ((*path, place), name) for place, name in enumerate(value) if isinstance(name, str)
        )
