"""Which rows of Parquet files need no reading: what earlier tasks have done of them.

Owns the arithmetic of files, row groups and rows. Knows nothing of who has done it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from batchinfer.inference.split_reading import Part

# First row and end; None: of a whole row group.
_Rows = tuple[int, int] | None


@dataclass
class CoveredRows:
    """A set of rows, told by parts of files; no row is in it twice."""

    _whole: set[str] = field(default_factory=set[str])
    _groups: dict[str, dict[int, list[_Rows]]] = field(
        default_factory=dict[str, dict[int, list[_Rows]]]
    )

    def add(self, parts: Iterable[Part]) -> None:
        """Takes parts in, of which no row may be covered yet (see `overlaps`)."""
        for part in parts:
            if part.row_groups is None:
                self._whole.add(part.path)
                continue
            of_file = self._groups.setdefault(part.path, {})
            for group in part.row_groups:
                of_file.setdefault(group, []).append(part.rows)

    def overlaps(self, parts: Iterable[Part]) -> bool:
        """Whether a row of these parts is covered."""
        for part in parts:
            of_file = self._groups.get(part.path, {})
            if part.path in self._whole or (part.row_groups is None and of_file):
                return True
            for group in part.row_groups or ():
                if any(_meet(part.rows, rows) for rows in of_file.get(group, ())):
                    return True
        return False

    def is_whole(self, path: str) -> bool:
        """Whether all rows of a file are covered, told as a whole."""
        return path in self._whole

    def is_partly(self, path: str) -> bool:
        """Whether some rows of a file are covered, told by row groups."""
        return path in self._groups

    def rest(self, whole: Part, groups: Sequence[int]) -> list[tuple[Part, int]]:
        """Parts of a file that have all the rows that are not covered, each with how many it has.

        Args:
            whole: the file.
            groups: rows of each of its row groups.
        """
        covered = self._groups.get(whole.path, {})
        untouched = tuple(group for group in range(len(groups)) if group not in covered)
        found = [(replace(whole, row_groups=untouched), sum(groups[each] for each in untouched))]
        for group, pieces in sorted(covered.items()):
            at = 0
            taken = sorted(rows or (0, groups[group]) for rows in pieces)
            for start, end in [*taken, (groups[group], groups[group])]:
                if start > at:
                    part = replace(whole, row_groups=(group,), rows=(at, start))
                    found.append((part, start - at))
                at = max(at, end)
        return [(part, rows) for part, rows in found if rows]


def _meet(one: _Rows, other: _Rows) -> bool:
    return one is None or other is None or (one[0] < other[1] and other[0] < one[1])
