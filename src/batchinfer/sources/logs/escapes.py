"""Undoes what servers write in place of characters that a line of a log cannot hold.

Owns which escapes each has. One pass, from left to right: `\\\\x22` is a backslash and `x22`, not a
quote. What comes out are bytes, and they are read as UTF-8; a byte that is none becomes U+FFFD, as
in any text that is read so. Must not know columns or lines.

Sources: Apache HTTP Server, `ap_escape_logitem`; nginx, `ngx_http_log_escape`; lighttpd,
`buffer_append_bs_escaped`; Varnish, `VSB_quote`; HAProxy, `lf_encode_string`; Squid,
`QuoteMimeBlob`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute


@dataclass(frozen=True)
class Escapes:
    """How a server escapes.

    Attributes:
        marks: characters that an escape begins with.
        pattern: finds an escape, or a mark that begins none; groups: two hexadecimal digits, the
            character behind the mark.
        characters: what such a character stands for.
    """

    marks: str
    pattern: re.Pattern[bytes]
    characters: Mapping[bytes, bytes]


# Each of the four servers writes a part of these, and none of them writes another meaning.
BACKSLASH = Escapes(
    "\\",
    re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.)?)", re.DOTALL),
    dict(
        zip(
            (b"a", b"b", b"f", b"n", b"r", b"t", b"v"),
            b"\a \b \f \n \r \t \v".split(b" "),
            strict=True,
        )
    )
    | {b'"': b'"', b"\\": b"\\"},
)
HAPROXY = Escapes("#", re.compile(rb"#(?:([0-9A-Fa-f]{2})|(.)?)", re.DOTALL), {})
SQUID = Escapes(
    "%\\",
    re.compile(rb"(?:%([0-9A-Fa-f]{2})|[%\\](.)?)", re.DOTALL),
    {b"r": b"\r", b"n": b"\n", b"\\": b"\\"},
)


@dataclass(frozen=True)
class Undone:
    """A column without escapes.

    Attributes:
        unknown: places of values with a mark that begins no escape; they are as they were.
        replaced: number of values with bytes that are not UTF-8.
    """

    text: pa.Array
    unknown: tuple[int, ...] = ()
    replaced: int = 0


def marked(text: pa.Array, escapes: Escapes) -> bool:
    """Whether any of the texts may hold an escape."""
    return bool(pc.any(_marks(text, escapes)).as_py())


def _marks(text: pa.Array, escapes: Escapes) -> pa.Array:
    found = pc.match_substring(text, escapes.marks[0])
    for mark in escapes.marks[1:]:
        found = pc.or_(found, pc.match_substring(text, mark))
    return found


def undo(text: pa.Array, escapes: Escapes) -> Undone:
    """The texts (string) without escapes; only those with a mark are touched.

    Runs on: executor.
    """
    touched = _marks(text, escapes)
    places = pc.indices_nonzero(touched)
    if not len(places):
        return Undone(text)
    values: list[str] = []
    unknown: list[int] = []
    replaced = 0
    for place, value in zip(places.to_pylist(), text.take(places).to_pylist(), strict=True):
        data = _undone(value, escapes)
        if data is None:
            unknown.append(place)
            values.append(value)
            continue
        try:
            values.append(data.decode())
        except UnicodeDecodeError:
            values.append(data.decode(errors="replace"))
            replaced += 1
    kept = pc.replace_with_mask(text, pc.fill_null(touched, False), pa.array(values, pa.string()))
    return Undone(kept, tuple(unknown), replaced)


def _undone(value: str, escapes: Escapes) -> bytes | None:
    """The bytes that a text stands for; None if a mark in it begins no escape."""

    def character(match: re.Match[bytes]) -> bytes:
        if match[1] is not None:
            return bytes.fromhex(match[1].decode())
        return escapes.characters[match[2]]

    try:
        return escapes.pattern.sub(character, value.encode())
    except KeyError:
        return None
