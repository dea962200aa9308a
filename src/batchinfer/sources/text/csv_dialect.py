"""How a CSV file is written, and how one record of it is read field by field.

Owns the rules of quoting. The tokenizer here is the rule itself, record by record; `csv_quoting`
applies the same rule to whole blocks at once, and calls this for the records that are written
unusually. Must not know columns or types.

The rule: a field whose first character is the quote (after spaces and tabs, with `trim`) is quoted;
it ends at the next quote that is neither doubled nor escaped, and after it only the delimiter or
the record's end may come. In any other field a quote is a character like all others. The escape
works inside quoted fields only, before a quote or itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from batchinfer.config.source_options import CsvOptions
from batchinfer.errors import ConfigError

# Bytes that valid UTF-8 never holds stand for characters of quoted fields while the block is split
# at delimiters.
DELIMITER_INSIDE, LF_INSIDE, CR_INSIDE, QUOTE_INSIDE = b"\xff", b"\xfe", b"\xfd", b"\xfc"


class QuoteError(ValueError):
    """A record whose quotes do not fit the rule; `open` if a quoted field is never closed."""

    def __init__(self, message: str, unclosed: bool) -> None:
        super().__init__(message)
        self.unclosed = unclosed


@dataclass(frozen=True)
class CsvDialect:
    """Delimiter, quote and escape as single bytes (empty: none), and what counts as space around a
    field.
    """

    delimiter: bytes
    quote: bytes
    escape: bytes
    trim: bool
    multi_line: bool

    @classmethod
    def of(cls, options: CsvOptions) -> CsvDialect:
        """The dialect of a pipeline file's options.

        Raises:
            ConfigError: a delimiter, quote or escape that is not one ASCII character, or that is
                another one's.
        """
        problems = []
        given = {
            "delimiter": options.delimiter,
            "quote": options.quote,
            "escape": options.escape or "",
        }
        for name, value in given.items():
            if not value.isascii() or value in ("\n", "\r"):
                problems.append(
                    f"source.options.{name}: got {value!r}; allowed: one ASCII character that is "
                    "no line end"
                )
        if options.delimiter in (options.quote, options.escape):
            problems.append(
                f"source.options.delimiter: got {options.delimiter!r}, which is also the quote or "
                "the escape"
            )
        if problems:
            raise ConfigError(problems)
        delimiter, quote, escape = (value.encode() for value in given.values())
        # An escape that is the quote itself says that quotes are doubled, which is the rule anyway.
        return cls(
            delimiter, quote, escape if escape != quote else b"", options.trim, options.multi_line
        )

    @property
    def spaces(self) -> bytes:
        """Characters around a field that `trim` drops, and that make a blank line: never the
        delimiter.
        """
        return b" \t".replace(self.delimiter, b"")

    @cached_property
    def _opening(self) -> re.Pattern[bytes]:
        return re.compile(b"%s%s" % (self._around, re.escape(self.quote)))

    @cached_property
    def _closing(self) -> re.Pattern[bytes]:
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        special = b"%s%s" % (quote, quote) + (b"|%s(?s:.)" % escape if escape else b"")
        plain = b"[^%s%s]*" % (quote, escape)
        return re.compile(
            b"(%s(?:(?:%s)%s)*)%s%s(?=%s|\r?\n|\r?$)"
            % (plain, special, plain, quote, self._around, self._end)
        )

    @cached_property
    def _unclosed(self) -> re.Pattern[bytes]:
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        special = b"%s%s" % (quote, quote) + (b"|%s(?s:.)" % escape if escape else b"")
        plain = b"[^%s%s]*" % (quote, escape)
        return re.compile(b"%s(?:(?:%s)%s)*%s?$" % (plain, special, plain, escape or b"(?!)"))

    @property
    def _around(self) -> bytes:
        return b"[%s]*" % re.escape(self.spaces) if self.trim and self.spaces else b""

    @property
    def _end(self) -> bytes:
        return re.escape(self.delimiter)

    @cached_property
    def _plain(self) -> re.Pattern[bytes]:
        return re.compile(b"[^%s\n]*" % self._end)

    def read_record(self, text: bytes, start: int = 0) -> tuple[list[tuple[bytes, bool]], int]:
        """Fields (content, quoted) of the record at `start`, and the offset of its line feed (or of
        the text's end).

        The carriage return of a line end stays with an unquoted last field.

        Raises:
            QuoteError: a quoted field is never closed, or something other than the delimiter
                follows it.
        """
        feed = text.find(b"\n", start)
        line = text[start : feed if feed >= 0 else len(text)]
        if not self.quote or self.quote not in line:
            return [(field, False) for field in line.split(self.delimiter)], start + len(line)
        fields: list[tuple[bytes, bool]] = []
        position = start
        while True:
            opening = self._opening.match(text, position) if self.quote else None
            if opening is None:
                end = self._plain.match(text, position).end()  # type: ignore[union-attr]
                fields.append((text[position:end], False))
            else:
                content, end = self._read_quoted(text, opening.end(), len(fields) + 1)
                fields.append((content, True))
            if text[end : end + 1] != self.delimiter:
                feed = text.find(b"\n", end)
                return fields, feed if feed >= 0 else len(text)
            position = end + 1

    def _read_quoted(self, text: bytes, position: int, number: int) -> tuple[bytes, int]:
        closing = self._closing.match(text, position)
        if closing is None or (b"\n" in closing[1] and not self.multi_line):
            unclosed = closing is not None or self._unclosed.match(text, position) is not None
            what = (
                "its quote is never closed"
                if unclosed
                else "its closing quote is not followed by the delimiter"
            )
            raise QuoteError(f"field {number}: {what}", unclosed)
        content = (
            closing[1].replace(self.quote * 2, self.quote)
            if not self.escape
            else self._unescaped(closing[1])
        )
        return content, closing.end()

    def _unescaped(self, content: bytes) -> bytes:
        quote, escape = re.escape(self.quote), re.escape(self.escape)
        return re.sub(
            b"%s(%s|%s)|%s(%s)" % (escape, quote, escape, quote, quote),
            lambda match: match[1] or match[2],
            content,
        )

    def protected(self, fields: list[tuple[bytes, bool]]) -> bytes:
        """The record written so that each delimiter byte in it separates fields and each line feed
        ends a record.
        """
        written = []
        for content, quoted in fields:
            content = content.replace(self.quote, QUOTE_INSIDE) if self.quote else content
            if quoted:
                inside = (
                    content.replace(self.delimiter, DELIMITER_INSIDE)
                    .replace(b"\n", LF_INSIDE)
                    .replace(b"\r", CR_INSIDE)
                )
                content = self.quote + inside + self.quote
            written.append(content)
        return self.delimiter.join(written)
