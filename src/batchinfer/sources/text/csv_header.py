"""The first record of a CSV file: does its header fit the schema, which columns does the file have,
where do the data start.

Owns the contract between a file's header and the schema. Must not know types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchinfer.errors import InputError
from batchinfer.sources.file_columns import Held, WantedColumns
from batchinfer.sources.parsed import MAX_RECORD_BYTES
from batchinfer.sources.text.byte_streams import bom_length, is_utf8
from batchinfer.sources.text.csv_dialect import CsvDialect, QuoteError

_SHOWN_NAMES = 20
_SHOWN_LETTERS = 60


class BrokenRecord(InputError):
    """A first record whose quotes break the rule."""


@dataclass(frozen=True)
class Layout:
    """Where the data of one file start.

    Attributes:
        columns: names of the file's columns, in its order.
        start: offset of the first record (in the file; in the decompressed UTF-8 text where the
            file is one stream).
        line: physical line there, 1-based.
        blank_lines: blank lines before a header, which no split reads.
        missing: columns of the schema that the file lacks.
        new: names of the file's columns that the schema does not have.
    """

    columns: tuple[str, ...]
    start: int
    line: int
    blank_lines: int
    missing: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


@dataclass(frozen=True)
class First:
    """The first record: its fields, the offset behind it, the line behind it, the blank lines
    before it.
    """

    fields: tuple[str, ...]
    end: int
    line: int
    blank_lines: int


def read_first(
    chunks: Iterator[bytes], dialect: CsvDialect, encoding: str, path: str
) -> First | None:
    """The first record that is not blank; None if there is none.

    Args:
        chunks: the file's bytes in `encoding`.

    Raises:
        BrokenRecord: its quotes break the rule.
        InputError: it has no end within MAX_RECORD_BYTES.
    """
    head = b""
    for chunk in chunks:
        head += chunk
        first = _first(head, dialect, encoding, path, final=False)
        if first is not None:
            return first
        if len(head) > MAX_RECORD_BYTES:
            raise InputError(
                f"{path}: the first record has no end within {MAX_RECORD_BYTES // 2**20} MiB"
            )
    return _first(head, dialect, encoding, path, final=True)


def _first(head: bytes, dialect: CsvDialect, encoding: str, path: str, final: bool) -> First | None:
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
    head: bytes,
    position: int,
    line_end: int,
    blank_lines: int,
    dialect: CsvDialect,
    encoding: str,
    path: str,
    final: bool,
) -> First | None:
    try:
        if dialect.multi_line:
            fields, end = dialect.read_record(head, position)
        else:
            fields, end = (
                dialect.read_record(head[position:line_end].decode(encoding, "replace").encode())[
                    0
                ],
                line_end,
            )
    except QuoteError as error:
        if error.unclosed and not final and dialect.multi_line:
            return None
        json = (
            "; it looks like JSON, which kind: json reads"
            if head[position:].startswith((b'{"', b'[{"'))
            else ""
        )
        raise BrokenRecord(
            f"{path}:{blank_lines + 1}: the first record cannot be read: {error}{json}"
        ) from error
    if end >= len(head) and not final:
        return None
    names = [_name(content, quoted, dialect) for content, quoted in fields]
    return First(
        tuple(names),
        min(end + 1, len(head)),
        blank_lines + 2 + head.count(b"\n", position, end),
        blank_lines,
    )


def _name(content: bytes, quoted: bool, dialect: CsvDialect) -> str:
    text = content.decode("utf-8", "replace")
    text = text if quoted else text.removesuffix("\r")
    return text if quoted or not dialect.trim else text.strip(" \t")


def header_problem(names: Sequence[str], wanted: WantedColumns, held: Held) -> str | None:
    """What is wrong with a header, or None: each column of the schema must stand in it once, in any
    order, and no other, but for what `source.columns` allows.
    """
    if not held.ends:
        return None
    missing = [wanted.names[column] for column in held.missing]
    words = {"twice": held.twice, "missing": missing, "not in the schema": held.new}
    wrong = "; ".join(
        f"{word}: {_some([repr(name) for name in found], ', ')}"
        for word, found in words.items()
        if found
    )
    return (
        f"the header does not fit the schema: {wrong}. Got: {_some(names, ',')}. Allowed, in any "
        f"order: {_some(list(wanted.names.values()), ',')}" + _meant(wanted, held)
    )


def _some(names: Sequence[str], between: str) -> str:
    """The names, or the first of very many, each cut to a length that a person reads."""
    shown = between.join(
        name if len(name) <= _SHOWN_LETTERS else f"{name[:_SHOWN_LETTERS]}…"
        for name in names[:_SHOWN_NAMES]
    )
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown


def _meant(wanted: WantedColumns, held: Held) -> str:
    """Names that nearly are the missing ones."""
    said = [f"{found[0]!r} stands for {wanted.names[name]!r}" for name, found in held.alike.items()]
    return f". Perhaps {_some(said, ', ')}" if said else ""


_FOREIGN = (
    (b"\x1f\x8b\x08", "gzip data", "options.compression: gzip"),
    (b"BZh91AY&SY", "bzip2 data", "options.compression: bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "options.compression: zstd"),
    (
        b"PK\x03\x04",
        "a ZIP archive, such as an .xlsx file,",
        "text, also compressed by gzip, bzip2 or zstd",
    ),
    (b"PAR1\x15", "a Parquet file", "kind: parquet"),
    (b"\xff\xfe", "text in UTF-16", "options.encoding: utf-16"),
    (b"\xfe\xff", "text in UTF-16", "options.encoding: utf-16"),
)


def foreign_content(head: bytes, encoding: str) -> str | None:
    """What a file that should be plain UTF-8 text is by its first bytes, and how it can be read;
    None: nothing known.
    """
    if not is_utf8(encoding):
        return None
    return next(
        (
            f"it holds {what}; allowed: {how}"
            for mark, what, how in _FOREIGN
            if head.startswith(mark)
        ),
        None,
    )


def headerless_columns(
    first: First | None, schema: Sequence[str], optional: str | None
) -> tuple[str, ...]:
    """Columns of a file without header: the schema's, less its last one if that is optional and the
    first record lacks it.
    """
    lacks = first is not None and len(first.fields) == len(schema) - 1 and optional == schema[-1]
    return tuple(schema[:-1] if lacks else schema)
