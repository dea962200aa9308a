"""Writes rows as Parquet files into a Delta table's own folder, where nothing reads them until a
commit adds them.

Owns buffering, sorting, file and row-group sizes, and folder names. Must not write Delta's log.
What becomes of the files is `staged_files`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import types as kinds

from batchinfer.contracts import StagedFile
from batchinfer.errors import InputError
from batchinfer.lake.delta_types import delta_schema
from batchinfer.lake.file_statistics import FileStatistics
from batchinfer.lake.parquet import ParquetFile, delete_quietly
from batchinfer.lake.table_places import open_filesystem, partition_folder
from batchinfer.lake.unordered_values import unordered_columns

if TYPE_CHECKING:
    from typing_extensions import Self

# A row group is what one task of the direct road reads.
ROW_GROUP_ROWS = 131_072
# Sorted files are read by key: a lookup decodes one row group.
SORTED_ROW_GROUP_ROWS = 16_384
# Above these, what is buffered longest is written out: a worker's memory stays bounded with any
# number of partitions.
MAX_BUFFER_BYTES = 256 * 2**20
MAX_OPEN_FILES = 100
# So many batches of fewer rows are joined while they wait.
JOINED_BATCHES, JOINED_ROWS = 16, 65_536


@dataclass
class _Partition:
    """What is being written for one combination of partition values.

    Attributes:
        waiting: batches without their constants, which are the same for all of them: `constants`.
        done: rows with all columns of `schema`, before those.
    """

    values: dict[str, str | None]
    schema: pa.Schema
    waiting: list[pa.Table] = field(default_factory=list)
    constants: Mapping[str, Any] = field(default_factory=dict)
    done: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    bytes: int = 0
    small: int = 0
    file: ParquetFile | None = None

    def add(self, rows: pa.Table, constants: Mapping[str, Any]) -> None:
        if self.waiting and (constants != self.constants or rows.schema != self.waiting[0].schema):
            self._complete()
        self.waiting.append(rows)
        self.constants = constants
        self.rows += rows.num_rows
        self.bytes += rows.nbytes
        # Many small pieces that are kept, between the large ones that a model allocates and frees,
        # break up the C library's heap: a worker took 5 GB for 500,000 rows. Put together, they are
        # few.
        self.small = self.small + 1 if rows.num_rows < JOINED_ROWS else 0
        if self.small == JOINED_BATCHES:
            self.waiting[-self.small :] = [
                pa.concat_tables(self.waiting[-self.small :]).unify_dictionaries().combine_chunks()
            ]
            self.small = 0

    def _complete(self) -> None:
        """What is the same on every row is made once, for all that wait."""
        rows = pa.concat_tables(self.waiting)
        columns = [
            _constant(self.constants[field.name], field, rows.num_rows)
            if field.name in self.constants
            else rows[field.name]
            for field in self.schema
        ]
        self.done.append(pa.table(columns, names=self.schema.names))
        self.waiting, self.small = [], 0

    def take(self) -> pa.Table:
        self._complete()
        # Constants and columns may take turns; one file holds one form.
        first = self.done[0].schema
        rows = pa.concat_tables(
            [part if part.schema == first else part.cast(first) for part in self.done]
        )
        self.done, self.rows, self.bytes = [], 0, 0
        return rows


class StagedWriter:
    """Writes record batches into new Parquet files below a table's root, one set of files per
    partition.

    Args:
        table: path or URI of the table; its folder is made if missing.
        schema: of the table, partition columns included or not; types as `schemas.delta_type`
            allows.
        partition_columns: in the table's order; their values are given with each batch and are not
            in the files.
        stats_columns: columns that readers skip by: statistics are kept on these only.
        sort_by: rows are sorted by these columns within each file (nulls last).
        rows_per_file: a new file begins after this many rows.
        compression: zstd, snappy, gzip or none.
        folder: relative to the table, in place of folders named after the partition values: for
            files that `place_staged` moves later, because their partition is not known yet.
        row_group_rows: None: 131,072, or 16,384 in sorted files.
        distinct, run_id, facts: see `parquet.ParquetFile`.

    Runs on: executor
    """

    def __init__(
        self,
        table: str,
        schema: pa.Schema,
        partition_columns: Sequence[str],
        stats_columns: Sequence[str],
        sort_by: Sequence[str] = (),
        rows_per_file: int = 2_000_000,
        compression: str = "zstd",
        folder: str | None = None,
        row_group_rows: int | None = None,
        distinct: Collection[str] = (),
        run_id: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        fields = [field for field in schema if field.name not in partition_columns]
        self._schema = delta_schema(pa.schema(fields))
        _check_names(self._schema, [*stats_columns, *sort_by, *distinct])
        self._partition_columns, self._sort_by = tuple(partition_columns), tuple(sort_by)
        self._stats_columns = tuple(name for name in stats_columns if name not in partition_columns)
        self._rows_per_file, self._compression, self._folder = rows_per_file, compression, folder
        self._distinct, self._run_id, self._facts = frozenset(distinct), run_id, facts
        self._row_group_rows = row_group_rows or (
            SORTED_ROW_GROUP_ROWS if sort_by else ROW_GROUP_ROWS
        )
        self._filesystem, self._root = open_filesystem(table)
        self._partitions: dict[tuple[str | None, ...], _Partition] = {}
        self._done: list[StagedFile] = []
        # Of all files that begin from now on: what a file begins with holds to its end.
        self._unordered: frozenset[str] = frozenset()

    def write(
        self,
        batch: pa.RecordBatch,
        partition: Mapping[str, str | None],
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes one batch of rows that all belong to one partition.

        Args:
            batch: the file's columns, less those in `constants`; dictionary columns are welcome.
            partition: value of each partition column as Delta writes it; None for null.
            constants: columns with one value for all these rows; they cost a dictionary page, not a
                column.

        Raises:
            InputError: columns or partition values that do not fit the table.
            StorageError: storage is full or cannot be written.
        """
        rows = self._conform(batch, constants or {})
        if rows.num_rows == 0:
            return
        held = self._partition(partition)
        held.add(rows, constants or {})
        while held.rows >= (self._rows_per_file if self._sort_by else self._row_group_rows):
            self._flush(held)
        self._relieve()

    def close(self) -> list[StagedFile]:
        """Ends all files and tells what was written; with no rows, no file.

        Raises:
            StorageError: storage is full or failed; `abort` then deletes what there is.
        """
        for held in self._partitions.values():
            self._finish(held)
        self._partitions.clear()
        return list(self._done)

    def abort(self) -> None:
        """Deletes every file that this writer made."""
        for held in self._partitions.values():
            if held.file is not None:
                held.file.abort()
        for staged in self._done:
            delete_quietly(self._filesystem, f"{self._root}/{staged.path}")
        self._partitions.clear()
        self._done.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.abort()

    def _conform(self, batch: pa.RecordBatch, constants: Mapping[str, Any]) -> pa.Table:
        given = set(batch.schema.names) | set(constants)
        if given != set(self._schema.names):
            raise InputError(
                f"{self._root}: columns to write: missing "
                f"{sorted(set(self._schema.names) - given)}, unknown "
                f"{sorted(given - set(self._schema.names))}; the file's columns are "
                f"{self._schema.names}"
            )
        columns = {
            name: _column(batch[name], self._schema.field(name))
            for name in self._schema.names
            if name not in constants
        }
        for wanted in self._schema:
            if wanted.nullable:
                continue
            nulls = (
                _is_null(constants[wanted.name]) * batch.num_rows
                if wanted.name in constants
                else columns[wanted.name].null_count
            )
            if nulls:
                raise InputError(
                    f"{self._root}: column {wanted.name}: {nulls} nulls; the table allows none"
                )
        if not columns:  # a table of constants alone: one of them holds the number of rows
            columns = {
                field.name: _constant(constants[field.name], field, batch.num_rows)
                for field in list(self._schema)[:1]
            }
        return pa.table(columns)

    def _partition(self, partition: Mapping[str, str | None]) -> _Partition:
        if set(partition) != set(self._partition_columns):
            raise InputError(
                f"{self._root}: partition values for {sorted(partition)}; the table needs "
                f"{list(self._partition_columns)}"
            )
        if "" in partition.values():
            raise InputError(
                f"{self._root}: an empty text as partition value in {dict(partition)}; Delta would "
                "read it back as null"
            )
        key = tuple(partition[name] for name in self._partition_columns)
        if key not in self._partitions:
            self._partitions[key] = _Partition(
                {name: partition[name] for name in self._partition_columns}, self._schema
            )
        return self._partitions[key]

    def _relieve(self) -> None:
        while sum(held.bytes for held in self._partitions.values()) > MAX_BUFFER_BYTES:
            self._flush(max(self._partitions.values(), key=lambda held: held.bytes))
        # An open file costs a descriptor; the one that has waited longest for more rows ends.
        opened = [held for held in self._partitions.values() if held.file is not None]
        for held in opened[: max(0, len(opened) - MAX_OPEN_FILES)]:
            self._finish(held)

    def _flush(self, held: _Partition) -> None:
        """Writes what is buffered: a whole sorted file, or full row groups of a growing one."""
        rows = held.take()
        if self._sort_by:
            self._write(held, _sort(rows.slice(0, self._rows_per_file), self._sort_by))
            self._end_file(held)
            rest = rows.slice(self._rows_per_file)
        else:
            room = self._rows_per_file - (held.file.rows if held.file else 0)
            count = min(
                room,
                max(
                    rows.num_rows // self._row_group_rows * self._row_group_rows,
                    self._row_group_rows,
                ),
            )
            self._write(held, rows.slice(0, count))
            if held.file is not None and held.file.rows >= self._rows_per_file:
                self._end_file(held)
            rest = rows.slice(count)
        if rest.num_rows:
            held.add(rest, {})

    def _finish(self, held: _Partition) -> None:
        while held.rows:
            self._flush(held)
        self._end_file(held)

    def _write(self, held: _Partition, rows: pa.Table) -> None:
        rows = rows.unify_dictionaries()
        if found := unordered_columns(rows, self._unordered):
            self._unordered |= found
            self._end_file(held)
        if held.file is None:
            held.file = self._open(held.values, rows.schema)
        elif held.file.schema != rows.schema:
            rows = rows.cast(held.file.schema)
        held.file.write(rows, self._row_group_rows)

    def _open(self, values: Mapping[str, str | None], schema: pa.Schema) -> ParquetFile:
        folder = partition_folder(values) if self._folder is None else self._folder
        nullable = pa.schema(
            [pa.field(f.name, f.type, self._schema.field(f.name).nullable) for f in schema]
        )
        statistics = FileStatistics.of(self._schema, self._stats_columns)
        return ParquetFile(
            self._filesystem, self._root, folder, nullable, statistics, self._compression,
            self._distinct, self._unordered, self._run_id, self._facts,
        )  # fmt: skip

    def _end_file(self, held: _Partition) -> None:
        if held.file is not None:
            self._done.append(held.file.close(held.values))
            held.file = None


def _check_names(schema: pa.Schema, names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in schema.names]
    if unknown:
        raise InputError(
            f"columns to sort, skip by or encode that the files do not have: {unknown}; they have "
            f"{schema.names}"
        )


def _is_null(value: Any) -> bool:
    return not value.is_valid if isinstance(value, pa.Scalar) else value is None


def _constant(value: Any, field: pa.Field, rows: int) -> pa.Array:
    scalar = value if isinstance(value, pa.Scalar) else pa.scalar(value, field.type)
    if scalar.is_valid and (kinds.is_string(field.type) or kinds.is_binary(field.type)):
        indices = pa.repeat(pa.scalar(0, pa.int32()), rows)
        return pa.DictionaryArray.from_arrays(indices, pa.array([scalar.as_py()], field.type))
    return pa.repeat(scalar.cast(field.type), rows)


def _column(values: pa.Array, field: pa.Field) -> pa.Array:
    if kinds.is_dictionary(values.type) and (
        kinds.is_string(field.type) or kinds.is_binary(field.type)
    ):
        wanted = pa.dictionary(pa.int32(), field.type)
    else:
        wanted = field.type
    try:
        return values if values.type == wanted else values.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"column {field.name}: {values.type} does not fit the table's {field.type}: {error}"
        ) from error


def _sort(rows: pa.Table, names: Sequence[str]) -> pa.Table:
    """The rows, ascending by these columns."""
    # Only files that are sorted need it, and it takes a while to import.
    import pyarrow.compute as pc

    keys = [
        column.cast(column.type.value_type) if kinds.is_dictionary(column.type) else column
        for column in map(rows.column, names)
    ]
    if _is_sorted(keys):
        return rows
    options = pc.SortOptions(sort_keys=[(name, "ascending") for name in names])
    order = pc.call_function("sort_indices", [pa.table(keys, names=list(names))], options)
    return rows.take(order)


def _is_sorted(keys: Sequence[pa.ChunkedArray]) -> bool:
    """True if the rows already ascend by these columns: the usual case, and far cheaper to see than
    to sort.
    """
    from pyarrow.compute import call_function

    if any(key.null_count for key in keys):
        return False
    unordered: Any = None
    for key in keys:
        one, next_ = key.slice(0, len(key) - 1), key.slice(1)
        later = call_function("greater", [one, next_])
        wrong = later if unordered is None else call_function("and", [unordered, later])
        if call_function("any", [wrong]).as_py():
            return False
        equal = call_function("equal", [one, next_])
        unordered = equal if unordered is None else call_function("and", [unordered, equal])
    return True
