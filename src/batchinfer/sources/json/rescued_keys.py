"""What no column reads of JSON records, as a column of JSON text (`source.columns.rescue`).

Owns what of an exploded list's record goes to which of its rows. Must not know which keys count as
unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.config.json_paths import JsonPath
from batchinfer.contracts import RESCUED
from batchinfer.sources.json.plain_road import Refusal, Rows
from batchinfer.sources.json.shape import Shape
from batchinfer.sources.json.sieve import Lines
from batchinfer.sources.json.unknown_keys import NOTHING, UnknownKeys, decoded
from batchinfer.sources.rescued import rescued_text

_DEEP = Refusal(
    "json",
    "nested too deeply to be rescued; allowed: an object nested at most a few hundred deep",
)


@dataclass(frozen=True)
class KeyRescue:
    """Keeps what no column reads.

    Attributes:
        unknown: what that is.
    """

    shape: Shape
    unknown: UnknownKeys

    def add(self, found: Rows, lines: Lines) -> Rows:
        """The rows of lines with a column of what else their records have; null: nothing. Records
        that are nested too deeply are refused.

        With `explode`, a row has what its record has, and of the list its own item.

        Runs on: executor.
        """
        count = len(found.records)
        if not count or not self.unknown.may_hold(lines.text):
            columns = {**found.columns, RESCUED: pa.nulls(count, pa.string())}
            return Rows(columns, found.records, found.refused, found.without_items)
        texts: list[str | None] = []
        deep: dict[int, Refusal] = {}
        numbers, rows = np.unique(found.records, return_counts=True)
        for number, of_record in zip(numbers.tolist(), rows.tolist(), strict=True):
            record = decoded(lines[number], set())
            if record is None:
                deep[number] = _DEEP
                texts += [None] * of_record
            else:
                texts += self._texts(record)
        kept = pa.array(~np.isin(found.records, list(deep)))
        columns = {**found.columns, RESCUED: pa.array(texts, pa.string())}
        return Rows(
            {name: column.filter(kept) for name, column in columns.items()} if deep else columns,
            found.records[kept.to_numpy(zero_copy_only=False)],
            found.refused | deep,
            found.without_items,
        )

    def _texts(self, record: Mapping[str, Any]) -> list[str | None]:
        """The text of each row of a record."""
        explode = self.shape.explode
        if explode is None:
            return [self._text(record)]
        return [self._text(_with_item(record, explode, item)) for item in self.shape.items(record)]

    def _text(self, record: Any) -> str | None:
        rest = self.unknown.known.rest(record)
        return None if rest is NOTHING else rescued_text(rest)


def _with_item(value: Any, steps: JsonPath, item: Any) -> Any:
    """The value with a list of one item at a path that leads to a list."""
    if not steps:
        return [item]
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    changed[steps[0]] = _with_item(value[steps[0]], steps[1:], item)
    return changed
