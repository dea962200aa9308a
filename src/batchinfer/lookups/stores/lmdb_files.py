"""LMDB files as the embedded store writes them: once, in the order of keys."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.errors import DamagedStore, StorageError
from batchinfer.lake.table_places import open_filesystem, storage_faults
from batchinfer.lookups.stores.online_store import Rows
from batchinfer.lookups.stores.stored_rows import row_checksum

if TYPE_CHECKING:
    import lmdb

# Address space for one file that is being written, not memory; it grows by this where it is full.
_MAP_BYTES = 1 << 30
_READ_BYTES = 1 << 20
ANEW = "load the table anew, with --full"


def write_lmdb(file: Path, rows: Iterable[Rows]) -> tuple[int, int, int]:
    """Rows, their checksum and their bytes, of a file that is made of them."""
    import lmdb

    count = checksum = size = 0
    env = lmdb.open(
        str(file), subdir=False, map_size=_MAP_BYTES, lock=False, sync=False, metasync=False
    )
    try:
        for keys, values in rows:
            pairs = list(zip(keys, values, strict=True))
            _put_batch(env, pairs)
            count += len(pairs)
            checksum += sum(row_checksum(key, value) for key, value in pairs)
            size += sum(map(len, keys)) + sum(map(len, values))
        env.sync(True)
    except lmdb.Error as error:
        raise StorageError(f"{file}: cannot be written: {error}") from error
    finally:
        env.close()
    return count, checksum & 0xFFFF_FFFF_FFFF_FFFF, size


def open_whole(file: Path, digest: str, place: str) -> lmdb.Environment:
    """A file, mapped, if it is as it was written: a damaged one would end the process that reads
    it.

    Args:
        place: of the file in the store, for messages.

    Raises:
        DamagedStore: it is gone, or not as it was written.
        StorageError: it cannot be read.
    """
    import lmdb

    try:
        if (found := file_digest(file)) != digest:
            raise DamagedStore(
                f"{place}: damaged: its checksum is {found}, {digest} was written", ANEW
            )
        return lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=False)
    except FileNotFoundError:
        raise DamagedStore(f"{place}: damaged: the file is not there", ANEW) from None
    except StorageError:
        raise
    except (OSError, lmdb.Error) as error:
        raise StorageError(f"{place}: cannot be read: {error}") from error


def _put_batch(env: lmdb.Environment, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    import lmdb

    while True:
        try:
            with env.begin(write=True) as transaction, transaction.cursor() as cursor:
                _, added = cursor.putmulti(pairs, append=True)
        except lmdb.MapFullError:
            env.set_mapsize(env.info()["map_size"] + _MAP_BYTES)
            continue
        if added != len(pairs):
            raise StorageError(f"{env.path()}: keys come twice, or are not in order")
        return


def file_digest(file: Path) -> str:
    """Size and checksum of a file."""
    checksum = 0
    with file.open("rb") as opened:
        while block := opened.read(_READ_BYTES):
            checksum = zlib.crc32(block, checksum)
    return f"{file.stat().st_size}-{checksum:08x}"


def check_length(uri: str, digest: str) -> None:
    """Whether a file lies where it was put, as long as it was written; its bytes are not read.

    Args:
        uri: a path or `s3a://…`.
        digest: as `file_digest`; empty: no file was written.

    Raises:
        DamagedStore: it is gone, or shorter or longer.
        StorageError: the storage does not answer.
    """
    if not digest:
        return
    filesystem, path = open_filesystem(uri)
    with storage_faults(uri, "look at the file"):
        size = filesystem.get_file_info(path).size
    if size is None:
        raise DamagedStore(f"{uri}: damaged: the file is not there")
    if size != (written := int(digest.partition("-")[0])):
        raise DamagedStore(f"{uri}: damaged: it has {size:,} bytes, {written:,} were written")
