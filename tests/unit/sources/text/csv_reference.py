"""A CSV reader in plain Python, one character at a time: what the vectorised one must agree
with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchinfer.config.source_options import CsvOptions


@dataclass
class Expected:
    rows: list[tuple[Any, ...]] = field(default_factory=list)  # values, then the line
    bad: list[tuple[int, bytes, str]] = field(default_factory=list)  # line, raw, reason
    blank: int = 0


class Broken(Exception):
    pass


def read_csv(data: bytes, options: CsvOptions, types: list[str]) -> Expected:
    """Rows, bad records and blank lines of a header-less file."""
    found = Expected()
    position, line = 0, 1
    while position < len(data):
        feed = data.find(b"\n", position)
        end = feed if feed >= 0 else len(data)
        try:
            fields, end = _record(data, position, end, options)
            broken = False
        except Broken:
            fields, broken = [], True
        raw = data[position:end]
        raw = raw[:-1] if raw.endswith(b"\r") else raw
        reason = _judge(raw, fields, broken, options, types, found, line)
        if reason:
            found.bad.append((line, raw, reason))
        line += data.count(b"\n", position, end + 1)
        position = end + 1
    return found


def _judge(
    raw: bytes,
    fields: list[tuple[bytes, bool]],
    broken: bool,
    options: CsvOptions,
    types: list[str],
    found: Expected,
    line: int,
) -> str | None:
    if broken and options.multi_line:
        return "quote"
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    if b"\r" in raw and (
        not options.multi_line or any(b"\r" in content for content, quoted in fields if not quoted)
    ):
        return "bare_cr"
    if not raw.strip(b" \t".replace(options.delimiter.encode(), b"")):
        found.blank += 1
        return None
    if broken:
        return "quote"
    if len(fields) != len(types):
        return "field_count"
    try:
        values = [
            _value(content.decode(), quoted, type_, options)
            for (content, quoted), type_ in zip(fields, types, strict=True)
        ]
    except ValueError:
        return "type"
    found.rows.append((*values, line))
    return None


def _value(text: str, quoted: bool, type_: str, options: CsvOptions) -> Any:
    if options.trim and not quoted:
        text = text.strip(" \t")
    if text in options.null_values and (not quoted or (type_ != "string" and text == "")):
        return None
    if type_ == "string":
        return text
    text = text.strip(" \t")
    number = text[1:] if text[:1] in "+-" else text
    if not (number.isascii() and number.isdigit()) or not -(2**31) <= int(text) < 2**31:
        raise ValueError(text)
    return int(text)


def _record(
    data: bytes, position: int, line_end: int, options: CsvOptions
) -> tuple[list[tuple[bytes, bool]], int]:
    delimiter, quote, escape = (
        options.delimiter.encode(),
        options.quote.encode(),
        (options.escape or "").encode(),
    )
    spaces = b" \t".replace(delimiter, b"") if options.trim else b""
    limit = len(data) if options.multi_line else line_end
    if not options.multi_line and line_end > position and data[line_end - 1 : line_end] == b"\r":
        limit -= 1
    fields: list[tuple[bytes, bool]] = []
    at = position
    while True:
        ahead = at
        while ahead < limit and data[ahead : ahead + 1] in [
            spaces[i : i + 1] for i in range(len(spaces))
        ]:
            ahead += 1
        if quote and data[ahead : ahead + 1] == quote and ahead < limit:
            content, at = _quoted(data, ahead + 1, limit, quote, escape)
            while at < limit and data[at : at + 1] in [
                spaces[i : i + 1] for i in range(len(spaces))
            ]:
                at += 1
            rest = data[at:limit]
            if rest and not rest.startswith((delimiter, b"\n", b"\r\n")) and rest != b"\r":
                raise Broken
            fields.append((content, True))
        else:
            start = at
            while at < limit and data[at : at + 1] not in (delimiter, b"\n"):
                at += 1
            content = data[start:at]
            if data[at : at + 1] != delimiter and content.endswith(b"\r"):
                content = content[:-1]
            fields.append((content, False))
        if at >= limit or data[at : at + 1] != delimiter:
            feed = data.find(b"\n", at)
            return fields, feed if feed >= 0 else len(data)
        at += 1


def _quoted(data: bytes, at: int, limit: int, quote: bytes, escape: bytes) -> tuple[bytes, int]:
    content = b""
    while at < limit:
        here, following = data[at : at + 1], data[at + 1 : at + 2] if at + 1 < limit else b""
        if escape and here == escape and following:
            content += following if following in (quote, escape) else here + following
            at += 2
        elif here == quote and following == quote:
            content, at = content + quote, at + 2
        elif here == quote:
            return content, at + 1
        else:
            content, at = content + here, at + 1
    raise Broken
