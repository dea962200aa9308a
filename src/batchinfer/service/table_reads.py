"""Rows of Delta tables by key, for what an online store does not have.

Reads go on in threads of their own, so that the event loop never waits for a file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from batchinfer.lookups.key_values import convert_keys
from batchinfer.lookups.stores.stored_rows import stored_key
from batchinfer.service.question_keys import Key

_TABLE_THREADS = 4


class TableRows(NamedTuple):
    """What a table has of some keys.

    Attributes:
        rows: of each key its row, or None.
        confirmed_s: when each slice was last confirmed, in seconds since 1970.
        stored: each key as stores have it.
    """

    rows: list[dict[str, Any] | None]
    confirmed_s: Mapping[str, float]
    stored: list[bytes]


class TableReads:
    """Reads of tables, in a few threads: they take tens of milliseconds, not microseconds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_TABLE_THREADS, "table")
        self._confirmed: dict[str, tuple[int, Mapping[str, float]]] = {}

    async def rows(
        self, table: str, keys: Sequence[Key], as_of: str | None, seconds: float
    ) -> TableRows:
        """The row of each key, and when each slice was last confirmed.

        Raises:
            asyncio.TimeoutError: they took longer.
            BatchInferError: as `lookup_rows` does.
        """
        reading = asyncio.get_running_loop().run_in_executor(
            self._pool, self._read, table, keys, as_of
        )
        return await asyncio.wait_for(reading, seconds)

    def _read(self, table: str, keys: Sequence[Key], as_of: str | None) -> TableRows:
        # Both are heavy, and most services never read a table.
        from batchinfer.lookups.confirmed import confirmed_seconds, confirmed_times
        from batchinfer.lookups.keyed_snapshots import open_snapshot
        from batchinfer.lookups.tables import lookup_rows

        rows = lookup_rows(table, keys, as_of)
        snapshot = open_snapshot(table)
        version, types = snapshot.version, snapshot.key_types()
        known = self._confirmed.get(table)
        if known is None or known[0] != version:
            seconds = confirmed_seconds(confirmed_times(table, version))
            known = self._confirmed[table] = (version, seconds)
        return TableRows(rows, known[1], [stored_key(key) for key in convert_keys(keys, types)])

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
