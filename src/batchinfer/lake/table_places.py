"""Where a table lies: URIs, file systems, safe file names, and storage faults in one wording.

Owns the translation of the errors of pyarrow, deltalake and the operating system into StorageError.
Knows nothing of Delta's log, of leases or of schemas.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from batchinfer.config.uris import local_path
from batchinfer.errors import BatchInferError, DamagedLog, InputError, StorageError
from batchinfer.lake.delta_words import RESTORE_LOG, delta_words

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

# What Hive, Spark and Delta write for the folder of a null partition value.
NULL_NAME = "__HIVE_DEFAULT_PARTITION__"
# A file name holds 255 bytes on every common file system.
_NAME_BYTES = 255
_CUT_BYTES = 160
# deltalake appends a stack trace to the message of some errors.
_BACKTRACE = re.compile(r"\n\s+0: .*", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def plain_place(uri: str) -> str:
    """A place as messages and Spark take it: an absolute path of a local one, the URI as users
    spell it otherwise.

    Runs on: driver
    """
    path = local_path(uri)
    return uri.rstrip("/") if path is None else str(path)


def table_uri(uri: str) -> str:
    """The spelling that deltalake is given: a plain absolute path for local tables, the URI itself
    otherwise.

    Runs on: driver | executor
    """
    path = local_path(uri)
    if path is not None:
        return str(path)
    from batchinfer.object_stores import delta_uri

    return delta_uri(uri)


def table_options(uri: str) -> dict[str, str] | None:
    """The storage options that deltalake is given with `table_uri`; None for local tables.

    Runs on: driver | executor
    """
    if local_path(uri) is not None:
        return None
    from batchinfer.object_stores import delta_options

    return delta_options(uri)


def open_filesystem(uri: str) -> tuple[FileSystem, str]:
    """The pyarrow file system of a table, and the table's root inside it.

    Runs on: driver | executor

    Raises:
        StorageError: no file system for this scheme.
    """
    path = local_path(uri)
    if path is None:
        from batchinfer.object_stores import is_on_store, open_s3

        if not is_on_store(uri):
            raise StorageError(
                f"{uri}: cannot be opened; allowed: a path, file:///… or s3a://bucket/folder"
            )
        return open_s3(uri)
    from pyarrow.fs import LocalFileSystem

    return LocalFileSystem(), str(path)


def logged_path(text: str) -> str:
    """A file as everything but the log speaks of it: its name on disk, relative to the table.

    The files of a shallow clone are another table's: the log has their URIs, of which local ones
    become absolute paths, and others stay URIs, without percent-encoding.

    Runs on: driver

    Source: Delta transaction log protocol, section "Add File and Remove File".
    """
    path = unquote(text)
    return "/" + path[len("file:") :].lstrip("/") if path.startswith("file:/") else path


def is_reachable(uri: str) -> bool:
    """True of places that workers open themselves, without Spark.

    Runs on: driver | executor
    """
    from batchinfer.object_stores import is_on_store

    return local_path(uri) is not None or is_on_store(uri)


def encode_name(value: str | None) -> str:
    """A folder or file name for any text: percent-encoded, long ones cut and told apart by their
    digest.

    Runs on: driver | executor
    """
    if value is None:
        return NULL_NAME
    encoded = _encode(value)
    if len(encoded) <= _CUT_BYTES:
        return encoded
    return (
        encoded[: _CUT_BYTES - 33].rstrip("%")
        + "~"
        + hashlib.sha256(value.encode()).hexdigest()[:32]
    )


def _encode(value: str) -> str:
    # ASCII only: a JVM under the C locale cannot open other names.
    encoded = quote(value, safe="")
    # A name of dots alone would climb out of the folder.
    return encoded.replace(".", "%2E") if not encoded.strip(".") else encoded


def partition_folder(values: Mapping[str, str | None]) -> str:
    """The folder of a partition, relative to the table, in Hive's style:
    `slice=2015-05-18/stage=score`.

    Delta takes partition values from its log, but Polars reads them off these names: they must say
    the whole value.

    Runs on: driver | executor

    Raises:
        InputError: a value too long for a folder's name.
    """
    names = [
        f"{column}={NULL_NAME if value is None else _encode(value)}"
        for column, value in values.items()
    ]
    long = [name for name in names if len(name) > _NAME_BYTES]
    if long:
        raise InputError(
            f"partition {long[0][:60]}… has {len(long[0])} bytes when percent-encoded; allowed: "
            f"{_NAME_BYTES}"
        )
    return "/".join(names)


def error_line(error: BaseException) -> str:
    """One line of an error's message, without colours and stack traces."""
    text = _BACKTRACE.sub("", _COLOUR.sub("", str(error))).strip()
    return " ".join(text.split()) or type(error).__name__


@contextmanager
def storage_faults(uri: str, doing: str) -> Generator[None]:
    """Turns faults of storage into StorageError, naming the place and the underlying message.

    Runs on: driver | executor

    Raises:
        StorageError: for OSError, and for every error of pyarrow's input/output or of deltalake.
    """
    import pyarrow as pa
    from deltalake.exceptions import DeltaError

    try:
        yield
    except BatchInferError:
        raise
    except (OSError, pa.ArrowException, DeltaError) as error:
        raise as_storage_error(uri, doing, error) from error


@contextmanager
def reading_faults(path: str) -> Generator[None]:
    """Turns faults of reading one Parquet file into errors that name it.

    Runs on: driver | executor

    Raises:
        DamagedFile: its bytes are not those that were written.
        StorageError: storage fails, or the file is gone.
    """
    import pyarrow as pa

    from batchinfer.checked_parquet import damage

    try:
        yield
    except BatchInferError:
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        fault = damage(path, error) or as_storage_error(path, "read the file", error)
        raise fault from error


def as_storage_error(uri: str, doing: str, error: BaseException) -> StorageError:
    """A fault of storage in this project's words; of an object store with what helps, and without
    what the store repeats. A log that is damaged is told apart: no retry reads it.

    Runs on: driver | executor
    """
    from deltalake.exceptions import DeltaError

    from batchinfer.object_stores import is_of_store, words_and_hint

    words, hint = error_line(error), None
    if "://" in uri or is_of_store(words):
        words, hint = words_and_hint(words)
        # Inside a file system of pyarrow, a place is a bucket and a key.
        uri = uri if "://" in uri or uri.startswith("/") else f"s3a://{uri}"
    elif isinstance(error, DeltaError) or " ↳ " in words:
        words, hint = delta_words(words)
    kind = DamagedLog if hint == RESTORE_LOG else StorageError
    return kind(f"{uri}: cannot {doing}: {words}", hint)
