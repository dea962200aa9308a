"""Columns whose values no message, example, page or log shows.

Owns what a value looks like in a text, and which parts of a message repeat a record. Data are never
changed by it: what is landed, published, looked up or kept in quarantine is whole.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any
from urllib.parse import quote

from batchinfer.masking.hidden_words import HIDDEN, HiddenWords, hide_words, hiding

# How each part of a message about values of a record begins.
_COLUMN = re.compile(r"(?:^|; )column (?P<name>\S+?)(?:, at [^:]+)?: ")
_GOT, _ALLOWED = "got ", "; allowed: "
# Behind `got`: a value that is hidden already, or a count.
_TOLD = re.compile(rf"""(['"]){re.escape(HIDDEN)}\1|[\d,]+ fields?\b""")
# What tells something of a value: a letter, a digit, or a sign that ordinary sentences do not have.
_TELLING = re.compile(r"\w|[^\x00-\x7f]")
# Of whole numbers that Python writes in digits: 4,300 of them at most.
_MOST_BITS = 14_000
# Behind the name of a column, which is no value.
_NO_KEY_COLUMN = " is not a key column"
_QUOTED = re.compile(r"""(['"])(?:\\.|(?!\1).)*\1""", re.DOTALL)


@dataclass(frozen=True)
class SensitiveColumns:
    """The sensitive columns of a pipeline.

    Attributes:
        names: of the rows' columns, and of those that are derived from them.
    """

    names: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.names)

    def among(self, columns: Iterable[str]) -> bool:
        """Whether one of the columns is sensitive."""
        return not self.names.isdisjoint(columns)

    def row(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A row, or a key, with `***` for each sensitive value that is not null."""
        return {
            name: HIDDEN if name in self.names and value is not None else value
            for name, value in values.items()
        }

    def json_row(self, text: str) -> str:
        """A JSON object as `row` gives it; `***` alone for text that is none."""
        if not self.names:
            return text
        try:
            values = json.loads(text)
        except ValueError:
            return HIDDEN
        if not isinstance(values, dict):
            return HIDDEN
        return json.dumps(self.row(values), ensure_ascii=False, separators=(",", ":"))

    def words_of(self, rows: Iterable[Mapping[str, Any]]) -> HiddenWords:
        """The sensitive values of some rows, as they stand in texts."""
        if not self.names:
            return HiddenWords()
        return value_words(
            value for row in rows for name, value in row.items() if name in self.names
        )

    def hiding(self, rows: Iterable[Mapping[str, Any]]) -> AbstractContextManager[None]:
        """Within, no error that is made shows a sensitive value of one of the rows."""
        return hiding(self.words_of(rows))

    def of_row(self, message: str, row: Mapping[str, Any]) -> str:
        """What is said of a row, without its sensitive values."""
        if not self.names:
            return message
        told = _without_values(message) if self.among(_columns_told(message)) else message
        return hide_words(told, self.words_of([row]))

    def of_text(self, text: str, about: str | None = None) -> str:
        """A text about data, such as an example of a row, that may name sensitive columns with
        their values: `name=value`, `"name":value`, `column name: got value`, or values in quotes
        beside the column's name.

        Args:
            about: a column that the text is about without naming it.
        """
        if not self.names or (about not in self.names and self._named.search(text) is None):
            return text
        text = self._valued.sub(lambda found: f"{found['name']}{HIDDEN}", text)
        if self._got.search(text):
            return _without_values(text)
        kept = {f"{mark}{name}{mark}" for name in (*self.names, HIDDEN) for mark in "'\""}
        head, allowed = parted_allowed(text)

        def told(one: re.Match[str]) -> str:
            is_kept = one[0] in kept or head.startswith(_NO_KEY_COLUMN, one.end())
            return one[0] if is_kept else f"{one[1]}{HIDDEN}{one[1]}"

        return _QUOTED.sub(told, head) + allowed

    @cached_property
    def _either(self) -> str:
        return "|".join(map(re.escape, sorted(self.names, key=len, reverse=True)))

    @cached_property
    def _named(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{self._either})(?!\w)")

    @cached_property
    def _got(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w)(?:{self._either})(?:, at [^:]+)?: got ")

    @cached_property
    def _valued(self) -> re.Pattern[str]:
        value = r"""(?!["']?\*\*\*)(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\s,;:}\]"']+)"""
        return re.compile(
            rf"""(?P<name>(?<![\w"])(?:{self._either})=|"(?:{self._either})": ?){value}""",
            re.DOTALL,
        )

    def of_record(self, message: str) -> str:
        """What is said of a record that could not be read, without what may be a sensitive value.

        A message about columns that are not sensitive stays. Any other one hides all that it
        repeats: which column that belongs to, nobody knows.
        """
        told = _columns_told(message)
        if not self.names or (told and not self.among(told)):
            return message
        return _without_values(message)


NONE_SENSITIVE = SensitiveColumns()


def value_words(values: Iterable[Any]) -> HiddenWords:
    """Values as they stand in texts: as Python, JSON and addresses write them, in any case."""
    return HiddenWords.of((word for value in values for word in _forms(value)), any_case=True)


def _forms(value: Any) -> Iterator[str]:
    """How texts write a value; nothing for null, and for what has no letter and no digit."""
    if value is None:
        return
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _forms(name)
            yield from _forms(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _forms(one)
    elif isinstance(value, bytes):
        yield value.hex()
        yield from _forms(value.decode(errors="replace"))
    elif isinstance(value, str):
        for text in {value, value.strip()}:
            if _TELLING.search(text):
                yield from (text, repr(text)[1:-1], quote(text, safe="", errors="replace"))
                yield from (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    elif isinstance(value, bool):
        yield from (str(value), repr(value))
    elif isinstance(value, int | float | Decimal):
        yield from _number_forms(value)
    elif isinstance(value, dt.date | dt.time):
        yield from (str(value), repr(value), value.isoformat())
    else:
        yield from (str(value), repr(value))


def _number_forms(value: int | float | Decimal) -> Iterator[str]:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return  # Python writes no such number in digits, so no message has it.
    yield from (str(value), repr(value), f"{value:,}")
    if isinstance(value, float) and math.isfinite(value):
        yield from (f"{value:f}", f"{value:g}", f"{value:.6g}")
        if value.is_integer():
            yield str(int(value))
    elif isinstance(value, int) and abs(value) < 1 << 53:
        yield from (str(float(value)), f"{value:g}")


def _columns_told(message: str) -> list[str]:
    """Columns that a message is about, if it begins with one."""
    found = [column["name"] for column in _COLUMN.finditer(message)]
    return found if message.startswith("column ") else []


def _without_values(message: str) -> str:
    """The message with `***` for all that was got; what is allowed stays."""
    starts = [column.start() for column in _COLUMN.finditer(message)]
    bounds = zip([0, *starts], [*starts, len(message)], strict=True)
    return "".join(_without_value(message[start:end]) for start, end in bounds)


def _without_value(part: str) -> str:
    head, allowed = parted_allowed(part)
    head = _QUOTED.sub(rf"\1{HIDDEN}\1", head)
    before, got, value = head.partition(_GOT)
    if got and not _TOLD.match(value):
        head = f"{before}{_GOT}{HIDDEN}"
    return head + allowed


def parted_allowed(text: str) -> tuple[str, str]:
    """A sentence before the words that say what is allowed, and these; they are no value."""
    head, mark, tail = text.rpartition(_ALLOWED)
    return (head, mark + tail) if mark else (text, "")
