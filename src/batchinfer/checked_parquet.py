"""Parquet files in which a flipped bit is told as such, and never read as other values.

Owns how a file's bytes are checked. Pages have the checksums that Parquet has for them. A footer
has none, so the files that are written here hold one in front of it, where no reader looks: a mark,
and the CRC-32 of all bytes behind it. Files without either are read as they come. Must not know
tables.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSystem, LocalFileSystem

from batchinfer.errors import DamagedFile
from batchinfer.object_stores import is_of_store, side_by_side
from batchinfer.page_headers import count_values

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_MAGIC = b"PAR1"
_MARK = b"batchinfer footer crc32:"
_SEAL_BYTES = len(_MARK) + 4
# Length of the footer, and the magic bytes.
_END_BYTES = 8
# Most footers fit in: one request tells of them.
_TAIL_BYTES = 64 * 2**10
# Key of the CRC-32 and the number of all bytes before the footer.
BODY = "batchinfer.body"
# Bytes that are read at once for their checksum.
_BLOCK = 4 * 2**20
_HINT = (
    "doctor --deep, with the pipeline whose tables it should read, names every damaged file and "
    "what makes each anew"
)


class SealedOutput:
    """What a Parquet file is written into: puts the checksum of the footer in front of it.

    Args:
        sink: where the bytes go.

    Attributes:
        checksum: CRC-32 of all bytes that went there.
        written: how many these are.
    """

    def __init__(self, sink: IO[bytes] | pa.NativeFile) -> None:
        self._sink = sink
        self._footer: list[bytes] | None = None
        self.closed = False
        self.checksum = self.written = 0

    def write(self, data: bytes) -> int:
        """Takes the file's next bytes."""
        if self._footer is None:
            self._pass_on(data)
        else:
            self._footer.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing: the sink is flushed when it is closed."""

    def hold_footer(self) -> None:
        """What is written from now on ends in the footer."""
        self._footer = []

    def close(self) -> None:
        """Writes the footer with its checksum, and closes the sink."""
        if self.closed:
            return
        self.closed = True
        try:
            if self._footer is not None:
                self._pass_on(_sealed(b"".join(self._footer)))
        finally:
            self._sink.close()

    def _pass_on(self, data: bytes) -> None:
        self._sink.write(data)
        self.checksum = zlib.crc32(data, self.checksum)
        self.written += len(data)


def _sealed(data: bytes) -> bytes:
    """The end of a file with the checksum of its footer."""
    start = len(data) - _END_BYTES - _footer_bytes(data[-_END_BYTES:])
    if start < 0 or not data.endswith(_MAGIC):
        return data  # the writer has failed before the end
    footer = data[start:]
    return b"".join((data[:start], _MARK, zlib.crc32(footer).to_bytes(4, "little"), footer))


class CheckedParquetFile(pq.ParquetFile):
    """A Parquet file whose footer and pages are checked as they are read, where they have
    checksums.

    Args:
        filesystem, path: where it is.
        options: as `pyarrow.parquet.ParquetFile` takes them.

    Raises:
        DamagedFile: the footer is not what was written, or pages of lists have other numbers of
            values than it says (of a store each page would be a request, and stores check what they
            keep).
        FileNotFoundError, OSError, pa.ArrowException: as `pyarrow.parquet.ParquetFile`.
    """

    def __init__(self, filesystem: FileSystem, path: str, **options: Any) -> None:
        self._path = path
        source = filesystem.open_input_file(path)
        try:
            self.is_sealed, metadata = _read_footer(source, path)
            super().__init__(source, metadata=metadata, page_checksum_verification=True, **options)
            if isinstance(filesystem, LocalFileSystem):
                _check_lists(source, self.metadata, path)
        except BaseException:
            source.close()
            raise

    def iter_batches(
        self,
        batch_size: int = 65_536,
        row_groups: Sequence[int] | None = None,
        columns: Sequence[str] | None = None,
        use_threads: bool = True,
        use_pandas_metadata: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """As `pyarrow.parquet.ParquetFile` does; and all rows that the footer tells of.

        Raises:
            DamagedFile: there are fewer rows, or more.
        """
        groups = range(self.metadata.num_row_groups) if row_groups is None else row_groups
        told = sum(self.metadata.row_group(group).num_rows for group in groups)
        rows = 0
        for batch in super().iter_batches(
            batch_size, groups, columns, use_threads, use_pandas_metadata
        ):
            rows += batch.num_rows
            yield batch
        must_be_told(self._path, told, rows)

    def close(self, force: bool = True) -> None:
        """Closes the file; it was opened here."""
        super().close(force=force)


def must_be_told(path: str, told: int, rows: int) -> None:
    """That a file has as many rows as its footer tells of: Arrow leaves a page out whose header
    names a kind that it does not know, and ends early.

    Raises:
        DamagedFile: there are fewer rows, or more.
    """
    if rows != told:
        raise DamagedFile(
            f"{path} is damaged: its footer tells of {told:,} rows in these row groups, "
            f"and there are {rows:,}",
            _HINT,
        )


def check_file(filesystem: FileSystem, path: str) -> None:
    """What opening a file checks, for readers that cannot tell.

    Raises:
        DamagedFile, FileNotFoundError, OSError, pa.ArrowException: as `CheckedParquetFile`.
    """
    CheckedParquetFile(filesystem, path).close()


def page_checks() -> ds.ParquetFragmentScanOptions:
    """How datasets read: with the checksums of pages; those of footers `check_footers` looks at."""
    # It imports pandas, which most readers do without.
    import pyarrow.dataset as ds

    return ds.ParquetFragmentScanOptions(pre_buffer=True, page_checksum_verification=True)


def footer_facts(filesystem: FileSystem, path: str, size: int) -> dict[str, str]:
    """The key-value metadata of a file of ours; none of a file that others have written.

    Args:
        size: bytes that it has to have.

    Raises:
        DamagedFile: it has another size, or its footer is not what was written.
        FileNotFoundError, OSError: it is not there, or storage fails.
    """
    with filesystem.open_input_file(path) as source:
        if source.size() != size:
            raise DamagedFile(
                f"{path} is damaged: it has {source.size():,} bytes, and {size:,} were written",
                _HINT,
            )
        _, metadata = _read_footer(source, path)
    told = {} if metadata is None else metadata.metadata or {}
    return {key.decode(): value.decode(errors="replace") for key, value in told.items()}


def checksum_of(source: IO[bytes] | pa.NativeFile, most: int | None = None) -> tuple[int, int]:
    """CRC-32 of the bytes of a stream, and how many they are.

    Args:
        most: no more of them are read; None: all are.
    """
    checksum = size = 0
    while block := source.read(_BLOCK if most is None else min(_BLOCK, most - size)):
        checksum, size = zlib.crc32(block, checksum), size + len(block)
    return checksum, size


def check_footers(filesystem: FileSystem, paths: Sequence[str]) -> None:
    """Whether the footers of files are what was written, for readers that cannot tell; what is not
    there, those tell themselves.

    Raises:
        DamagedFile: naming each that is not.
        OSError: storage fails.
    """

    def look(path: str) -> str | None:
        try:
            with filesystem.open_input_file(path) as source:
                _read_seal(source, path)
        except FileNotFoundError:
            return None
        except DamagedFile as error:
            return error.problems[0]
        return None

    if damaged := [problem for problem in side_by_side(filesystem, look, paths) if problem]:
        raise DamagedFile(damaged, _HINT)


@dataclass(frozen=True)
class LookedAt:
    """What was found by reading a whole file.

    Attributes:
        rows: that could be read.
        is_sealed: it has checksums of ours.
        damage: what is wrong with it, or None.
    """

    rows: int
    is_sealed: bool
    damage: str | None = None


def look_at(filesystem: FileSystem, path: str) -> LookedAt:
    """Reads a whole file, with every check there is.

    Raises:
        FileNotFoundError, OSError: the file is not there, or storage fails.
    """
    rows, is_sealed = 0, False
    try:
        with CheckedParquetFile(filesystem, path, pre_buffer=False) as file:
            is_sealed = file.is_sealed
            for group in range(file.metadata.num_row_groups):
                for batch in file.iter_batches(row_groups=[group], use_threads=False):
                    rows += batch.num_rows
    except DamagedFile as error:
        return LookedAt(rows, True, error.problems[0].partition(" is damaged: ")[2])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if is_of_storage(error):
            raise
        return LookedAt(rows, is_sealed, _words(error))
    return LookedAt(rows, is_sealed)


def damage(path: str, error: BaseException) -> DamagedFile | None:
    """The error of reading a file's rows as one of its bytes; None where storage failed, or
    something that is no reading.
    """
    if isinstance(error, DamagedFile):
        return error
    if not isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError):
        return None
    return (
        None if is_of_storage(error) else DamagedFile(f"{path} is damaged: {_words(error)}", _HINT)
    )


def damage_among(
    filesystem: FileSystem, paths: Sequence[str], error: BaseException
) -> DamagedFile | None:
    """After an error of reading several files: an error that names those that are damaged; None if
    none is.

    Reads files whole until one is found.
    """
    if isinstance(error, DamagedFile):
        return error
    for path in paths:
        try:
            found = look_at(filesystem, path)
        except OSError:
            continue
        if found.damage:
            return DamagedFile(f"{path} is damaged: {found.damage}", _HINT)
    return None


def is_of_storage(error: BaseException) -> bool:
    """True of an error that the operating system or a store has told, and not the reader of
    Parquet.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return True
    return isinstance(error, FileNotFoundError) or is_of_store(str(error))


def _check_lists(source: pa.NativeFile, metadata: pq.FileMetaData, path: str) -> None:
    """Whether columns of lists have as many values as the footer says; of others, Arrow sees to
    it.
    """
    lists = [
        place
        for place in range(metadata.num_columns)
        if metadata.schema.column(place).max_repetition_level > 0
    ]
    for group in range(metadata.num_row_groups) if lists else ():
        for place in lists:
            column = metadata.row_group(group).column(place)
            start = column.data_page_offset
            if column.has_dictionary_page and column.dictionary_page_offset:
                start = min(start, column.dictionary_page_offset)
            try:
                values = count_values(source, start, column.total_compressed_size)
            except ValueError as error:
                raise DamagedFile(f"{path} is damaged: {error}", _HINT) from error
            if values != column.num_values:
                raise DamagedFile(
                    f"{path} is damaged: {column.path_in_schema} has {values:,} values in row "
                    f"group {group}, and {column.num_values:,} were written",
                    _HINT,
                )


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "CRC checksum verification failed" in text:
        return "the checksum of a page does not match its bytes"
    return f"it cannot be decoded ({text})"


def _read_footer(source: pa.NativeFile, path: str) -> tuple[bool, pq.FileMetaData | None]:
    footer = _read_seal(source, path)
    if footer is None:
        return False, None
    return True, pq.read_metadata(pa.BufferReader(_MAGIC + footer))


def _read_seal(source: pa.NativeFile, path: str) -> bytes | None:
    """The footer, its length and the magic bytes behind it; None if they have no checksum.

    Raises:
        DamagedFile: they are not what was written.
    """
    size = source.size()
    tail = _read_end(source, size, _TAIL_BYTES)
    if len(tail) < _END_BYTES:
        return None
    wanted = _SEAL_BYTES + _footer_bytes(tail[-_END_BYTES:]) + _END_BYTES
    if wanted > size:
        return None
    if wanted > len(tail):
        tail = _read_end(source, size, wanted)
    seal, footer = tail[-wanted:][:_SEAL_BYTES], tail[-wanted:][_SEAL_BYTES:]
    if not seal.startswith(_MARK):
        return None
    if zlib.crc32(footer) != int.from_bytes(seal[len(_MARK) :], "little"):
        raise DamagedFile(
            f"{path} is damaged: the checksum of its footer does not match its bytes", _HINT
        )
    return footer


def _read_end(source: pa.NativeFile, size: int, count: int) -> bytes:
    count = min(size, count)
    return bytes(source.read_at(count, size - count))


def _footer_bytes(end: bytes) -> int:
    return int.from_bytes(end[:4], "little")
