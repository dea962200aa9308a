"""What all stores share of streamed rows: what they stand above, and how a row says its commit.

Where a store has no column for the commit, it stands before the value, in digits of one length: so
the greater of two texts is the newer row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from batchinfer.errors import DamagedPointer, InputError, StorageError
from batchinfer.lookups.stores.generation import Generation, Pointer
from batchinfer.lookups.stores.online_store import newest_first

_T = TypeVar("_T")
STAMP_BYTES = 19
_MOST_COMMIT = (1 << 63) - 1
# Nobody is overtaken so often by others that set the pointer.
_SWAPS = 20


class Pointing(Protocol):
    """A store, as far as it has a pointer."""

    @property
    def place(self) -> str:
        """Where it is."""
        ...

    def pointer(self) -> Pointer | None:
        """The pointer as it is now."""
        ...


def pointer_below(store: Pointing, commit: int) -> Pointer | None:
    """The pointer that rows of a commit stand above; None where nobody would see them.

    Raises:
        InputError: no version of a table has this number.
        StorageError: nothing was loaded.
    """
    if not 0 <= commit <= _MOST_COMMIT:
        raise InputError(f"commit: got {commit}; allowed: 0 to {_MOST_COMMIT}")
    pointer = store.pointer()
    if pointer is None or not pointer.current.line:
        told = "nothing was loaded" if pointer is None else "an older build has loaded it"
        raise StorageError(
            f"{store.place}: {told}; streamed rows stand above what was loaded",
            "load the table first, with --full",
        )
    return pointer if commit > pointer.floor else None


def stamp(commit: int) -> bytes:
    """A commit as it stands before values."""
    return b"%019d" % commit


def commit_of(stamped: bytes) -> int:
    """The commit of a value that has it before it."""
    return int(stamped[:STAMP_BYTES])


def if_newer(stamped: bytes | None, version: int) -> bytes | None:
    """The value behind a commit that is newer than a generation's version; else None."""
    if stamped is None or commit_of(stamped) <= version:
        return None
    return stamped[STAMP_BYTES:]


def newest_rows(
    generation: Generation, values: Sequence[bytes | None], count: int
) -> list[bytes | None]:
    """The rows of some keys, from what each layer that a reader looks into has of them.

    Args:
        values: for each of `generation.seen` the value of each key; of streamed rows with the
            commit before it.
        count: of keys.
    """
    layers = [values[at : at + count] for at in range(0, len(values), count)]
    for place in range(len(generation.streamed)):
        layers[place] = [if_newer(one, generation.version) for one in layers[place]]
    return newest_first(layers)


def unless_damaged(read: Callable[[], Pointer | None]) -> Pointer | None:
    """A pointer that can be read; None also of one that cannot, which a new one may replace."""
    try:
        return read()
    except DamagedPointer:
        return None


def swap_pointer(
    read: Callable[[], _T | None],
    parse: Callable[[_T], Pointer],
    put: Callable[[Pointer, _T | None], bool],
    change: Callable[[Pointer | None], Pointer | None],
) -> bool:
    """Changes a pointer in one step, again where somebody else has changed it meanwhile.

    Args:
        put: sets it if it still is as it was read; tells whether it was.
        change: what is set in place of the pointer as it is; None: nothing.

    Returns:
        Whether the pointer is what `change` wants.
    """
    for _ in range(_SWAPS):
        found = read()
        now = None if found is None else unless_damaged(lambda text=found: parse(text))
        after = change(now)
        if after is None:
            return False
        if after == now or put(after, found):
            return True
    return False
