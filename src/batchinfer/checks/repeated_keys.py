"""Duplicate keys in a frame. Owns the one grouping that finds them; never writes data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_ROWS = "__rows_of_key"


def find_duplicate_keys(
    frame: DataFrame, key: Sequence[str], within: Sequence[str] = (), limit: int = 3
) -> list[dict[str, Any]]:
    """Examples of keys that occur more than once, the most frequent first: `{key: {…}, within: {…},
    count: n}`.

    An empty list means that the key is unique. Null key values count as equal to each other. Values
    are JSON-able: what JSON has no word for (dates, decimals) comes as text.

    Args:
        frame: the rows; only the named columns are read.
        key: columns of the key.
        within: columns that the key is unique in, such as the slice.
        limit: most examples to return.

    Runs on: driver.
    """
    from pyspark.sql import functions as F

    names = list(dict.fromkeys([*within, *key]))
    columns = [F.col(_quoted(name)) for name in names]
    counted = frame.select(columns).groupBy(columns).agg(F.count(F.lit(1)).alias(_ROWS))
    # Ordered by the key as well, so that a second look shows the same examples.
    order = [F.col(_ROWS).desc(), *columns]
    found = counted.where(F.col(_ROWS) > 1).orderBy(*order).limit(limit).collect()
    return [
        {
            "key": {name: _plain(row[name]) for name in key},
            "within": {name: _plain(row[name]) for name in within},
            "count": row[_ROWS],
        }
        for row in found
    ]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
