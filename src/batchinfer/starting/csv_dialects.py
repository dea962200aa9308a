"""How a CSV file is written: its encoding, delimiter, quotes and header, told from its first bytes.

Owns these guesses and their reasons. Records are read by the sources' own rule
(`sources/text/csv_dialect.py`). Must not know types.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from batchinfer.errors import InputError
from batchinfer.sources.text.csv_dialect import CsvDialect, QuoteError
from batchinfer.starting.null_words import NULL_WORDS
from batchinfer.starting.sample import FoundOption, told

# In the order in which they are preferred: a comma also stands in decimals and in text.
_DELIMITERS = (b"\t", b";", b"|", b",")
_NAMES = {b"\t": "a tab", b";": "a semicolon", b"|": "a bar", b",": "a comma"}
_MOST_LOOKED_AT = 1000
_SAME_WIDTH = 0.8
# Lines that may stand above a header, such as a title.
_MOST_ABOVE = 20
_VALUE = re.compile(
    r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?"
    r"|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?:[ T].*)?"
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")

Field = tuple[bytes, bool]


@dataclass(frozen=True)
class CsvWriting:
    """How the file is written.

    Attributes:
        options: that are not the defaults, each with its reason.
        names: of the columns, from the header, or c1, c2 …
        header: whether the names stand in the file, and why.
    """

    options: tuple[FoundOption, ...]
    names: tuple[str, ...]
    header: bool
    header_reason: str


@dataclass(frozen=True)
class _Read:
    """The head as one dialect reads it: records with their fields, and how many cannot be read.

    Attributes:
        ends_broken: the last record is one of those.
    """

    dialect: CsvDialect
    records: list[list[Field]]
    broken: int
    ends_broken: bool

    @property
    def width(self) -> int:
        counts = Counter(len(record) for record in self.records)
        return counts.most_common(1)[0][0] if counts else 0

    @property
    def alike(self) -> float:
        """The share of the records that have as many fields as most."""
        total = len(self.records) + self.broken
        return sum(len(one) == self.width for one in self.records) / total if total else 0.0

    @property
    def quoted(self) -> int:
        return sum(quoted for record in self.records for _, quoted in record)

    @property
    def breaks(self) -> bool:
        return any(quoted and b"\n" in text for record in self.records for text, quoted in record)


def read_writing(head: bytes, is_cut: bool, path: str) -> CsvWriting:
    """Tells how a file is written from its first bytes.

    Args:
        head: in the file's encoding, decompressed.
        is_cut: whether the file goes on behind them.

    Runs on: driver.

    Raises:
        InputError: no text, no record, or a header that names a column twice.
    """
    encoding = find_encoding(head)
    try:
        text = head.decode(str(encoding.value) if encoding else "utf-8-sig", "replace")
    except UnicodeError as error:
        raise InputError(f"{path}: it is no text in any encoding that was tried") from error
    if "\0" in text[:4096]:
        raise InputError(f"{path}: it is no text; allowed: CSV, JSON lines, Parquet, a Delta table")
    plain = text.encode()
    if is_cut:
        plain = plain[: plain.rfind(b"\n") + 1] or plain
    best = _delimited(plain)
    best, options = _quoting(plain, best, is_cut)
    if best.width > 1 and best.dialect.delimiter != b",":
        options.insert(0, _delimiter_option(best))
    _check_first(best, plain, path)
    rows = [
        [content.decode("utf-8", "replace").strip(" \t\r") for content, _ in record]
        for record in best.records
    ]
    if not rows:
        raise InputError(f"{path}: got no record that can be read")
    header, reason = _has_header(rows)
    if header:
        _check_header(rows[0], path)
    else:
        options.append(FoundOption("header", False, reason))
    names = tuple(rows[0]) if header else tuple(f"c{n + 1}" for n in range(best.width))
    options += [encoding] if encoding else []
    return CsvWriting(tuple(options), names, header, reason)


def find_encoding(head: bytes) -> FoundOption | None:
    """The encoding, where it is not UTF-8."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return FoundOption("encoding", "utf-16", "the file begins with the mark of UTF-16")
    valid = invalid = first = 0
    for number, line in enumerate(head.split(b"\n")[:-1] or [head], 1):
        if line.isascii():
            continue
        try:
            _ = line.decode("utf-8")
            valid += 1
        except UnicodeDecodeError:
            first = first or number
            invalid += 1
    if not invalid or valid > invalid:
        return None
    try:
        _ = head.decode("cp1252")
        name = "cp1252"
    except UnicodeDecodeError:
        name = "latin-1"
    return FoundOption(
        "encoding", name, f"line {first} has bytes that are no UTF-8; {name} is a guess"
    )


def _read(text: bytes, dialect: CsvDialect) -> _Read:
    records: list[list[Field]] = []
    broken, position, ends_broken = 0, 0, False
    while position < len(text) and len(records) + broken < _MOST_LOOKED_AT:
        feed = text.find(b"\n", position)
        line_end = feed if feed >= 0 else len(text)
        if not text[position:line_end].strip(dialect.spaces + b"\r"):
            position = line_end + 1
            continue
        try:
            fields, end = dialect.read_record(text, position)
            records.append(fields)
            ends_broken = False
        except QuoteError:
            broken, end, ends_broken = broken + 1, line_end, True
        position = end + 1
    return _Read(dialect, records, broken, ends_broken)


def _delimited(text: bytes) -> _Read:
    """The head by the delimiter that gives most records the same number of fields."""
    found = [_read(text, CsvDialect(one, b'"', b"", True, True)) for one in _DELIMITERS]
    several = [one for one in found if one.width > 1 and one.alike >= _SAME_WIDTH]
    if several:
        return max(several, key=lambda one: round(one.alike, 2))
    # Quotes that break the rule hide the fields; else it is one column.
    bare = [_read(text, CsvDialect(one, b"", b"", True, False)) for one in _DELIMITERS]
    several = [one for one in bare if one.width > 1 and one.alike >= _SAME_WIDTH]
    best = max(several, key=lambda one: round(one.alike, 2)) if several else bare[-1]
    return _read(text, CsvDialect(best.dialect.delimiter, b'"', b"", True, True))


def _quoting(text: bytes, double: _Read, is_cut: bool) -> tuple[_Read, list[FoundOption]]:
    delimiter = double.dialect.delimiter
    if not double.quoted:
        single = _read(text, CsvDialect(delimiter, b"'", b"", True, True))
        if single.quoted > 1 and not single.broken and single.alike >= double.alike:
            count = f"{single.quoted:,} fields of the first {len(single.records):,} records"
            return _lines(text, single, [FoundOption("quote", "'", f"{count} stand in it")])
        # A quote that is open where the file ends is one that was cut off.
        if double.broken > (double.ends_broken and not is_cut):
            bare = _read(text, CsvDialect(delimiter, b"", b"", True, False))
            reason = "fields begin with a double quote and never close it: it quotes nothing"
            return bare, [FoundOption("quote", "", reason)]
    if double.broken:
        escaped = _read(text, CsvDialect(delimiter, b'"', b"\\", True, True))
        if escaped.broken < double.broken:
            reason = "quotes inside of quoted fields have a backslash before them"
            return _lines(text, escaped, [FoundOption("escape", "\\", reason)])
    return _lines(text, double, [])


def _lines(
    text: bytes, found: _Read, options: list[FoundOption]
) -> tuple[_Read, list[FoundOption]]:
    """Records of several lines, where quoted fields hold line ends and all of them close."""
    own = found.dialect
    flat = _read(text, CsvDialect(own.delimiter, own.quote, own.escape, True, False))
    if found.breaks and found.broken < flat.broken:
        reason = "quoted fields hold line ends"
        return found, [*options, FoundOption("multi_line", True, reason)]
    return flat, options


def _delimiter_option(best: _Read) -> FoundOption:
    same = sum(len(one) == best.width for one in best.records)
    return FoundOption(
        "delimiter",
        best.dialect.delimiter.decode(),
        f"{_NAMES[best.dialect.delimiter]} gives {same:,} of the first "
        f"{len(best.records) + best.broken:,} records {best.width} fields each",
    )


def _has_header(rows: Sequence[Sequence[str]]) -> tuple[bool, str]:
    first, rest = rows[0], rows[1:]
    columns = [[row[n] for row in rest if n < len(row)] for n in range(len(first))]
    plain = [[v for v in column if v and v not in NULL_WORDS] for column in columns]
    for name, values in zip(first, plain, strict=True):
        is_value = not name or _VALUE.fullmatch(name) or name in NULL_WORDS
        if values and not is_value and all(_NUMBER.fullmatch(value) for value in values):
            return True, f"{told(name)} stands above numbers"
    for name in first:
        if name in NULL_WORDS or _VALUE.fullmatch(name):
            return False, f"the first record holds {told(name)}, as a value would"
    again = [n for n, column in zip(first, columns, strict=True) if n and n in column]
    if again and rest:
        return False, f"{told(again[0])} of the first record stands in later ones, too"
    return True, "no word of the first record stands in its column again"


def _check_first(best: _Read, text: bytes, path: str) -> None:
    """The first record is one of those that have as many fields as most: else it is no header, but
    a title or a remark.
    """
    if best.width < 2 or len(best.records[0]) == best.width:
        return
    place = next(n for n, one in enumerate(best.records) if len(one) == best.width)
    if best.alike < _SAME_WIDTH or place > _MOST_ABOVE:
        return
    lines = [line for line in text.split(b"\n") if line.strip()]
    number = text.split(b"\n").index(lines[place]) + 1
    raise InputError(
        f"{path}:1: got {len(best.records[0])} field{'s' * (len(best.records[0]) > 1)}, and most "
        f"of the first {len(best.records):,} records have {best.width}; allowed: a header, or "
        "records, from the first line on",
        f"take out what stands above line {number}, such as by: tail -n +{number}",
    )


def _check_header(names: Sequence[str], path: str) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(
            f"{path}: the header names {', '.join(told(name) for name in twice)} twice; allowed: "
            "each column once, because columns are found by their names",
            "give each column of the first line a name of its own",
        )
