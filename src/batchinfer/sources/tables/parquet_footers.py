"""Footers of Parquet files: columns, row groups, and what a file looks like that is none.

Owns opening a Parquet file. Must not know what the columns ought to be.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from batchinfer.errors import InputError, InputMissing, StorageError
from batchinfer.legacy_calendar import int96_columns
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.tables.parquet_schema import variants, wide_integers

# Opening a file is mostly waiting for it, on network storage more than here.
_THREADS = 8
# pyarrow reads the data through a window of this size, and not a row group's columns whole.
_BUFFER_BYTES = 2**20


@dataclass(frozen=True)
class Footer:
    """What the end of a Parquet file says.

    Attributes:
        columns: (name, Arrow type) in the file's order.
        unsure: columns with INT96 timestamps, which may be with or without a zone.
        groups: (rows, uncompressed bytes) of each row group.
    """

    columns: tuple[tuple[str, pa.DataType], ...]
    unsure: frozenset[str]
    groups: tuple[tuple[int, int], ...]

    @property
    def rows(self) -> int:
        return sum(rows for rows, _ in self.groups)


def read_footers(files: Iterable[SourceFile]) -> dict[str, Footer]:
    """Footers by `source_file`; files of no bytes have none.

    Runs on: driver.

    Raises:
        InputMissing: a file is gone since it was listed.
        InputError: every file that is no Parquet file, or is cut short.
    """
    filled = [file for file in files if file.size > 0]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(_footer_or_error, filled))
    problems = [
        problem for each in found if isinstance(each, InputError) for problem in each.problems
    ]
    for each in found:
        if isinstance(each, InputMissing):
            raise each
    if problems:
        raise InputError(problems)
    return {
        file.name: each
        for file, each in zip(filled, found, strict=True)
        if isinstance(each, Footer)
    }


def _footer_or_error(file: SourceFile) -> Footer | InputError:
    try:
        return _footer(file.path, file.size, file.mtime_ns)
    except InputError as error:
        return error


@lru_cache(maxsize=20_000)
def _footer(path: str, size: int, mtime_ns: int) -> Footer:
    """The footer of a file as it was listed: size and time are there so that another file is not
    taken for it.
    """
    with open_parquet(path) as parquet:
        if found := variants(str(parquet.schema)):
            raise InputError(
                f"{path}: columns of type variant ({', '.join(map(repr, found))}), which cannot be "
                "read as values; allowed: their JSON as text, or columns of plain types"
            )
        groups = [
            parquet.metadata.row_group(place) for place in range(parquet.metadata.num_row_groups)
        ]
        return Footer(
            tuple((field.name, field.type) for field in parquet.schema_arrow),
            int96_columns(parquet),
            tuple((group.num_rows, group.total_byte_size) for group in groups),
        )


def open_parquet(path: str) -> pq.ParquetFile:
    """Opens a Parquet file for reading with flat memory; damaged pages are noticed where they have
    checksums.

    Raises:
        InputMissing: the file is gone since it was listed.
        InputError: no Parquet file, or cut short.
        StorageError: the storage fails.
    """
    try:
        return pq.ParquetFile(
            path,
            memory_map=False,
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
            coerce_int96_timestamp_unit="us",  # nanoseconds hold the years 1677 to 2262 only
            page_checksum_verification=True,
        )
    except FileNotFoundError as error:
        raise InputMissing(f"{path} is gone since it was listed") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except pa.ArrowNotImplementedError as error:
        if wide := wide_integers(path):
            raise InputError(
                f"{path}: whole numbers of 128 bits ({', '.join(map(repr, wide))}), which neither "
                "Arrow nor Spark reads; allowed: decimal(38,0), bigint or string: cast them where "
                "the file is written"
            ) from error
        raise InputError(f"{path} cannot be read: {fact(error)}") from error
    except pa.ArrowException as error:
        raise InputError(f"{path} is no Parquet file, or is cut short: {fact(error)}") from error
    except OSError as error:
        if error.errno is None:  # thrift and decoding faults come as OSError without a number
            raise InputError(f"{path} is no Parquet file, or is damaged: {fact(error)}") from error
        raise StorageError(f"{path} cannot be opened: {error.strerror}") from error


def fact(error: BaseException) -> str:
    """An error's message in one line."""
    return " ".join(str(error).split())
