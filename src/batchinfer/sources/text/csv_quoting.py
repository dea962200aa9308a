"""Quoted fields of whole blocks: marks what a quote protects, so that a block can be split at
delimiters alone.

Owns the fast road through quotes: the parity of quotes over a block, with NumPy. A block without
the quote character never comes here. Records whose quotes are written unusually (a quote inside an
unquoted field, an escape, a missing closing quote) go through `CsvDialect.read_record`, one by one.
Must not know columns or types.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from batchinfer.sources.parsed import Where
from batchinfer.sources.text.csv_dialect import (
    CR_INSIDE,
    DELIMITER_INSIDE,
    LF_INSIDE,
    CsvDialect,
    QuoteError,
)
from batchinfer.sources.text.line_blocks import LF, Records

CR = 13
# More spaces than this between a quote and its delimiter: the tokenizer reads such a record.
_MAX_SPACES = 16


def protect_lines(records: Records, dialect: CsvDialect) -> None:
    """Protects the quoted fields of records that are lines; takes out those whose quotes break the
    rule.
    """
    text = records.text
    array = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(array == LF)
    unusual = _unusual_lines(array, ends, dialect)
    if dialect.escape and dialect.escape in text:
        escapes = np.flatnonzero(array == dialect.escape[0])
        quotes = np.flatnonzero(array == dialect.quote[0])
        unusual |= _counts(escapes, ends) * _counts(quotes, ends) > 0
    gone = np.zeros(len(records), bool)
    if unusual.any():
        lines = text.split(b"\n")
        for index in np.flatnonzero(unusual):
            try:
                lines[index] = dialect.protected(dialect.read_record(lines[index])[0])
            except QuoteError as error:
                gone[index] = True
                lines[index] = b""
                records.reject(int(index), "quote", str(error))
        text = b"\n".join(lines)
    records.text = _protected(text, dialect)
    if gone.any():
        records.drop(gone)


def _counts(positions: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How many of the sorted positions each line holds: int (lines,)."""
    return np.diff(np.searchsorted(positions, ends), prepend=0)


def _unusual_lines(array: np.ndarray, ends: np.ndarray, dialect: CsvDialect) -> np.ndarray:
    quotes = np.flatnonzero(array == dialect.quote[0])
    counts = _counts(quotes, ends)
    unusual = counts % 2 == 1
    # Parity within the line: an odd line must not turn those behind it round.
    closes = np.arange(len(quotes)) % 2 == 1
    if unusual.any():
        before = np.concatenate([[0], np.cumsum(counts)[:-1]])
        closes ^= np.repeat(before % 2 == 1, counts)
    unusual[np.searchsorted(ends, quotes[_misplaced(array, quotes, closes, dialect)])] = True
    return unusual


def _misplaced(
    array: np.ndarray, quotes: np.ndarray, closes: np.ndarray, dialect: CsvDialect
) -> np.ndarray:
    """Numbers of the quotes that stand where a regular file has none, in order.

    An opening quote follows a delimiter or a line end, a closing one precedes them; either may
    touch its neighbour in a doubled quote.
    """
    edge = np.array([LF], np.uint8)
    padded = np.concatenate([edge, array, edge])
    ending = np.zeros(256, bool)
    ending[[dialect.delimiter[0], LF, dialect.quote[0]]] = True
    # Nearly all quotes touch a delimiter, a line end or a quote; only the others are looked at more
    # closely.
    suspects = np.flatnonzero(~np.where(closes, ending[padded[quotes + 2]], ending[padded[quotes]]))
    ending[dialect.quote[0]] = False
    step = np.where(closes[suspects], 1, -1)
    place = quotes[suspects] + 1 + step
    spaces = np.frombuffer(dialect.spaces if dialect.trim else b"", np.uint8)
    for _ in range(_MAX_SPACES):
        space = np.isin(padded[place], spaces)
        if not space.any():
            break
        place = np.where(space, place + step, place)
    line_end = (padded[place] == CR) & (padded[np.minimum(place + 1, len(padded) - 1)] == LF)
    return suspects[~(ending[padded[place]] | (closes[suspects] & line_end))]


def _protected(text: bytes, dialect: CsvDialect) -> bytes:
    array = np.frombuffer(text, np.uint8).copy()
    inside = np.bitwise_xor.accumulate((array == dialect.quote[0]).view(np.uint8)).view(bool)
    for byte, mark in ((dialect.delimiter[0], DELIMITER_INSIDE), (LF, LF_INSIDE), (CR, CR_INSIDE)):
        array[inside & (array == byte)] = mark[0]
    return array.tobytes()


@dataclass
class Cut:
    """Records of a buffer: offsets of their starts and line feeds, their text with quoted fields
    protected, the bad ones.
    """

    starts: list[int]
    ends: list[int]
    texts: list[bytes]
    bad: list[tuple[int, str]]


@dataclass(frozen=True)
class Buffer:
    """Bytes that start at a record.

    Attributes:
        line: physical line at which they start.
        final: they end where the file ends, so that an open quote will never be closed.
        give_up: they are longer than a record may be, so that the first record is taken as never
            closed.
    """

    data: bytes
    line: int
    final: bool
    give_up: bool


def cut_records(
    buffer: Buffer, dialect: CsvDialect, where: Where, encoding: str
) -> tuple[Records, int]:
    """The whole records at the start of a buffer, quoted line feeds included, and how many bytes
    they take.

    A record whose quotes break the rule costs the physical line that it starts on; reading goes on
    behind that line.
    """
    text = buffer.data if not buffer.final or buffer.data.endswith(b"\n") else buffer.data + b"\n"
    array = np.frombuffer(text, np.uint8)
    feeds = np.flatnonzero(array == LF)
    regular, regular_end = _regular_records(text, array, feeds, dialect)
    cut = _read_rest(text, regular_end, dialect, buffer)
    starts = (
        np.concatenate([[0], regular[:-1] + 1, cut.starts])
        if len(regular)
        else np.array(cut.starts, np.int64)
    )
    ends = np.concatenate([regular, cut.ends])
    starts, ends = starts.astype(np.int64), ends.astype(np.int64)
    body = _protected(text[:regular_end], dialect) + b"".join(each + b"\n" for each in cut.texts)
    lines = buffer.line + np.searchsorted(feeds, starts)
    used = int(ends[-1]) + 1 if len(ends) else 0
    records = Records([where], text[:used], starts, ends, lines, body, encoding)
    if cut.bad:
        gone = np.zeros(len(records), bool)
        for index, message in cut.bad:
            gone[len(regular) + index] = True
            records.reject(len(regular) + index, "quote", message)
        records.drop(gone)
    return records, used


def _regular_records(
    text: bytes, array: np.ndarray, feeds: np.ndarray, dialect: CsvDialect
) -> tuple[np.ndarray, int]:
    """Line feeds that end the regular records at the start of the text, and the offset behind the
    last of them.
    """
    none = np.empty(0, np.int64)
    if dialect.escape and dialect.escape in text:
        return none, 0
    quotes = np.flatnonzero(array == dialect.quote[0]) if dialect.quote else none
    ends = feeds[np.searchsorted(quotes, feeds) % 2 == 0]
    wrong = (
        _misplaced(array, quotes, np.arange(len(quotes)) % 2 == 1, dialect) if len(quotes) else none
    )
    if len(wrong):
        ends = ends[: np.searchsorted(ends, quotes[wrong[0]])]
    return ends, int(ends[-1]) + 1 if len(ends) else 0


def _read_rest(text: bytes, position: int, dialect: CsvDialect, buffer: Buffer) -> Cut:
    cut = Cut([], [], [], [])
    while position < len(text):
        try:
            fields, end = dialect.read_record(text, position)
            written = dialect.protected(fields)
        except QuoteError as error:
            if error.unclosed and not buffer.final and not (buffer.give_up and position == 0):
                break
            end, written = text.find(b"\n", position), b""
            if end >= 0:
                cut.bad.append((len(cut.starts), str(error)))
        if end < 0 or end >= len(text):
            break
        cut.starts.append(position)
        cut.ends.append(end)
        cut.texts.append(written)
        position = end + 1
    return cut
