"""The served rows of a predictions table as frames: the newest of each key, and those that have
changed since an earlier version.

Runs on: driver.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from batchinfer.checked_parquet import CheckedParquetFile
from batchinfer.contracts import SERVED, SLICE, DataFile
from batchinfer.errors import BatchInferError
from batchinfer.lake.snapshots import arrow_schema, open_table, table_files
from batchinfer.lake.table_places import open_filesystem, reading_faults
from batchinfer.lookups.keyed_snapshots import table_key
from batchinfer.lookups.stores.stored_rows import stored_keys, stored_values
from batchinfer.pipeline.loading.loading_task import KEY, PART, SLICE_OF
from batchinfer.spark.frames import files_frame, quoted_name, version_frame

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Rows of a part: a file of some 400 MB, and some seconds of one task.
_PART_ROWS = 1_000_000
_MOST_PARTS = 256
# From which the length of all is guessed.
_SAMPLED_ROWS = 1_000


@dataclass(frozen=True)
class ServedTable:
    """A predictions table at one version, up to one slice.

    Attributes:
        line: id of the table; one that is made anew at the same place has another.
        files: of the slices that count.
        as_of: the greatest slice that counts; None: all.
    """

    place: str
    line: str
    version: int
    schema: pa.Schema
    key: tuple[str, ...]
    files: tuple[DataFile, ...]
    as_of: str | None

    @property
    def rows(self) -> int:
        """All rows of its files, those that are not served among them."""
        return sum(file.known_rows for file in self.files)

    @property
    def slices(self) -> tuple[str, ...]:
        return tuple(sorted({file.partition[SLICE] or "" for file in self.files}))

    def frame(self, spark: SparkSession) -> DataFrame:
        """Its served rows, all columns in the order of the table."""
        from pyspark.sql import functions as F

        rows = self._all_rows(spark)
        if SERVED in self.schema.names:
            rows = rows.where(F.col(SERVED))
        return rows.select(*map(quoted_name, self.schema.names))

    def row_bytes(self) -> float:
        """Bytes of a row's key and value in a store, about: those of some rows of a file."""
        largest = max(self.files, key=lambda file: file.known_rows, default=None)
        if largest is None:
            return 0.0
        filesystem, root = open_filesystem(self.place)
        path = _path_of(largest, root)
        with reading_faults(path), CheckedParquetFile(filesystem, path) as file:
            rows = next(iter(file.iter_batches(_SAMPLED_ROWS)), None)
        if rows is None or not rows.num_rows:
            return 0.0
        slice_ = pa.array([largest.partition[SLICE]] * rows.num_rows, pa.string())
        whole = rows.append_column(SLICE, slice_)
        texts = stored_values(whole).nbytes + stored_keys([whole[name] for name in self.key]).nbytes
        return texts / rows.num_rows

    def unserved(self, spark: SparkSession) -> int:
        """Rows that are there and are not served."""
        from pyspark.sql import functions as F

        if SERVED not in self.schema.names:
            return 0
        return self._all_rows(spark).where(~F.coalesce(F.col(SERVED), F.lit(False))).count()

    def _all_rows(self, spark: SparkSession) -> DataFrame:
        from pyspark.sql import functions as F

        rows = version_frame(spark, self.place, self.version)
        return rows if self.as_of is None else rows.where(F.col(SLICE) <= self.as_of)

    def keys_in(self, spark: SparkSession, files: tuple[DataFile, ...]) -> DataFrame:
        """The keys of rows in some files of the table, each once."""
        rows = files_frame(spark, self.place, [file.path for file in files])
        return rows.select(*map(quoted_name, self.key)).distinct()


def open_served(place: str, as_of: str | None, version: int | None = None) -> ServedTable:
    """The table as it is now, or at a version.

    Raises:
        InputMissing: there is no table.
        InputError: as `table_key`.
        StorageError: its log cannot be read.
    """
    table = open_table(place, version)
    schema, key = arrow_schema(table), table_key(place, table)
    files = [
        file
        for file in table_files(table)
        if as_of is None or (file.partition[SLICE] or "") <= as_of
    ]
    line = str(table.metadata().id)
    return ServedTable(place, line, table.version(), schema, key, tuple(files), as_of)


@dataclass(frozen=True)
class FileChanges:
    """Files that came and went between two versions of a table."""

    came: tuple[DataFile, ...]
    went: tuple[DataFile, ...]

    @property
    def all(self) -> tuple[DataFile, ...]:
        return (*self.came, *self.went)

    @property
    def rows(self) -> int:
        return sum(file.known_rows for file in self.all)


def changed_files(now: ServedTable, version: int) -> FileChanges | None:
    """What has changed since an earlier version; None where the log or the files do not tell any
    more.
    """
    try:
        before = {file.path: file for file in table_files(open_table(now.place, version))}
    except BatchInferError:
        # Its log has been cleaned up: everything is read.
        return None
    own = {file.path for file in now.files}
    came = tuple(file for file in now.files if file.path not in before)
    went = tuple(file for path, file in before.items() if path not in own)
    return FileChanges(came, went) if _are_there(now.place, went) else None


def _path_of(file: DataFile, root: str) -> str:
    """A file's place in its file system."""
    return file.path if file.path.startswith("/") else f"{root}/{file.path}"


def _are_there(place: str, files: tuple[DataFile, ...]) -> bool:
    from pyarrow.fs import FileType

    if not files:
        return True
    filesystem, root = open_filesystem(place)
    paths = [_path_of(file, root) for file in files]
    return all(info.type is not FileType.NotFound for info in filesystem.get_file_info(paths))


def part_count(rows: int) -> int:
    """How many parts so many rows are cut into."""
    return max(1, min(_MOST_PARTS, -(-rows // _PART_ROWS)))


def in_parts(encoded: DataFrame, parts: int) -> DataFrame:
    """Encoded rows as `PartRows` wants them: by part, key and falling slice."""
    from pyspark.sql import functions as F

    return encoded.repartitionById(parts, F.col(PART)).sortWithinPartitions(
        F.col(PART), F.col(KEY), F.col(SLICE_OF).desc()
    )


def changed_frame(
    spark: SparkSession, table: ServedTable, changed: FileChanges
) -> tuple[DataFrame, DataFrame]:
    """The served rows of all keys in files that came or went, and these keys alone."""
    keys = table.keys_in(spark, changed.all)
    rows = table.frame(spark).join(keys, list(table.key), "left_semi")
    return rows.select(*map(quoted_name, table.schema.names)), keys
