"""What stands for a missing value in the rows that a model was fitted on.

Owns the value. Knows neither models nor columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class MissingWord:
    """What stands for a missing value in a column of a frame.

    Attributes:
        kind: `none` Python's None, `nan` not-a-number, `value` a word of the model's own.
        value: that word, a text, a number or a truth value; only of `value`.
    """

    kind: Literal["none", "nan", "value"]
    value: str | float | int | bool | None = None

    def to_json(self) -> dict[str, Any]:
        """As it stands in a feed's `words`."""
        return {"kind": self.kind} | ({"value": self.value} if self.kind == "value" else {})

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> MissingWord:
        """What `to_json` wrote."""
        return cls(stored["kind"], stored.get("value"))

    def __str__(self) -> str:
        return {"none": "None", "nan": "NaN"}.get(self.kind, repr(self.value))

    @property
    def filling(self) -> Any:
        """The value itself."""
        return {"none": None, "nan": float("nan")}.get(self.kind, self.value)
