"""What the tasks of one extraction staged and counted.

Owns the sums, and what people should know of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from batchinfer.pipeline.landing.landing_task import LandingResult
from batchinfer.pipeline.slices.staged_rows import StagedRows


@dataclass
class Staged(StagedRows):
    """What the tasks of one extraction staged and counted.

    Attributes:
        elsewhere: rows of other slices than the one that is landed anew.
    """

    rows: Counter[str] = field(default_factory=Counter)
    blank_lines: int = 0
    without_items: int = 0
    replaced: int = 0
    elsewhere: int = 0
    cut: int = 0
    results: list[LandingResult] = field(default_factory=list)

    @classmethod
    def of(cls, results: Sequence[LandingResult]) -> Staged:
        staged = cls()
        for result in results:
            staged._add(result)
        return staged

    @property
    def rows_landed(self) -> int:
        return sum(self.rows.values())

    def _add(self, result: LandingResult) -> None:
        self.add_counts(result)
        self.results.append(result)
        self.rows.update(result.rows)
        self.blank_lines += result.blank_lines
        self.without_items += result.without_items
        self.replaced += result.replaced
        self.elsewhere += result.elsewhere
        self.cut += result.cut

    def warnings(self, files: Sequence[str]) -> list[str]:
        """What people should know of the rows.

        Args:
            files: names of those that were read.
        """
        told: list[str] = []
        if self.replaced:
            told.append(
                f"{_counted(self.replaced, 'value')} of the log with bytes that are not UTF-8: "
                "U+FFFD stands for these; unescape: false lands values as the server wrote them"
            )
        if self.cut:
            told.append(
                f"{_counted(self.cut, 'time')} with parts of a microsecond, which Delta does not "
                "hold: these are cut off"
            )
        if self.without_items:
            told.append(
                f"{_counted(self.without_items, 'record')} gave no row: the list that "
                "source.options.explode names is missing or empty there"
            )
        elif self.rows_in == 0:
            told.append(f"all input files are empty: {', '.join(files[:3])}")
        return told


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
