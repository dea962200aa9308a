"""Bytes of a file: a range of it, or all of it decompressed and, where its encoding is not UTF-8,
turned into UTF-8.

Owns compression, encodings and what a damaged file looks like. Must not know lines, records or
columns.
"""

from __future__ import annotations

import bz2
import codecs
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from batchinfer.errors import ConfigError, InputError, InputMissing, StorageError

CHUNK_BYTES = 2**20
_BY_SUFFIX = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}
_BOM = b"\xef\xbb\xbf"


def compression_of(name: str, option: str | None) -> str | None:
    """`gzip`, `bzip2`, `zstd` or None: as the option says, else by the end of the name."""
    if option is not None:
        return None if option == "none" else option
    return _BY_SUFFIX.get(os.path.splitext(name)[1].lower())


def is_utf8(encoding: str) -> bool:
    """True for UTF-8, with or without a byte order mark.

    Raises:
        ConfigError: Python knows no such text encoding.
    """
    try:
        "".encode(encoding)
        return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
    except (LookupError, TypeError) as error:
        raise ConfigError(
            f"source.options.encoding: got {encoding!r}; allowed: a text encoding that Python knows"
        ) from error


def is_ascii_compatible(encoding: str) -> bool:
    """True if every byte below 128 stands for its ASCII character, so that a line feed can be found
    without decoding.
    """
    plain = bytes(range(128))
    try:
        return is_utf8(encoding) or plain.decode(encoding) == plain.decode("ascii")
    except UnicodeError:
        return False


def bom_length(head: bytes, encoding: str) -> int:
    """Bytes of the byte order mark at the start of a file's (UTF-8) text: 3 or 0."""
    return (
        len(_BOM)
        if head.startswith(_BOM) and (is_utf8(encoding) or not is_ascii_compatible(encoding))
        else 0
    )


def read_range(path: str, start: int, end: int) -> Iterator[bytes]:
    """The bytes from start up to end, in chunks.

    Runs on: executor.

    Raises:
        InputError: the file ends before `end`.
    """
    left = end - start
    with _open(path) as handle:
        handle.seek(start)
        while left > 0:
            chunk = _read(handle, min(CHUNK_BYTES, left), path)
            if not chunk:
                raise InputError(
                    f"{path} became shorter while it was read: {left} bytes are missing"
                )
            left -= len(chunk)
            yield chunk


def read_stream(path: str, compression: str | None) -> Iterator[bytes]:
    """The whole content, decompressed, in chunks of bounded size.

    Runs on: executor.

    Raises:
        InputError: the compressed data is cut short or damaged.
    """
    if compression is None:
        yield from read_range(path, 0, os.path.getsize(path))
    elif compression == "zstd":
        yield from _zstd(path)
    else:
        yield from _members(path, compression)


def to_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same text as UTF-8; a byte that does not decode becomes a lone surrogate, which no valid
    UTF-8 holds.
    """
    if is_utf8(encoding):
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors=_MARK)
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")


def original(text: bytes, encoding: str) -> bytes:
    """The bytes of the file that `to_utf8` made this text of; where its encoding cannot write them
    again, the text as UTF-8.
    """
    if is_utf8(encoding):
        return text
    try:
        return text.decode("utf-8", "surrogatepass").encode(encoding, _MARK)
    except UnicodeError:
        return text


_MARK = "batchinfer.mark"


def _mark(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeDecodeError):
        return "".join(
            chr(0xDC00 + byte) for byte in error.object[error.start : error.end]
        ), error.end
    if isinstance(error, UnicodeEncodeError):
        return bytes(ord(each) & 0xFF for each in error.object[error.start : error.end]), error.end
    raise error


codecs.register_error(_MARK, _mark)


def _open(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError as error:
        raise InputMissing(f"{path} is gone since it was listed") from error
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except OSError as error:
        raise StorageError(f"{path} cannot be opened: {error.strerror}") from error


def _read(handle: BinaryIO, size: int, path: str) -> bytes:
    try:
        return handle.read(size)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


class _Gzip:
    """zlib's decompressor with the interface of bz2's: output in bounded pieces, however well the
    data compresses.
    """

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(out) < max_length
        return out

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        # Zero bytes behind a member are padding, which tapes and some writers add.
        return self._zlib.unused_data.lstrip(b"\0")


_DECODERS: dict[str, Callable[[], Any]] = {"gzip": _Gzip, "bzip2": bz2.BZ2Decompressor}
_FIRST_BYTES = {"gzip": b"\x1f\x8b", "bzip2": b"BZh"}


def _members(path: str, compression: str) -> Iterator[bytes]:
    # Not gzip.open and bz2.open: the latter drops a damaged second member in silence.
    new = _DECODERS[compression]
    decoder = new()
    with _open(path) as handle:
        _check_begin(path, _read(handle, 3, path), compression)
        handle.seek(0)
        while True:
            data = b""
            if decoder.eof:
                data = decoder.unused_data or _read(handle, CHUNK_BYTES, path).lstrip(
                    b"\0" if compression == "gzip" else b""
                )
                if not data:
                    return
                decoder = new()
            elif decoder.needs_input:
                data = _read(handle, CHUNK_BYTES, path)
                if not data:
                    raise InputError(f"{path} is cut short: its {compression} data has no end")
            try:
                chunk = decoder.decompress(data, CHUNK_BYTES)
            except (OSError, EOFError, ValueError, zlib.error) as error:
                raise InputError(
                    f"{path} is damaged: its {compression} data cannot be decompressed ({error})"
                ) from error
            if chunk:
                yield chunk


def _check_begin(path: str, begin: bytes, compression: str) -> None:
    wanted = _FIRST_BYTES[compression]
    if begin[: len(wanted)] != wanted[: len(begin)]:
        raise InputError(
            f"{path} holds no {compression} data: it begins with {begin.hex(' ')}; allowed: "
            f"{compression} data, or options.compression: none where only the name says so"
        )


def _zstd(path: str) -> Iterator[bytes]:
    if os.path.getsize(path) == 0:
        raise InputError(f"{path} is cut short: its zstd data has no end")
    try:
        with pa.CompressedInputStream(pa.OSFile(path), "zstd") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise InputError(
            f"{path} is damaged or cut short: its zstd data cannot be decompressed ({error})"
        ) from error
