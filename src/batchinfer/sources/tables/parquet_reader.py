"""Parquet files -> rows: splits of whole row groups on the driver, blocks of bounded size on
executors.

Owns row numbers, columns that stand in folders, and values that no table can hold. Must not know
the contract of the columns beyond their types, nor slices.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import compute
from pyarrow import types as kinds

from batchinfer.config.schema import names_in_files
from batchinfer.config.sources import ParquetSource
from batchinfer.config.types import parse_ddl
from batchinfer.contracts import RESCUED, BadRecord
from batchinfer.errors import InputError, StorageError
from batchinfer.legacy_calendar import calendar_of
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.parsed import BLOCK_BYTES, Parsed, Where, conserved, with_lineage
from batchinfer.sources.rescued import rescued_columns
from batchinfer.sources.source_splits import ParquetSplit
from batchinfer.sources.tables.parquet_contract import check_file_columns, new_types
from batchinfer.sources.tables.parquet_footers import fact, open_parquet, read_footers
from batchinfer.sources.tables.parquet_types import conform, nanoseconds_of, outside_years
from batchinfer.sources.tables.partitions import partition_of, partition_value
from batchinfer.sources.text.byte_ranges import TARGET_BYTES, check_unchanged

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_BLOCK_ROWS = 65_536


def plan_parquet_splits(
    files: Sequence[SourceFile],
    source: ParquetSource,
    fields: Mapping[str, pa.DataType],
    optional: str | None = None,
    target_bytes: int = TARGET_BYTES,
) -> list[ParquetSplit]:
    """Splits of row groups, none cut, of about `target_bytes` each; the contract of all files is
    checked here.

    Runs on: driver.

    Raises:
        InputError: every file that is no Parquet file, else every file whose columns differ.
    """
    footers = read_footers(files)
    held = check_file_columns(files, footers, source, fields, optional)
    names, rules = [file.name for file in files], source.columns
    new = {
        file.name: new_types(file, footers[file.name], held[file.name], names, rules.rescue)
        if rules.new == "add" or rules.rescue
        else dict.fromkeys(held[file.name].new, "")
        for file in files
        if file.name in footers
    }
    return [
        ParquetSplit(
            file,
            groups,
            line,
            size,
            partition_of(file.name),
            tuple(held[file.name].missing),
            new[file.name],
        )
        for file in files
        if file.name in footers
        for groups, line, size in _runs(footers[file.name].groups, target_bytes)
    ]


def _runs(
    groups: Sequence[tuple[int, int]], target_bytes: int
) -> Iterator[tuple[tuple[int, int], int, int]]:
    """Neighbouring row groups that start within the same `target_bytes` of the file's data: the
    first one and the one behind the last, the first one's line, and their bytes.
    """
    sizes = np.cumsum([0, *(size for _, size in groups)])
    lines = np.cumsum([1, *(rows for rows, _ in groups)])
    for _, members in groupby(range(len(groups)), lambda group: sizes[group] // target_bytes):
        run = list(members)
        first, behind = run[0], run[-1] + 1
        if lines[behind] > lines[first]:
            yield (first, behind), int(lines[first]), int(sizes[behind] - sizes[first])


def read_parquet_splits(
    splits: Sequence[ParquetSplit],
    source: ParquetSource,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Parsed]:
    """Rows of splits with the number of each in its file, a part of a row group at a time.

    Rows with text that is not UTF-8, or with a time outside the years 1 to 9999, are bad records.

    Runs on: executor.

    Raises:
        InputMissing, InputError: a file that is gone, changed or damaged, or that contradicts the
            names of its folders.
    """
    given = names_in_files(source)
    names = {name: given.get(name, name) for name in fields}
    for split in splits:
        yield from _read_split(split, fields, names, block_bytes, source.columns.rescue)


def _read_split(
    split: ParquetSplit,
    fields: Mapping[str, pa.DataType],
    names: Mapping[str, str],
    block_bytes: int,
    rescue: bool,
) -> Iterator[Parsed]:
    line = split.line
    declared = set(names.values())
    new = [name for name in split.new if name not in declared]
    left_out = set[str]() if rescue else set(new)
    with open_parquet(split.file.path) as parquet:
        # The file that is open now is the one that was listed, and at the end it still is.
        check_unchanged(split.file)
        calendar = calendar_of(parquet)
        for group in range(*split.groups):
            for read in _read_group(parquet, group, split, block_bytes, left_out):
                batch = read if calendar is None else calendar.rebased(read, split.file.path)
                numbers = np.arange(line, line + batch.num_rows)
                others = None
                if rescue:
                    others = _Others.of(batch, split, new)
                    batch = batch.drop_columns(others.batch.schema.names)
                yield _parsed(_renamed(batch, names), numbers, split, fields, names, others)
                line += batch.num_rows
    check_unchanged(split.file)


@dataclass(frozen=True)
class _Others:
    """What the rows of a batch have in columns that nobody declared.

    Attributes:
        types: Spark SQL type of each such column.
        folders: the text of those that stand in the names of folders.
    """

    batch: pa.RecordBatch
    types: Mapping[str, str]
    folders: Mapping[str, str | None]

    @classmethod
    def of(cls, batch: pa.RecordBatch, split: ParquetSplit, new: Sequence[str]) -> _Others:
        types = {name: split.new[name] for name in new}
        stored = {name: None for name in batch.schema.names if name in types}
        folders = {name: split.partition[name] for name in new if name not in stored}
        return cls(batch.select(list(stored)), types, folders)

    def rescued(self, kept: pa.BooleanArray) -> pa.Array:
        """The column for them, of the rows that are kept."""
        rows, columns = kept.true_count, dict[str, pa.Array]()
        for name, text in self.types.items():
            type_ = parse_ddl(text)
            if name in self.folders:
                columns[name] = pa.repeat(partition_value(self.folders[name], type_), rows)
            else:
                columns[name] = conform(self.batch.column(name).filter(kept), type_)
        return rescued_columns(columns, rows)


def _renamed(batch: pa.RecordBatch, names: Mapping[str, str]) -> pa.RecordBatch:
    """The batch with the names that its columns land under."""
    columns = {name: column for column, name in names.items() if column != name}
    if not columns:
        return batch
    return batch.rename_columns([columns.get(name, name) for name in batch.schema.names])


def _read_group(
    parquet: pq.ParquetFile,
    group: int,
    split: ParquetSplit,
    block_bytes: int,
    left_out: Collection[str],
) -> Iterator[pa.RecordBatch]:
    """Batches of one row group, without the columns that are left out. One group a call, and no
    threads: that keeps the memory flat.
    """
    kept = [name for name in parquet.schema_arrow.names if name not in left_out]
    columns = kept if left_out else None
    facts = parquet.metadata.row_group(group)
    rows = max(1, min(_BLOCK_ROWS, block_bytes * facts.num_rows // max(1, facts.total_byte_size)))
    read = 0
    try:
        for batch in parquet.iter_batches(
            batch_size=rows, row_groups=[group], columns=columns, use_threads=False
        ):
            read += batch.num_rows
            yield batch if columns is None else batch.select(columns)
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"{split.file.path} cannot be read: {error.strerror}") from error
        check_unchanged(split.file)
        raise InputError(
            f"{split.file.path}, row group {group}, is damaged: {fact(error)}"
        ) from error
    if read != facts.num_rows:
        raise InputError(
            f"{split.file.path}, row group {group}, is damaged: got {read} rows; its footer says "
            f"{facts.num_rows}"
        )


def _parsed(
    batch: pa.RecordBatch,
    lines: np.ndarray,
    split: ParquetSplit,
    fields: Mapping[str, pa.DataType],
    names: Mapping[str, str],
    others: _Others | None,
) -> Parsed:
    where = Where(split.file.path, split.file.name)
    inside = {
        column: split.partition[name] for column, name in names.items() if name in split.partition
    }
    try:
        return _checked(batch, lines, replace(split, partition=inside), fields, where, others)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{where.path}, rows {lines[0]} to {lines[-1]}: values that no table can hold: "
            f"{fact(error)}"
        ) from error


def _checked(
    batch: pa.RecordBatch,
    lines: np.ndarray,
    split: ParquetSplit,
    fields: Mapping[str, pa.DataType],
    where: Where,
    others: _Others | None,
) -> Parsed:
    wrong = _bad_rows(batch) | (_bad_rows(others.batch) if others else {})
    bad = [
        BadRecord(where.name, int(lines[row]), _raw(batch, row), *wrong[row])
        for row in sorted(wrong)
    ]
    kept = np.ones(batch.num_rows, bool)
    kept[list(wrong)] = False
    rows = batch.filter(pa.array(kept)) if wrong else batch
    columns = {
        name: _column(rows, name, type_, split, lines[kept]) for name, type_ in fields.items()
    }
    if others is not None:
        columns[RESCUED] = others.rescued(pa.array(kept))
    parsed = Parsed(
        with_lineage(columns, pa.repeat(where.name, rows.num_rows), lines[kept]),
        bad,
        batch.num_rows,
        0,
        cut=sum(nanoseconds_of(rows.column(name)) for name in fields if _has(rows, name)),
    )
    return conserved(parsed, batch.num_rows, where.path)


def _column(
    rows: pa.RecordBatch, name: str, type_: pa.DataType, split: ParquetSplit, lines: np.ndarray
) -> pa.Array:
    """A column as it lands: of the file, of the folder's name, or null where the file may lack
    it.
    """
    inside = name in split.partition
    if not _has(rows, name):
        value = partition_value(split.partition[name], type_) if inside else pa.scalar(None, type_)
        return pa.repeat(value, rows.num_rows)
    values = conform(rows.column(name), type_)
    if inside:
        _check_folder(values, name, split, lines)
    return values


def _has(rows: pa.RecordBatch, name: str) -> bool:
    """Whether the file has the column; by Arrow's own index, for there may be thousands."""
    return rows.schema.get_field_index(name) >= 0


def _check_folder(values: pa.Array, name: str, split: ParquetSplit, lines: np.ndarray) -> None:
    said = partition_value(split.partition[name], values.type)
    same = pc.is_null(values) if not said.is_valid else pc.fill_null(pc.equal(values, said), False)
    if pc.all(same).as_py() is False:
        row = pc.index(same, False).as_py()
        raise InputError(
            f"{split.file.path}, row {lines[row]}: column {name!r} is {values[row]}, but the "
            f"folder says {said}; allowed: the same in both, or the column in one of them only"
        )


def _bad_rows(batch: pa.RecordBatch) -> dict[int, tuple[str, str]]:
    """The rows that no table can hold: reason and message of each, by the first column that is at
    fault.
    """
    found: dict[int, tuple[str, str]] = {}
    for name, values in zip(batch.schema.names, batch.columns, strict=True):
        for row in _undecodable(values, name):
            found.setdefault(
                row, ("not_utf8", f"column {name}: the text holds bytes that are not UTF-8")
            )
        wrong = outside_years(values)
        for row in np.flatnonzero(wrong) if wrong is not None else ():
            found.setdefault(
                int(row),
                (
                    "type",
                    f"column {name}: got a time outside the years 1 to 9999; allowed: these years",
                ),
            )
    return found


def _undecodable(values: pa.Array, name: str) -> list[int]:
    """Rows whose text is not UTF-8. Parquet does not check it, and neither does Arrow unless
    asked.
    """
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    try:
        values.validate(full=True)
    except pa.ArrowInvalid as error:
        plain = values.dictionary_decode() if kinds.is_dictionary(values.type) else values
        if not (kinds.is_string(plain.type) or kinds.is_large_string(plain.type)):
            raise ValueError(f"column {name!r}: {fact(error)}") from error
        raw = plain.view(pa.large_binary() if kinds.is_large_string(plain.type) else pa.binary())
        return [
            row
            for row, text in enumerate(raw.to_pylist())
            if text is not None and not _is_utf8(text)
        ]
    return []


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _raw(batch: pa.RecordBatch, row: int) -> bytes:
    """A row as JSON: what Python cannot hold as Arrow shows it."""
    values = {
        name: _readable(column[row])
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    return json.dumps(values, default=str).encode()


def _readable(value: pa.Scalar) -> Any:
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return value.as_buffer().to_pybytes().decode("utf-8", "backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    except (ValueError, OverflowError):
        return value.cast(pa.string()).as_py()
