"""Parquet files, divided into tasks.

Owns how row groups are shared out over workers. Knows nothing of Delta: it is told the files of a
table's version, and the partition values that are not in them. How a worker reads its share is
`split_reading`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from batchinfer.config.uris import join
from batchinfer.contracts import DataFile
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.inference.split_reading import Part, Split, group_rows

TARGET_BYTES = 256 * 2**20
# A task of less costs more to start than to run.
SMALLEST_BYTES = 256 * 2**10
_TASKS_PER_WORKER = 2
# From this size on a worker's last task is two of half the size: workers are never equally fast,
# and whoever is done first waits for the others as long as the last task takes.
_HALVED_BYTES = 32 * 2**20
# A piece counts as small up to this multiple of what a small task should have.
_COARSE = 1.1
# Files whose row groups are asked for at once.
_OPENED = 32
# From so many tasks a worker on, what is balanced is who takes the next one: tasks are then cut at
# files.
_CUT_AT_FILES = 4
# Tasks that are wanted for their rows' sake are no more than these: each leaves a file.
_MOST_BY_ROWS = 48
# A file of so many times what a task should have is cut in two.
_LARGER = 1.5


def plan_splits(
    files: Sequence[DataFile],
    workers: int,
    target_bytes: int = TARGET_BYTES,
    smallest_bytes: int = SMALLEST_BYTES,
    rounds: int = _TASKS_PER_WORKER,
    task_rows: int | None = None,
    covered: CoveredRows | None = None,
) -> list[Split]:
    """Shares files out into tasks: few large ones, but two for each worker where the data allow;
    the last ones are smaller.

    Every row is in exactly one task; a row group is cut only where there would be fewer tasks than
    workers, or nothing small enough for the last tasks. Only files that are larger than a task are
    opened, for their row groups.

    Args:
        files: with whole paths.
        workers: tasks that run at the same time.
        target_bytes: most bytes of a task, as they are in the files; a row group is never cut.
        smallest_bytes: tasks are not made smaller than this just to have enough of them.
        rounds: tasks that each worker should get at least; with one, all tasks are of about the
            same size.
        task_rows: rows that a task should not have many more of. Where that makes many tasks, one
            has rows of one file, or several whole ones. None: bytes alone decide.
        covered: rows that no task shall read.

    Returns:
        The same files give the same tasks. No files give no tasks.

    Runs on: driver.

    Raises:
        InputMissing, InputError: a file that must be opened is not there, or is not Parquet.
    """
    stock = _stock([file for file in files if file.rows != 0], covered or CoveredRows())
    total = sum(piece.bytes for piece in stock)
    if not stock:
        return []
    tasks = max(workers * rounds, math.ceil(total / target_bytes))
    if task_rows is not None:
        by_rows = math.ceil(sum(piece.rows for piece in stock) / task_rows)
        tasks = max(tasks, min(_MOST_BY_ROWS, by_rows))
    # A multiple of the workers: otherwise some of them idle while the last round runs.
    tasks = min(math.ceil(tasks / workers) * workers, max(1, math.ceil(total / smallest_bytes)))
    if task_rows is not None and tasks >= _CUT_AT_FILES * workers:
        cut = _cut_at_files(stock, total / tasks)
        if len(cut) >= 2 * workers:
            return sorted(cut, key=lambda split: -split.bytes)
    weights = [1.0] * tasks
    if rounds > 1 and tasks % workers == 0 and total / tasks >= _HALVED_BYTES:
        weights[-workers:] = [0.5] * 2 * workers
    piece_bytes = max(1, math.ceil(total / tasks * min(weights)))
    groups = _groups_of([piece.part.path for piece in stock if piece.bytes > piece_bytes])
    pieces = [run for piece in stock for run in _runs(piece, piece_bytes, groups)]
    if len(weights) > tasks:
        pieces = _with_small_ones(pieces, 2 * workers, piece_bytes)
    if len(pieces) < min(workers, tasks):
        shares = math.ceil(workers / len(pieces))
        pieces = [share for piece in pieces for share in _shares(piece, shares, smallest_bytes)]
    return [
        _split([pieces[index] for index in members])
        for members in _balance([piece.bytes for piece in pieces], weights)
    ]


@dataclass(frozen=True)
class _Piece:
    """What is never divided between tasks: a file, some row groups of one, or a share of one."""

    part: Part
    rows: int
    bytes: float


def _stock(files: Sequence[DataFile], covered: CoveredRows) -> list[_Piece]:
    """What is to be read of the files, in pieces as large as can be; those that are covered in part
    are opened.
    """
    groups = _groups_of([file.path for file in files if covered.is_partly(file.path)])
    stock: list[_Piece] = []
    for file in files:
        whole = Part(file.path, partition=file.partition)
        if file.path in groups:
            bytes_per_row = file.size / max(1, sum(groups[file.path]))
            stock += [
                _Piece(part, rows, rows * bytes_per_row)
                for part, rows in covered.rest(whole, groups[file.path])
            ]
        elif not covered.is_whole(file.path):
            stock.append(_Piece(whole, file.known_rows, file.size))
    return stock


def _cut_at_files(stock: Sequence[_Piece], size: float) -> list[Split]:
    """Tasks of about this size, each with row groups of one file, or with several small files."""
    large = [piece for piece in stock if piece.bytes > size / 2]
    groups = _groups_of([piece.part.path for piece in large if piece.bytes > _LARGER * size])
    tasks = [
        _split([run])
        for piece in large
        for run in _runs(piece, piece.bytes / max(1, round(piece.bytes / size)), groups)
    ]
    small = [piece for piece in stock if piece.bytes <= size / 2]
    bins = math.ceil(sum(piece.bytes for piece in small) / size)
    return tasks + [
        _split([small[index] for index in members])
        for members in _balance([piece.bytes for piece in small], [1.0] * bins)
    ]


def _groups_of(paths: Sequence[str]) -> dict[str, list[int]]:
    """Rows of each row group of files, opened side by side: on a store each takes two answers of a
    tenth of a second.
    """
    paths = list(dict.fromkeys(paths))
    if len(paths) < 2:
        return {path: group_rows(path) for path in paths}
    with ThreadPoolExecutor(min(_OPENED, len(paths)), thread_name_prefix="footers") as pool:
        return dict(zip(paths, pool.map(group_rows, paths), strict=True))


def _runs(piece: _Piece, run_bytes: float, groups_of: Mapping[str, list[int]]) -> list[_Piece]:
    """A piece whole, or in runs of row groups of about so many bytes each."""
    part = piece.part
    if piece.bytes <= run_bytes or part.rows is not None or part.path not in groups_of:
        return [piece]
    groups = groups_of[part.path]
    bytes_per_row = piece.bytes / max(1, piece.rows)
    runs: list[list[int]] = []
    at = 0.0
    for group in range(len(groups)) if part.row_groups is None else part.row_groups:
        size = groups[group] * bytes_per_row
        if not runs or at + size > run_bytes:
            runs.append([])
            at = 0.0
        runs[-1].append(group)
        at += size
    counts = [sum(groups[group] for group in run) for run in runs]
    return [
        _Piece(replace(part, row_groups=tuple(run)), rows, rows * bytes_per_row)
        for run, rows in zip(runs, counts, strict=True)
    ]


def _with_small_ones(pieces: list[_Piece], wanted: int, piece_bytes: int) -> list[_Piece]:
    """The pieces, of which enough are small: where row groups are too coarse for that, the smallest
    of them are halved.

    The second half reads its group from the beginning; to read is a small part of the work, and few
    groups are halved.
    """
    coarse = sorted(
        (piece for piece in pieces if piece.bytes > _COARSE * piece_bytes),
        key=lambda piece: piece.bytes,
    )
    lacking = math.ceil(max(0, wanted - (len(pieces) - len(coarse))) / 2)
    halved = [id(piece) for piece in coarse[:lacking]]
    return [
        part
        for piece in pieces
        for part in (_shares(piece, 2, piece_bytes // 2) if id(piece) in halved else [piece])
    ]


def _shares(piece: _Piece, wanted: int, smallest_bytes: int) -> list[_Piece]:
    """A piece of one row group as several shares of its rows, so that no worker idles; each reads
    the group up to its end.
    """
    count = min(wanted, max(1, int(piece.bytes // smallest_bytes)))
    groups = piece.part.row_groups
    if count == 1 or groups is None or len(groups) > 1:
        return [piece]
    first, end = piece.part.rows or (0, piece.rows)
    bounds = [first + (end - first) * number // count for number in range(count + 1)]
    return [
        _Piece(replace(piece.part, rows=(start, stop)), stop - start, piece.bytes / count)
        for start, stop in itertools.pairwise(bounds)
    ]


def _balance(sizes: Sequence[float], weights: Sequence[float]) -> list[list[int]]:
    """Indices of the pieces of each task: the largest piece first, always to the task that has
    least for its weight.

    The largest task comes first, since tasks are begun in their order.
    """
    heap = [(0.0, task) for task in range(len(weights))]
    members: list[list[int]] = [[] for _ in weights]
    for index in sorted(range(len(sizes)), key=lambda index: (-sizes[index], index)):
        load, task = heapq.heappop(heap)
        members[task].append(index)
        heapq.heappush(heap, (load + sizes[index] / weights[task], task))
    found = [sorted(each) for each in members if each]
    return sorted(found, key=lambda each: -sum(sizes[index] for index in each))


def _split(pieces: Sequence[_Piece]) -> Split:
    return Split(
        tuple(piece.part for piece in pieces),
        sum(piece.rows for piece in pieces),
        round(sum(piece.bytes for piece in pieces)),
    )


def split_files(
    table: str,
    files: Sequence[DataFile],
    count: int,
    most_bytes: int = TARGET_BYTES,
    rounds: int = 2,
    task_rows: int | None = None,
    covered: CoveredRows | None = None,
) -> list[Split]:
    """Row groups of some files of a table, balanced over the workers; see `plan_splits`."""
    whole = [replace(file, path=join(table, file.path)) for file in files]
    return plan_splits(
        whole, count, most_bytes, rounds=rounds, task_rows=task_rows, covered=covered
    )
