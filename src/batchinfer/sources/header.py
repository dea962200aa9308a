"""The first record of a CSV file: does its header fit the schema, which columns does the file have, where do the data start.

Owns the contract between a file's header and the schema. Must not know types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchinfer.errors import InputError
from batchinfer.sources.dialect import Dialect, QuoteError
from batchinfer.sources.parsed import MAX_RECORD_BYTES
from batchinfer.sources.streams import bom_length


@dataclass(frozen=True)
class Layout:
    """Where the data of one file start.

    Attributes:
        columns: names of the file's columns, in its order.
        start: offset of the first record (in the file; in the decompressed UTF-8 text where the file is one stream).
        line: physical line there, 1-based.
        blank_lines: blank lines before a header, which no split reads.
    """

    columns: tuple[str, ...]
    start: int
    line: int
    blank_lines: int


@dataclass(frozen=True)
class First:
    """The first record: its fields, the offset behind it, the line behind it, the blank lines before it."""

    fields: tuple[str, ...]
    end: int
    line: int
    blank_lines: int


def read_first(chunks: Iterator[bytes], dialect: Dialect, encoding: str, path: str) -> First | None:
    """The first record that is not blank; None if there is none.

    Args:
        chunks: the file's bytes in `encoding`.

    Raises:
        InputError: its quotes break the rule, or it has no end within MAX_RECORD_BYTES.
    """
    head = b""
    for chunk in chunks:
        head += chunk
        first = _first(head, dialect, encoding, path, final=False)
        if first is not None:
            return first
        if len(head) > MAX_RECORD_BYTES:
            raise InputError(f"{path}: the first record has no end within {MAX_RECORD_BYTES // 2**20} MiB")
    return _first(head, dialect, encoding, path, final=True)


def _first(head: bytes, dialect: Dialect, encoding: str, path: str, final: bool) -> First | None:
    position, blank_lines = bom_length(head, encoding), 0
    while position < len(head):
        feed = head.find(b"\n", position)
        if feed < 0 and not final:
            return None
        line_end = feed if feed >= 0 else len(head)
        if head[position:line_end].strip(dialect.spaces + b"\r"):
            return _read(head, position, line_end, blank_lines, dialect, encoding, path, final)
        position, blank_lines = line_end + 1, blank_lines + 1
    return None


def _read(
    head: bytes, position: int, line_end: int, blank_lines: int, dialect: Dialect, encoding: str, path: str, final: bool
) -> First | None:
    try:
        if dialect.multi_line:
            fields, end = dialect.read_record(head, position)
        else:
            fields, end = dialect.read_record(head[position:line_end].decode(encoding, "replace").encode())[0], line_end
    except QuoteError as error:
        if error.unclosed and not final and dialect.multi_line:
            return None
        raise InputError(f"{path}, line {blank_lines + 1}: the first record cannot be read: {error}") from error
    if end >= len(head) and not final:
        return None
    names = [_name(content, quoted, dialect) for content, quoted in fields]
    return First(tuple(names), min(end + 1, len(head)), blank_lines + 2 + head.count(b"\n", position, end), blank_lines)


def _name(content: bytes, quoted: bool, dialect: Dialect) -> str:
    text = content.decode("utf-8", "replace")
    text = text if quoted else text.removesuffix("\r")
    return text if quoted or not dialect.trim else text.strip(" \t")


def check_header(names: Sequence[str], schema: Sequence[str], optional: str | None) -> str | None:
    """What is wrong with a header, or None: each column of the schema must stand in it once, in any order, and no other.

    Args:
        optional: a column that may be absent (the target, in data to be scored).
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    missing = [name for name in schema if name not in names and name != optional]
    extra = [name for name in names if name not in schema]
    words = {"twice": twice, "missing": missing, "not in the schema": extra}
    wrong = "; ".join(f"{word}: {', '.join(map(repr, found))}" for word, found in words.items() if found)
    if not wrong:
        return None
    return f"the header does not fit the schema: {wrong}. Got: {','.join(names)}. Allowed, in any order: {','.join(schema)}"


def headerless_columns(first: First | None, schema: Sequence[str], optional: str | None) -> tuple[str, ...]:
    """Columns of a file without header: the schema's, less its last one if that is optional and the first record lacks it."""
    lacks = first is not None and len(first.fields) == len(schema) - 1 and optional == schema[-1]
    return tuple(schema[:-1] if lacks else schema)
