"""A generation of a store that requests read, and how many of them do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchinfer.lookups.stores.generation import Generation

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(eq=False)
class HeldGeneration:
    """A generation that can be read.

    Attributes:
        key_types: Arrow type of each key column, in order.
        confirmed_s: when each slice was last confirmed, in seconds since 1970.
        loaded_s: when it was loaded.
        readers: requests that hold it now.
    """

    generation: Generation
    key_types: Mapping[str, pa.DataType]
    confirmed_s: Mapping[str, float]
    loaded_s: float
    readers: int = 0

    @classmethod
    def of(cls, generation: Generation) -> HeldGeneration:
        confirmed = {name: _seconds(text) for name, text in generation.confirmed.items()}
        return cls(generation, generation.key_types, confirmed, _seconds(generation.loaded_at))

    def when_confirmed(self, slice_: str) -> float | None:
        """When a slice was last confirmed, at the least; None: nobody knows."""
        # A stream has published a slice that the generation does not know, so after it was loaded.
        unknown = self.loaded_s if self.generation.streamed else None
        return self.confirmed_s.get(slice_, unknown)


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()
