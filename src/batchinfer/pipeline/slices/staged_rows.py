"""What tasks staged and counted, added up: what landing and scoring have in common.

Both read rows, stage the good ones and quarantine the rest; each adds what only it counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from batchinfer.contracts import StagedFile


class TaskCounts(Protocol):
    """What every task tells of the rows that it read."""

    @property
    def files(self) -> Sequence[StagedFile]: ...

    @property
    def quarantine(self) -> Sequence[StagedFile]: ...

    @property
    def reasons(self) -> Mapping[str, int]: ...

    @property
    def seconds(self) -> Mapping[str, float]: ...

    @property
    def rows_in(self) -> int: ...

    @property
    def rows_quarantined(self) -> int: ...


@dataclass
class StagedRows:
    """The sums over the tasks of one run.

    Attributes:
        files: rows that were staged.
        quarantine: files of the rows that were not.
        reasons: of the rows in quarantine, and how many of each.
        seconds: of each stage.
    """

    files: list[StagedFile] = field(default_factory=list)
    quarantine: list[StagedFile] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    rows_in: int = 0
    rows_quarantined: int = 0

    def add_counts(self, result: TaskCounts) -> None:
        """Adds what one task staged and counted."""
        self.files += result.files
        self.quarantine += result.quarantine
        self.reasons.update(result.reasons)
        self.seconds.update(result.seconds)
        self.rows_in += result.rows_in
        self.rows_quarantined += result.rows_quarantined
