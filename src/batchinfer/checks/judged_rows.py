"""Rows that a suite judges, whichever engine of Great Expectations does it.

Owns what judging asks of rows beside the library's own verdicts. Knows neither Spark nor pandas.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from typing_extensions import Self

# Which rows are meant, in the words of an engine: `&`, `|`, `~` and `!=` join them, and each is
# true or false of every row.
Mask = Any


class JudgedRows(Protocol):
    """Rows as one of the library's engines reads them.

    Attributes:
        columns: names, in order.
        frame: what the engine takes.

    Runs on: driver.
    """

    columns: Sequence[str]
    frame: Any

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """Errors that asking for rows or counts may end with, where a condition cannot be
        computed.
        """
        ...

    def with_frame(self, frame: Any) -> Self:
        """Rows of the same kind in another frame."""
        ...

    def batches(self, context: Any, name: str) -> Any:
        """A batch definition of the library, in an ephemeral context, that takes such frames."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is a column, or a field inside of one, of this name."""
        ...

    def has_nan(self, name: str) -> bool:
        """Whether the type of a column has a NaN; False where there is none of this name."""
        ...

    def is_text(self, name: str) -> bool:
        """Whether a column is text; False where there is none of this name."""
        ...

    def told_type(self, name: str) -> str:
        """The type of a column that is there, in Spark's words."""
        ...

    def nan(self, name: str) -> Mask:
        """Rows with NaN in a column."""
        ...

    def null(self, name: str) -> Mask:
        """Rows without a value in a column."""
        ...

    def no_json(self, name: str) -> Mask:
        """Rows with a text that is no JSON in a column; null is none."""
        ...

    def count(self, masks: Sequence[Mask]) -> list[int]:
        """How many rows each mask means."""
        ...

    def without(self, mask: Mask) -> Self:
        """The rows that a mask does not mean."""
        ...

    def is_empty(self) -> bool:
        """Whether there is no row."""
        ...

    def plain(self, found: Any) -> Any:
        """What the library found, without what stands for null in the engine alone."""
        ...


def is_json(text: str | None) -> bool:
    """Whether a text is JSON, as Python's own module reads it; null is left out by the library, and
    counts as if it were.
    """
    try:
        json.loads("null" if text is None else text)
    except ValueError:
        return False
    return True
