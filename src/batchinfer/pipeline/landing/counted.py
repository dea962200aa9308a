"""What the tasks of one extraction staged and counted.

Owns the sums, and what people should know of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchinfer.contracts import StagedFile

_COUNTS = (
    *("rows_in", "rows_quarantined", "blank_lines", "without_items", "replaced", "elsewhere"),
    "cut",
)


@dataclass
class Staged:
    """What the tasks of one extraction staged and counted.

    Attributes:
        elsewhere: rows of other slices than the one that is landed anew.
    """

    files: list[StagedFile] = field(default_factory=list)
    quarantine: list[StagedFile] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rows_in: int = 0
    rows_quarantined: int = 0
    blank_lines: int = 0
    without_items: int = 0
    replaced: int = 0
    elsewhere: int = 0
    cut: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    results: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def rows_landed(self) -> int:
        return sum(self.rows.values())

    def add(self, result: Mapping[str, Any]) -> None:
        self.results.append(result)
        self.files += [StagedFile.from_json(value) for value in result["files"]]
        self.quarantine += [StagedFile.from_json(value) for value in result["quarantine"]]
        for counter in ("rows", "reasons", "seconds"):
            getattr(self, counter).update(result[counter])
        for number in _COUNTS:
            setattr(self, number, getattr(self, number) + result[number])

    def warnings(self, files: Sequence[str]) -> list[str]:
        """What people should know of the rows.

        Args:
            files: names of those that were read.
        """
        told: list[str] = []
        if self.replaced:
            told.append(
                f"{self.replaced:,} values of the log hold bytes that are not UTF-8; U+FFFD stands "
                "for these, and unescape: false lands values as the server wrote them"
            )
        if self.cut:
            told.append(
                f"{self.cut:,} times have parts of a microsecond, which Delta does not hold: they "
                "land without these"
            )
        if self.without_items:
            told.append(
                f"{self.without_items:,} records gave no row: the list that source.options.explode "
                "names is missing or empty there"
            )
        elif self.rows_in == 0:
            told.append(f"all input files are empty: {', '.join(files[:3])}")
        return told
