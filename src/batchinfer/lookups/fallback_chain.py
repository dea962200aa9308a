"""Which fallback answers for a key: the level that has a row, in the order of the pipeline file.

A table of fallbacks is read by (level, by), like a predictions table by its key; `by` is the text
of the level's values. Its rows hold the answer as JSON. Must not know where that table lies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchinfer.config.shapes.fallback_levels import Fallback
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.lookups.told_rows import json_value

# The level of answers that were found for one key beforehand, by its own features.
OWN_LEVEL = "="
LEVEL, BY, ANSWERS, ROW = "level", "by", "answers", "row"
KEY = (LEVEL, BY)
# What a question may say beside a key.
ATTRIBUTE = "text, a number, or true and false"


@dataclass(frozen=True)
class FallbackAnswer:
    """What stands in for a prediction.

    Attributes:
        level: that answers.
        row: its columns, as JSON.
    """

    level: str
    row: str


@dataclass(frozen=True)
class FallbackChain:
    """The levels of a pipeline.

    Attributes:
        levels: name and columns of each, in their order.
        max_age_s: how long ago the slice of a row may have been published; None: for ever.
    """

    levels: tuple[tuple[str, tuple[str, ...]], ...]
    max_age_s: float | None = None

    @classmethod
    def of(cls, fallback: Fallback) -> FallbackChain:
        """The levels that a pipeline file says."""
        levels = tuple((level.name, level.by) for level in fallback.levels)
        return cls(levels, fallback.max_age)

    @property
    def attributes(self) -> frozenset[str]:
        """Names that a question may say beside the key."""
        return frozenset(name for _, by in self.levels for name in by)

    def is_stale(self, confirmed_s: float | None, now: float) -> bool:
        """Whether a row is too old.

        Args:
            confirmed_s: when its slice was last published, in seconds since 1970, as `now` is;
                None: nobody knows.
        """
        if self.max_age_s is None:
            return False
        return confirmed_s is None or now - confirmed_s > self.max_age_s

    def questions(self, key: bytes, attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
        """The (level, by) that may answer for a key without a fresh prediction: what was found for
        this very key, then the levels whose columns are all known.

        Args:
            key: as `stored_rows.stored_key` has it.
            attributes: what the question says, or the row that is too old.
        """
        return [(OWN_LEVEL, key.decode())] + [
            (name, by_text([attributes[column] for column in by]))
            for name, by in self.levels
            if all(attributes.get(column) is not None for column in by)
        ]

    def choose(
        self, rows: Sequence[Mapping[str, Any] | None], attributes: Mapping[str, Any]
    ) -> FallbackAnswer | None:
        """The answer, from the rows of `questions` in their order; None: no level has one.

        Attributes that the question says win over those that the key had when it was landed.
        """
        own, *found = rows
        best = next((row for row in found if row is not None), None)
        if own is not None and (best is None or not self._said(attributes)):
            best = own
        return None if best is None else FallbackAnswer(best[ANSWERS], best[ROW])

    def _said(self, attributes: Mapping[str, Any]) -> bool:
        return any(attributes.get(name) is not None for name in self.attributes)


def is_attribute(value: Any) -> bool:
    """Whether a question may say this beside a key; half a surrogate pair is no text."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
    return isinstance(value, str | int | float)


def by_text(values: Sequence[Any]) -> str:
    """The text of a level's values, whatever types they have: 1, "1" and 1.0 are one. Empty where
    the level has none.
    """
    return stored_key([_plain(value) for value in values]).decode() if values else ""


def _plain(value: Any) -> str:
    told = json_value(value)
    if isinstance(told, bool):
        return str(told).lower()
    if isinstance(told, float) and told.is_integer() and abs(told) <= 2**53:
        told = int(told)
    return told if isinstance(told, str) else json.dumps(told)
