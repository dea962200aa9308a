"""One Parquet file of a Delta table while it is being written: row groups, statistics, durability.

Owns the writer's settings. Knows neither buffers nor partitions (see `staging`).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types as kinds
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.checked_parquet import BODY, SealedOutput
from batchinfer.contracts import StagedFile
from batchinfer.lake.file_statistics import FileStatistics
from batchinfer.lake.table_places import storage_faults

_CODEC_SUFFIX = {"zstd": ".zstd", "snappy": ".snappy", "gzip": ".gz", "none": ""}


def prefix_of(run_id: str) -> str:
    """How the names of the files begin that a run stages."""
    return f"part-{run_id}-" if run_id else "part-"


class ParquetFile:
    """A new file below a table's root; nothing refers to it until a commit does.

    Args:
        filesystem, root: the table's place.
        folder: relative to the root, names already encoded.
        schema: of the file; dictionary types here are written as plain columns with dictionary
            pages.
        statistics: empty statistics of the columns that readers skip by.
        distinct: columns in which hardly a value stands twice: a dictionary of them would cost time
            and space.
        unordered: paths of columns with NaN or -0.0, as `unordered_values` finds them. They have
            neither dictionary nor statistics: each reader would skip other rows by them.
        facts: key-value metadata that the footer gets, with the checksum of what stands before it.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        root: str,
        folder: str,
        schema: pa.Schema,
        statistics: FileStatistics,
        compression: str,
        distinct: Collection[str] = (),
        unordered: Collection[str] = (),
        run_id: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        unique = uuid.uuid4().hex
        name = f"{prefix_of(run_id)}{unique}{_CODEC_SUFFIX[compression]}.parquet"
        self.path = f"{folder}/{name}" if folder else name
        self.full_path = f"{root.rstrip('/')}/{self.path}"
        self._facts = dict(facts or {})
        self._filesystem, self._root, self._schema, self._statistics = (
            filesystem,
            root,
            schema,
            statistics,
        )
        # PyArrow takes names of columns here; its type stubs know only True and False.
        ordered: Any = [
            path for field in schema for path in _leaves(field) if path not in unordered
        ]
        encoded: Any = [
            path
            for field in schema
            if field.name not in distinct
            for path in _leaves(field)
            if path not in unordered
        ]
        with storage_faults(self.full_path, "create the file"):
            make_folder(filesystem, self.full_path.rsplit("/", 1)[0])
            self._sink = SealedOutput(filesystem.open_output_stream(self.full_path))
            self._writer = pq.ParquetWriter(
                pa.PythonFile(self._sink, "w"),
                schema,
                compression=compression,
                use_dictionary=encoded,
                write_statistics=ordered if unordered else True,
                version="2.6",
                # Readers must see plain columns: the embedded Arrow schema would bring dictionary
                # types back.
                store_schema=False,
                # Spark's own INT96 has no file statistics; these have.
                use_deprecated_int96_timestamps=False,
                coerce_timestamps="us",
                write_page_checksum=True,
            )

    @property
    def schema(self) -> pa.Schema:
        return self._schema

    @property
    def rows(self) -> int:
        return self._statistics.rows

    def write(self, rows: pa.Table, row_group_rows: int) -> None:
        """Appends rows as one or more row groups."""
        with storage_faults(self.full_path, "write"):
            self._writer.write_table(rows, row_group_size=row_group_rows)
        self._statistics.add(rows)

    def close(self, partition: Mapping[str, str | None]) -> StagedFile:
        """Ends the file; after this its bytes and its name outlive a power cut.

        Raises:
            StorageError: storage is full or failed.
        """
        with storage_faults(self.full_path, "finish the file"):
            if self._facts:
                body = f"{self._sink.checksum} {self._sink.written}"
                self._writer.add_key_value_metadata({**self._facts, BODY: body})
            self._sink.hold_footer()
            self._writer.close()
            self._sink.close()
            if isinstance(self._filesystem, LocalFileSystem):
                _sync_one(Path(self.full_path))
                sync_folders(Path(self.full_path).parent, Path(self._root))
            size = self._filesystem.get_file_info(self.full_path).size
        return StagedFile(
            self.path, self.rows, int(size or 0), dict(partition), self._statistics.to_json(),
            self._sink.checksum,
        )  # fmt: skip

    def abort(self) -> None:
        """Closes and deletes the file, as far as storage still answers."""
        for close in (self._writer.close, self._sink.close):
            try:
                close()
            except (OSError, pa.ArrowException):
                # Storage that is full fails here once more; what counts is the deletion below.
                continue
        delete_quietly(self._filesystem, self.full_path)


def _leaves(field: pa.Field, below: str = "") -> Iterator[str]:
    """Paths of a field's columns as Parquet names them.

    Source: Parquet logical types, "Nested Types".
    """
    path, type_ = f"{below}{field.name}", field.type
    if kinds.is_struct(type_):
        for child in type_:
            yield from _leaves(child, f"{path}.")
    elif kinds.is_map(type_):
        for name, inner in (("key", type_.key_type), ("value", type_.item_type)):
            yield from _leaves(pa.field(name, inner), f"{path}.key_value.")
    elif kinds.is_list(type_) or kinds.is_large_list(type_) or kinds.is_fixed_size_list(type_):
        yield from _leaves(pa.field("element", type_.value_type), f"{path}.list.")
    else:
        yield path


def make_folder(filesystem: FileSystem, folder: str) -> None:
    """Makes a folder and those above it; object stores need none, and would get an empty object for
    each.
    """
    if isinstance(filesystem, LocalFileSystem):
        filesystem.create_dir(folder, recursive=True)


def delete_quietly(filesystem: FileSystem, path: str) -> bool:
    """Deletes a file that no commit refers to; False if it could not (the sweep of orphans takes it
    later).
    """
    try:
        filesystem.delete_file(path)
    except OSError:
        return False
    return True


def sync_folders(folder: Path, root: Path) -> None:
    """Makes new names in a folder, and the names of the folders between it and the table's root,
    outlive a power cut.
    """
    while folder != root.parent and folder != folder.parent:
        _sync_one(folder)
        folder = folder.parent


def _sync_one(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
