"""How much of a Redis server's memory rows take, and whether there is so much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.errors import StorageError

# What the server adds to a row: the entry of its table and a share of the table, the object, heads
# of two strings, and what rounding to its sizes of memory takes. Measured on 7.0 (jemalloc).
_ROW_BYTES, _EXPIRY_BYTES, _ROUNDED = 88, 48, 1.06


def memory_of_rows(rows: int, size: int, name_bytes: int, expires: bool) -> int:
    """Bytes of memory that rows take, within some 15 percent.

    Args:
        size: bytes of their keys and values.
        name_bytes: that stand before each key.
    """
    one = _ROW_BYTES + name_bytes + (_EXPIRY_BYTES if expires else 0)
    return int(rows * one + size * _ROUNDED)


def check_memory(
    nodes: Sequence[Mapping[str, Any]], needed: int, place: str, expires: bool
) -> tuple[str, ...]:
    """What people should know of the servers' memory before rows are written.

    Args:
        nodes: what each server says of its memory; rows are spread over them.
        needed: bytes.

    Raises:
        StorageError: there is too little.
    """
    warned = list[str]()
    for memory in nodes:
        most, free = memory["maxmemory"], memory["maxmemory"] - memory["used_memory"]
        policy = str(memory.get("maxmemory_policy", "noeviction"))
        if not most:
            continue
        if policy.startswith("allkeys") or (expires and policy.startswith("volatile")):
            warned.append(
                f"{place}: maxmemory-policy is {policy}: rows vanish where memory is full; "
                "noeviction keeps them"
            )
        elif needed / len(nodes) > free:
            spread = f" on {len(nodes)} nodes" if len(nodes) > 1 else ""
            raise StorageError(
                f"{place}: the rows need some {needed >> 20:,} MiB of memory{spread}; free are "
                f"{max(free, 0) >> 20:,} MiB of {most >> 20:,}; nothing was written",
                "raise the server's maxmemory",
            )
    return tuple(dict.fromkeys(warned))
