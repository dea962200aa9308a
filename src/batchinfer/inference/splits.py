"""Parquet files, divided into tasks, and read by workers with Arrow.

Owns how row groups are shared out over workers, and how a worker reads its share with flat memory.
Knows nothing of Delta: it is told the files of a table's version, and the partition values that are
not in them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from pyarrow import compute
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile, damage
from batchinfer.config.uris import join
from batchinfer.errors import InputError, InputMissing, StorageError
from batchinfer.legacy_calendar import calendar_of
from batchinfer.object_stores import is_of_store, is_on_store, open_s3, words_and_hint

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

TARGET_BYTES = 256 * 2**20
# A task of less costs more to start than to run.
SMALLEST_BYTES = 256 * 2**10
# Rows of one Arrow batch: large enough to read fast, small enough to pass through a cache.
READ_ROWS = 65_536
_TASKS_PER_WORKER = 2
# From this size on a worker's last task is two of half the size: workers are never equally fast,
# and whoever is done first waits for the others as long as the last task takes.
_HALVED_BYTES = 32 * 2**20
# A piece counts as small up to this multiple of what a small task should have.
_COARSE = 1.1
# Files whose row groups are asked for at once.
_OPENED = 32
# Spark writes timestamps as INT96 unless told otherwise; in nanoseconds they would end in the year
# 2262.
_INT96_UNIT = "us"


def plan_splits(
    files: Sequence[Mapping[str, Any]],
    workers: int,
    target_bytes: int = TARGET_BYTES,
    smallest_bytes: int = SMALLEST_BYTES,
    rounds: int = _TASKS_PER_WORKER,
) -> list[dict[str, Any]]:
    """Shares files out into tasks: few large ones, but two for each worker where the data allow;
    the last ones are smaller.

    Every row is in exactly one task; a row group is cut only where there would be fewer tasks than
    workers, or nothing small enough for the last tasks. Only files that are larger than a task are
    opened, for their row groups.

    Args:
        files: `{path, size, rows}` each, and `partition` (column -> text or None) where the table
            is partitioned.
        workers: tasks that run at the same time.
        target_bytes: most bytes of a task, as they are in the files; a row group is never cut.
        smallest_bytes: tasks are not made smaller than this just to have enough of them.
        rounds: tasks that each worker should get at least; with one, all tasks are of about the
            same size.

    Returns:
        JSON-able tasks `{parts: [{path, row_groups, partition}], rows, bytes}`; `row_groups` None
            means all. A part of
        one row group may have a `share` `(n, of)`: only the n-th of so many parts of its rows. The
            same files give the
        same tasks. No files give no tasks.

    Runs on: driver.

    Raises:
        InputMissing, InputError: a file that must be opened is not there, or is not Parquet.
    """
    files = [file for file in files if file["rows"] != 0]
    total = sum(file["size"] for file in files)
    if not files:
        return []
    tasks = max(workers * rounds, math.ceil(total / target_bytes))
    # A multiple of the workers: otherwise some of them idle while the last round runs.
    tasks = min(math.ceil(tasks / workers) * workers, max(1, math.ceil(total / smallest_bytes)))
    weights = [1.0] * tasks
    if rounds > 1 and tasks % workers == 0 and total / tasks >= _HALVED_BYTES:
        weights[-workers:] = [0.5] * 2 * workers
    piece_bytes = max(1, math.ceil(total / tasks * min(weights)))
    groups = _groups_of([file["path"] for file in files if file["size"] > piece_bytes])
    pieces = [piece for file in files for piece in _pieces(file, piece_bytes, groups)]
    if len(weights) > tasks:
        pieces = _with_small_ones(pieces, 2 * workers, piece_bytes)
    if len(pieces) < min(workers, tasks):
        shares = math.ceil(workers / len(pieces))
        pieces = [share for piece in pieces for share in _shares(piece, shares, smallest_bytes)]
    return [
        _task([pieces[index] for index in members])
        for members in _balance([piece["bytes"] for piece in pieces], weights)
    ]


def _groups_of(paths: Sequence[str]) -> dict[str, list[int]]:
    """Rows of each row group of files, opened side by side: on a store each takes two answers of a
    tenth of a second.
    """
    if len(paths) < 2:
        return {path: _group_rows(path) for path in paths}
    with ThreadPoolExecutor(min(_OPENED, len(paths)), thread_name_prefix="footers") as pool:
        return dict(zip(paths, pool.map(_group_rows, paths), strict=True))


def _group_rows(path: str) -> list[int]:
    with _open(path) as parquet:
        return [
            parquet.metadata.row_group(i).num_rows for i in range(parquet.metadata.num_row_groups)
        ]


def _pieces(
    file: Mapping[str, Any], piece_bytes: int, groups_of: Mapping[str, list[int]]
) -> list[dict[str, Any]]:
    """A file whole, or in runs of row groups of about `piece_bytes` each."""
    common = {"path": file["path"], "partition": dict(file.get("partition") or {})}
    if file["size"] <= piece_bytes:
        return [common | {"row_groups": None, "rows": file["rows"], "bytes": file["size"]}]
    groups = groups_of[file["path"]]
    bytes_per_row = file["size"] / max(1, sum(groups))
    pieces: list[dict[str, Any]] = []
    for group, rows in enumerate(groups):
        size = rows * bytes_per_row
        if not pieces or pieces[-1]["bytes"] + size > piece_bytes:
            pieces.append(common | {"row_groups": [], "rows": 0, "bytes": 0.0})
        pieces[-1]["row_groups"].append(group)
        pieces[-1]["rows"] += rows
        pieces[-1]["bytes"] += size
    return pieces


def _with_small_ones(
    pieces: list[dict[str, Any]], wanted: int, piece_bytes: int
) -> list[dict[str, Any]]:
    """The pieces, of which enough are small: where row groups are too coarse for that, the smallest
    of them are halved.

    The second half reads its group from the beginning; to read is a small part of the work, and few
    groups are halved.
    """
    coarse = sorted(
        (piece for piece in pieces if piece["bytes"] > _COARSE * piece_bytes),
        key=lambda piece: piece["bytes"],
    )
    lacking = math.ceil(max(0, wanted - (len(pieces) - len(coarse))) / 2)
    halved = [id(piece) for piece in coarse[:lacking]]
    return [
        part
        for piece in pieces
        for part in (_shares(piece, 2, piece_bytes // 2) if id(piece) in halved else [piece])
    ]


def _shares(piece: dict[str, Any], wanted: int, smallest_bytes: int) -> list[dict[str, Any]]:
    """A piece of one row group as several shares of its rows, so that no worker idles; each reads
    the group up to its end.
    """
    count = min(wanted, max(1, int(piece["bytes"] // smallest_bytes)))
    if count == 1 or piece["row_groups"] is None or len(piece["row_groups"]) > 1:
        return [piece]
    rows = [
        end - start
        for start, end in (_share(piece["rows"], (number, count)) for number in range(count))
    ]
    return [
        piece | {"share": [number, count], "rows": rows[number], "bytes": piece["bytes"] / count}
        for number in range(count)
    ]


def _share(rows: int, share: Sequence[int]) -> tuple[int, int]:
    """First row and end of the n-th of so many shares."""
    number, count = share
    return rows * number // count, rows * (number + 1) // count


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


def _task(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    told = ("path", "row_groups", "partition", "share")
    parts = [{name: piece[name] for name in told if name in piece} for piece in pieces]
    return {
        "parts": parts,
        "rows": sum(piece["rows"] for piece in pieces),
        "bytes": round(sum(piece["bytes"] for piece in pieces)),
    }


_Types = tuple[pa.Schema | None, pa.Schema | None]  # `schema` and `later` of `read_split`


def read_split(
    task: Mapping[str, Any],
    columns: Sequence[str],
    schema: pa.Schema | None = None,
    batch_rows: int = READ_ROWS,
    later: pa.Schema | None = None,
) -> Iterator[pa.RecordBatch]:
    """Reads the rows of a task, the named columns in the order asked for.

    One row group at a time is in memory. A column that is not in a file is the part's partition
    value on every row, or null where `schema` or `later` names it.

    Args:
        task: of `plan_splits`; `char` may name columns of text, and to how many characters they are
            filled up with spaces.
        columns: of the table, partition columns included.
        schema: the table's types, which the columns get; None: those of the file, and text for
            partition columns.
        batch_rows: most rows of a batch.
        later: types of columns that the table got later, and that files may lack.

    Runs on: executor.

    Raises:
        InputMissing: a file is not there.
        DamagedFile: bytes of a file are not those that were written.
        InputError: a file is not Parquet, or lacks a column that neither `schema` nor `later`
            names.
    """
    for part in task["parts"]:
        with _open(part["path"]) as parquet:
            names = set(parquet.schema_arrow.names)
            calendar = calendar_of(parquet)
            stored = [name for name in columns if name in names]
            groups = (
                range(parquet.metadata.num_row_groups)
                if part["row_groups"] is None
                else part["row_groups"]
            )
            for group in groups:
                batches = _read_group(parquet, group, stored, part["path"], batch_rows)
                if "share" in part:
                    batches = _between(
                        batches, *_share(parquet.metadata.row_group(group).num_rows, part["share"])
                    )
                for batch in batches:
                    rows = batch if calendar is None else calendar.rebased(batch, part["path"])
                    whole = _complete(rows, columns, part, (schema, later))
                    yield _padded(whole, task.get("char") or {})


def _between(batches: Iterable[pa.RecordBatch], start: int, end: int) -> Iterator[pa.RecordBatch]:
    """The rows from `start` on before `end`, counted over all batches; nothing is read beyond."""
    at = 0
    for batch in batches:
        rows = batch.slice(max(0, start - at), max(0, end - max(start, at)))
        at += batch.num_rows
        if rows.num_rows:
            yield rows
        if at >= end:
            return


def _open(path: str) -> CheckedParquetFile:
    try:
        filesystem, inner = LocalFileSystem(), path
        if "://" in path:
            filesystem, inner = open_s3(path) if is_on_store(path) else FileSystem.from_uri(path)
        return CheckedParquetFile(
            filesystem, inner, pre_buffer=True, coerce_int96_timestamp_unit=_INT96_UNIT
        )
    except FileNotFoundError as error:
        raise InputMissing(f"no such file: {path}") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise damage(path, error) or _fault(path, f"{path} cannot be read", error) from error


def _fault(path: str, fact: str, error: Exception) -> InputError | StorageError:
    """A file that is no Parquet or is damaged; of a store that did not give it, a fault that is
    worth a retry.
    """
    if is_on_store(path) and is_of_store(str(error)):
        words, hint = words_and_hint(str(error))
        return StorageError(f"{fact}: {words}", hint)
    return InputError(f"{fact} as Parquet: {error}")


def _read_group(
    parquet: CheckedParquetFile, group: int, names: list[str], path: str, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """The batches of one row group. One group a call: pre-buffering several would hold them all in
    memory at once.
    """
    if not names:  # nothing but partition columns; the row count still counts
        rows = parquet.metadata.row_group(group).num_rows
        for start in range(0, rows, batch_rows):
            yield pa.RecordBatch.from_struct_array(
                pa.array([{}] * min(batch_rows, rows - start), pa.struct([]))
            )
        return
    try:
        yield from parquet.iter_batches(
            batch_size=batch_rows, row_groups=[group], columns=names, use_threads=False
        )
    except (pa.ArrowInvalid, OSError) as error:
        fault = damage(f"{path}, row group {group},", error)
        fact = f"{path}, row group {group}, cannot be read"
        raise fault or _fault(path, fact, error) from error


def _complete(
    batch: pa.RecordBatch, columns: Sequence[str], part: Mapping[str, Any], types: _Types
) -> pa.RecordBatch:
    """The columns in the order and of the types asked for, with those that are not in the file."""
    arrays = [_column(batch, name, part, types) for name in columns]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _padded(rows: pa.RecordBatch, lengths: Mapping[str, int]) -> pa.RecordBatch:
    for name, length in lengths.items():
        if name in rows.schema.names:
            place = rows.schema.get_field_index(name)
            text = pc.utf8_rpad(rows.column(name), width=length, padding=" ")
            rows = rows.set_column(place, name, text)
    return rows


def _column(batch: pa.RecordBatch, name: str, part: Mapping[str, Any], types: _Types) -> pa.Array:
    schema, later = types
    type_ = schema.field(name).type if schema is not None and name in schema.names else None
    if name in batch.schema.names:
        column = batch.column(name)
        return column if type_ is None or column.type == type_ else _cast(column, name, type_, part)
    if name in part["partition"]:
        value = partition_scalar(part["partition"][name], type_ or pa.string())
        return pa.repeat(value, batch.num_rows)
    if type_ is None and later is not None and name in later.names:
        type_ = later.field(name).type
    if type_ is None:
        raise InputError(
            f"{part['path']} has no column {name!r}; it has {', '.join(batch.schema.names)}"
        )
    return pa.nulls(batch.num_rows, type_)


def _cast(column: pa.Array, name: str, type_: pa.DataType, part: Mapping[str, Any]) -> pa.Array:
    try:
        return column.cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"{part['path']}: column {name!r} is {column.type} in the file and {type_} in the "
            f"table, which does not hold all its values: {error}"
        ) from error


def partition_scalar(text: str | None, type_: pa.DataType) -> pa.Scalar:
    """A partition value of a table's log, of its column's type.

    Source: Delta transaction log protocol, section "Partition Value Serialization".
    """
    value = pa.scalar(text, pa.string())
    if pa.types.is_timestamp(type_) and text is not None:
        # Without a zone it is UTC, and with one it ends in Z.
        zone = "UTC" if text.endswith("Z") else None
        value = value.cast(pa.timestamp("us", zone))
    return value.cast(type_)


def split_files(
    table: str,
    files: Sequence[Mapping[str, Any]],
    count: int,
    most_bytes: int = TARGET_BYTES,
    rounds: int = 2,
) -> list[dict[str, Any]]:
    """Row groups of some files of a table, balanced over the workers."""
    return plan_splits(
        [{**file, "path": join(table, file["path"])} for file in files],
        count,
        most_bytes,
        rounds=rounds,
    )
