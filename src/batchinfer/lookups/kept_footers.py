"""A Parquet file of which single row groups are read, again and again.

Owns the footer that was checked, and what it saves to read. Must not know keys.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types as kinds
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile, must_be_told


class KeptFooter:
    """A file whose footer is read and checked once, pages each time. Threads may share it.

    Texts that have a dictionary are read as dictionaries, which are hardly decoded.

    Args:
        filesystem, path: where it is.

    Attributes:
        metadata: its footer.
        schema: Arrow types of its columns, without those dictionaries.

    Raises:
        DamagedFile, FileNotFoundError, OSError, pa.ArrowException: as `CheckedParquetFile`.
    """

    def __init__(self, filesystem: FileSystem, path: str) -> None:
        self._filesystem, self._path = filesystem, path
        with CheckedParquetFile(filesystem, path) as file:
            self.metadata: pq.FileMetaData = file.metadata
            self.schema: pa.Schema = file.schema_arrow
            self._is_sealed = file.is_sealed
        leaves = map(self.metadata.schema.column, range(self.metadata.num_columns))
        self._places = {
            leaf.path: place for place, leaf in enumerate(leaves) if leaf.path in self.schema.names
        }
        self._dictionaries = self._texts_with_dictionary()

    def bounds(self, group: int, name: str, type_: pa.DataType) -> tuple[Any, Any] | None:
        """Smallest and greatest value of a column in a row group; None where the footer does not
        tell, or tells of another type than this.
        """
        told = self._statistics(group, name, type_)
        if told is None:
            return None
        try:
            low, high = told.min, told.max
        except UnicodeDecodeError:
            # Some writers cut long texts between the bytes of a character.
            return None
        # NaN is not within any bounds, itself included.
        return (low, high) if low <= high else None

    def one_value(self, group: int, name: str, type_: pa.DataType) -> Any:
        """The value that every row of a row group has in a column, if the footer tells; else None.

        Only a footer with a checksum is believed: our writer cuts no bounds. Numbers with a
        fraction are left out, in which equal is not the same.
        """
        told = self._statistics(group, name, type_) if self._is_sealed else None
        if told is None or not told.has_null_count or told.null_count:
            return None
        if not (kinds.is_string(type_) or kinds.is_boolean(type_) or kinds.is_integer(type_)):
            return None
        least = told.min
        return least if least == told.max else None

    def _statistics(self, group: int, name: str, type_: pa.DataType) -> Any:
        place = self._places.get(name)
        if place is None or self.schema.field(name).type != type_:
            return None
        found = self.metadata.row_group(group).column(place).statistics
        return found if found is not None and found.has_min_max else None

    @contextmanager
    def open(self) -> Generator[pq.ParquetFile]:
        """The file, to be read by one thread. It is opened anew for each question, so that a file
        that is gone is told as such, by stores too.

        Raises:
            FileNotFoundError, OSError, pa.ArrowException: as `pyarrow.parquet.ParquetFile`.
        """
        with self._filesystem.open_input_file(self._path) as source:
            yield pq.ParquetFile(
                source,
                metadata=self.metadata,
                read_dictionary=self._dictionaries,
                pre_buffer=not isinstance(self._filesystem, LocalFileSystem),
                page_checksum_verification=True,
            )

    def read(self, file: pq.ParquetFile, group: int, columns: Sequence[str]) -> pa.Table:
        """Columns of one row group; names that the file does not have are left out.

        Args:
            file: as `open` gives it.

        Raises:
            DamagedFile: it has other than the rows that the footer tells of.
            FileNotFoundError, OSError, pa.ArrowException: as `pyarrow.parquet.ParquetFile`.
        """
        rows = file.read_row_group(group, list(columns), use_threads=False)
        must_be_told(self._path, self.metadata.row_group(group).num_rows, rows.num_rows)
        return rows

    def _texts_with_dictionary(self) -> list[str]:
        """Columns of text or bytes, none of a list, with a dictionary in the first row group."""
        if not self.metadata.num_row_groups:
            return []
        first = self.metadata.row_group(0)
        return [
            first.column(place).path_in_schema
            for place in range(self.metadata.num_columns)
            if self.metadata.schema.column(place).max_repetition_level == 0
            and first.column(place).physical_type == "BYTE_ARRAY"
            and first.column(place).has_dictionary_page
        ]
