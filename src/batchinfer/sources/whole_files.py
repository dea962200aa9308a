"""Pictures and texts -> rows: a row a file, with its path, size, digest and content.

Owns what makes a file a picture or a text. Pictures are not decoded here: that is a transform, done
where they are scored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer.config.sources import ImageSource, TextSource
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, BadRecord
from batchinfer.errors import InputError, InputMissing, StorageError
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.parsed import BLOCK_BYTES, MAX_RECORD_BYTES, Parsed
from batchinfer.sources.source_splits import WholeFiles
from batchinfer.sources.text.byte_ranges import check_unchanged
from batchinfer.sources.text.byte_streams import is_utf8

# Files of one split: enough that thousands of small ones are few blocks.
_SPLIT_FILES = 512
# What the quarantine keeps of a file that is no picture, or too large: what it is can be told from
# its start.
HEAD_BYTES = 64 * 2**10
# What it keeps of a text that cannot be decoded: nearly all texts whole, and never so much that a
# worker runs out of memory.
TEXT_HEAD_BYTES = 2**20
_BOM = b"\xef\xbb\xbf"
_PICTURE = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|II[*+]\0|MM\0[*+]"
    # Two letters are no signature: a bitmap's second header also says its own size.
    rb"|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)
_PICTURES = "PNG, JPEG, GIF, WebP, BMP, TIFF"


def plan_whole_files(
    files: Sequence[SourceFile], target_bytes: int = BLOCK_BYTES
) -> list[WholeFiles]:
    """Splits of whole files, neighbours together up to about `target_bytes`.

    Runs on: driver.
    """
    groups: list[list[SourceFile]] = []
    held = 0
    for file in files:
        if not groups or held + file.size > target_bytes or len(groups[-1]) == _SPLIT_FILES:
            groups.append([])
            held = 0
        groups[-1].append(file)
        held += file.size
    return [WholeFiles(tuple(group)) for group in groups]


@dataclass
class _Block:
    """Rows and bad records of some files, on their way to one `Parsed`."""

    rows: dict[str, list[Any]] = field(
        default_factory=lambda: {name: [] for name in ("path", "bytes", "digest", "content")}
    )
    bad: list[BadRecord] = field(default_factory=list)
    bytes: int = 0

    def add(self, file: SourceFile, data: bytes, content: bytes) -> None:
        values = (file.name, file.size, hashlib.sha256(data).hexdigest(), content)
        for column, value in zip(self.rows.values(), values, strict=True):
            column.append(value)
        self.bytes += len(content)

    def reject(self, file: SourceFile, raw: bytes, reason: str, message: str) -> None:
        cut = f"; the first {len(raw):,} bytes are kept" if len(raw) < file.size else ""
        self.bad.append(BadRecord(file.name, 1, raw, reason, f"{message}{cut}"))
        self.bytes += len(raw)

    def parsed(self, fields: Mapping[str, pa.DataType]) -> Parsed:
        rows = len(self.rows["path"])
        # Content is bytes that were checked: as text they need no second look.
        made = {
            name: pa.array(values, pa.binary() if name == "content" else fields[name])
            for name, values in self.rows.items()
        }
        columns = {name: made[name].view(type_) for name, type_ in fields.items()}
        lineage = {
            SOURCE_FILE: pa.array(self.rows["path"], pa.string()),
            SOURCE_LINE: pa.array(np.ones(rows), pa.int64()),
        }
        return Parsed(
            pa.RecordBatch.from_pydict({**columns, **lineage}), self.bad, rows + len(self.bad), 0
        )


def read_whole_files(
    splits: Sequence[WholeFiles],
    source: ImageSource | TextSource,
    fields: Mapping[str, pa.DataType],
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Parsed]:
    """A row a file, in blocks of about `block_bytes` of content.

    Bad records: `not_an_image` (empty, or without the first bytes of a picture), `not_utf8` or
    `encoding` (a text that its encoding cannot decode), `too_large` (more than 64 MiB).

    Runs on: executor.

    Raises:
        InputMissing, InputError: a file that is gone, or changed since it was listed.
    """
    block = _Block()
    for file in (file for split in splits for file in split.files):
        _read_file(file, source, block)
        if block.bytes >= block_bytes:
            yield block.parsed(fields)
            block = _Block()
    yield block.parsed(fields)


def _read_file(file: SourceFile, source: ImageSource | TextSource, block: _Block) -> None:
    check_unchanged(file)
    if file.size > MAX_RECORD_BYTES:
        message = f"the file has {file.size:,} bytes; allowed: {MAX_RECORD_BYTES:,}"
        block.reject(file, _read(file, HEAD_BYTES), "too_large", message)
        return
    data = _read(file, file.size + 1)
    if len(data) != file.size:
        raise InputError(
            f"{file.path} changed while it was being read: it had {file.size} bytes, now "
            f"{len(data)} or more"
        )
    if isinstance(source, ImageSource):
        _add_picture(file, data, block)
    else:
        _add_text(file, data, source.options.encoding, block)


def _read(file: SourceFile, size: int) -> bytes:
    try:
        with open(file.path, "rb") as handle:
            return handle.read(size)
    except FileNotFoundError as error:
        raise InputMissing(f"{file.path} is gone since it was listed") from error
    except PermissionError as error:
        raise InputError(f"{file.path} cannot be read: {error.strerror}") from error
    except OSError as error:
        raise StorageError(f"{file.path} cannot be read: {error.strerror}") from error


def _add_picture(file: SourceFile, data: bytes, block: _Block) -> None:
    if _PICTURE.match(data):
        block.add(file, data, data)
        return
    got = f"got {data[:8].hex(' ')}" if data else "the file is empty"
    block.reject(
        file, data[:HEAD_BYTES], "not_an_image", f"{got}; allowed: the first bytes of {_PICTURES}"
    )


def _add_text(file: SourceFile, data: bytes, encoding: str, block: _Block) -> None:
    try:
        # Encoded again at once: some encodings decode to characters that UTF-8 does not have.
        text = data if is_utf8(encoding) else data.decode(encoding).encode()
        text.decode()
    except UnicodeError as error:
        reason = "not_utf8" if is_utf8(encoding) else "encoding"
        block.reject(
            file, data[:TEXT_HEAD_BYTES], reason, f"the text is not {encoding}: {_place(error)}"
        )
        return
    block.add(file, data, text.removeprefix(_BOM))


def _place(error: UnicodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte 0x{error.object[error.start]:02x} at {error.start:,} ({error.reason})"
    return str(error)
