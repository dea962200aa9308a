"""What a worker reads of Parquet files: its share of their row groups, with flat memory.

Owns the types that columns get, and columns that are not in a file. Which row groups a worker gets
is `splits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import compute
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile, damage
from batchinfer.errors import InputError, InputMissing, StorageError
from batchinfer.legacy_calendar import calendar_of
from batchinfer.object_stores import is_of_store, is_on_store, open_s3, words_and_hint

# pyarrow makes these functions when it is imported; type checkers cannot see them.
pc: Any = compute

# Rows of one Arrow batch: large enough to read fast, small enough to pass through a cache.
READ_ROWS = 65_536
# Of a local file each column is read in pieces of so many bytes. Column chunks that are read whole
# beforehand are fresh memory each time: between batches that are scored, that took twice as long.
_BUFFER_BYTES = 256 * 2**10
# Spark writes timestamps as INT96 unless told otherwise; in nanoseconds they would end in the year
# 2262.
_INT96_UNIT = "us"


@dataclass(frozen=True)
class Part:
    """A file, or some of its rows.

    Attributes:
        path: whole.
        row_groups: None: all of them.
        partition: value of each partition column as the table's log has it (null as None).
        rows: first row and end, of the one row group; None: all its rows.
    """

    path: str
    row_groups: tuple[int, ...] | None = None
    partition: Mapping[str, str | None] = field(default_factory=dict)
    rows: tuple[int, int] | None = None


@dataclass(frozen=True)
class Split:
    """What one task reads; travels as JSON.

    Attributes:
        bytes: of its parts, as they are in the files.
    """

    parts: tuple[Part, ...]
    rows: int
    bytes: int


_Types = tuple[pa.Schema | None, pa.Schema | None]  # `schema` and `later` of `read_split`


def whole_file(path: str) -> Split:
    """A split of one file that lies in no table: how many rows it has, reading it tells."""
    return Split((Part(path),), 0, 0)


def read_split(
    split: Split,
    columns: Sequence[str],
    schema: pa.Schema | None = None,
    batch_rows: int = READ_ROWS,
    later: pa.Schema | None = None,
    char: Mapping[str, int] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Reads the rows of a split, the named columns in the order asked for.

    One row group at a time is in memory. A column that is not in a file is the part's partition
    value on every row, or null where `schema` or `later` names it.

    Args:
        columns: of the table, partition columns included.
        schema: the table's types, which the columns get; None: those of the file, and text for
            partition columns.
        batch_rows: most rows of a batch.
        later: types of columns that the table got later, and that files may lack.
        char: columns of text that are filled up with spaces, and to how many characters.

    Runs on: executor.

    Raises:
        InputMissing: a file is not there.
        DamagedFile: bytes of a file are not those that were written.
        InputError: a file is not Parquet, or lacks a column that neither `schema` nor `later`
            names.
    """
    for part in split.parts:
        with _open(part.path) as parquet:
            names = set(parquet.schema_arrow.names)
            calendar = calendar_of(parquet)
            stored = [name for name in columns if name in names]
            groups = (
                range(parquet.metadata.num_row_groups)
                if part.row_groups is None
                else part.row_groups
            )
            for group in groups:
                batches = _read_group(parquet, group, stored, part.path, batch_rows)
                if part.rows is not None:
                    batches = _between(batches, *part.rows)
                for batch in batches:
                    rows = batch if calendar is None else calendar.rebased(batch, part.path)
                    whole = _complete(rows, columns, part, (schema, later))
                    yield _padded(whole, char or {})


def group_rows(path: str) -> list[int]:
    """Rows of each row group of a file.

    Raises:
        InputMissing, InputError: it is not there, or is not Parquet.
    """
    with _open(path) as parquet:
        return [
            parquet.metadata.row_group(i).num_rows for i in range(parquet.metadata.num_row_groups)
        ]


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
        # A store takes a tenth of a second to answer: chunks are fetched whole, side by side.
        is_local = isinstance(filesystem, LocalFileSystem)
        return CheckedParquetFile(
            filesystem,
            inner,
            pre_buffer=not is_local,
            buffer_size=_BUFFER_BYTES if is_local else 0,
            coerce_int96_timestamp_unit=_INT96_UNIT,
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
    batch: pa.RecordBatch, columns: Sequence[str], part: Part, types: _Types
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


def _column(batch: pa.RecordBatch, name: str, part: Part, types: _Types) -> pa.Array:
    schema, later = types
    type_ = schema.field(name).type if schema is not None and name in schema.names else None
    if name in batch.schema.names:
        column = batch.column(name)
        return column if type_ is None or column.type == type_ else _cast(column, name, type_, part)
    if name in part.partition:
        value = partition_scalar(part.partition[name], type_ or pa.string())
        return pa.repeat(value, batch.num_rows)
    if type_ is None and later is not None and name in later.names:
        type_ = later.field(name).type
    if type_ is None:
        raise InputError(
            f"{part.path} has no column {name!r}; it has {', '.join(batch.schema.names)}"
        )
    return pa.nulls(batch.num_rows, type_)


def _cast(column: pa.Array, name: str, type_: pa.DataType, part: Part) -> pa.Array:
    try:
        return column.cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"{part.path}: column {name!r} is {column.type} in the file and {type_} in the "
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
