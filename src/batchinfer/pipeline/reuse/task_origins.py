"""What the predictions of one task were made from: rows of the files that it read, and the plan
that decided what became of them.

Of equal origins the rows are equal, whoever scored them. Owns the words by which notes and the
footers of published files say it. Must not know what a plan is.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from batchinfer.inference.split_reading import Part, Split
from batchinfer.json_values import from_json, to_json

FACT = "batchinfer.task"
# A footer is read with each lookup: a task of so many small files that they would fill it tells
# nothing there.
_MOST_BYTES = 16 * 2**10


@dataclass(frozen=True)
class TaskOrigin:
    """Where the rows of a task come from.

    Attributes:
        plan: digest of all that decides what becomes of a row.
        task: told by all files of one attempt at one task, and by no others.
        parts: of the source's files, which never change; without partition values.
        rows: that these parts have.
    """

    plan: str
    task: str
    parts: tuple[Part, ...]
    rows: int

    @classmethod
    def of(cls, plan: str, split: Split) -> TaskOrigin:
        """The origin of what one attempt at a split gives. Runs on: executor."""
        parts = tuple(replace(part, partition={}) for part in split.parts)
        return cls(plan, uuid.uuid4().hex, parts, split.rows)

    def as_facts(self) -> dict[str, str]:
        """What the footers of the task's files say; nothing where that would be too much."""
        text = to_json(self)
        return {FACT: text} if len(text) <= _MOST_BYTES else {}

    @classmethod
    def told_by(cls, facts: Mapping[str, str]) -> TaskOrigin | None:
        """The origin that a footer tells; None if it tells none that this build can read."""
        try:
            return from_json(cls, facts[FACT]) if FACT in facts else None
        except (ValidationError, ValueError):
            return None

    def is_of(self, plan: str, paths: Collection[str]) -> bool:
        """Whether its rows are as this plan would give them now, and all its files are there."""
        return self.plan == plan and all(part.path in paths for part in self.parts)
