"""Rows by key out of several files of one table.

Owns which reads are made at once, and what their faults are called. Must not know which file comes
first.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from batchinfer.errors import StorageError
from batchinfer.lake.table_places import reading_faults
from batchinfer.lookups.keyed_files import Key, KeyedFile

# Of a file: its path, what opens it, and the keys that it is asked for.
Asked = tuple[str, Callable[[], KeyedFile], Sequence[Key]]
KeyedRows = list[tuple[Key, dict[str, Any]]]
_One = TypeVar("_One")
_Other = TypeVar("_Other")
# What is read at once: of local files decoding bounds it, of a store its answers.
_LOCAL_READS, STORE_READS = 2, 16
# Fewer reads of local files are done sooner than threads begin.
_FEW_READS = 4
# Runs of row groups of a local file that are read each by one thread, with the file opened once.
_RUNS = 16


def read_files(asked: Sequence[Asked], is_local: bool) -> list[KeyedRows]:
    """The rows that some files have of some keys, of each file in its order.

    Raises:
        FileNotFoundError: a file is gone: the table may have moved on.
        DamagedFile: its bytes are not those that were written.
        StorageError: storage fails.
    """

    def plan(place: int) -> list[tuple[int, dict[int, list[Key]]]]:
        path, open_file, keys = asked[place]
        with _file_faults(path):
            groups = list(open_file().candidates(keys).items())
        at_once = max(1, len(groups) // _RUNS) if is_local else 1
        return [
            (place, dict(groups[start : start + at_once]))
            for start in range(0, len(groups), at_once)
        ]

    def find(run: tuple[int, dict[int, list[Key]]]) -> KeyedRows:
        path, open_file, _ = asked[run[0]]
        with _file_faults(path):
            return open_file().find(run[1])

    runs = [run for some in _map(plan, range(len(asked)), is_local) for run in some]
    found: list[KeyedRows] = [[] for _ in asked]
    for (place, _), rows in zip(runs, _map(find, runs, is_local), strict=True):
        found[place] += rows
    return found


def _map(work: Callable[[_One], _Other], items: Sequence[_One], is_local: bool) -> Iterable[_Other]:
    """What the work makes of each; by threads where that is sooner."""
    if len(items) < (_FEW_READS if is_local else 2):
        return map(work, items)
    threads = min(len(items), _LOCAL_READS if is_local else STORE_READS)
    with ThreadPoolExecutor(threads, thread_name_prefix="lookup") as pool:
        return list(pool.map(work, items))


@contextmanager
def _file_faults(path: str) -> Generator[None]:
    """As `reading_faults`; but a file that is gone is told as such."""
    try:
        with reading_faults(path):
            yield
    except StorageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise error.__cause__ from None
        raise
