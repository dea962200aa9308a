"""Reads the first records of CSV files and finds the types of their columns.

The records are read by the parser that lands them, so that what is said here of a record is what
becomes of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.config.schema import schema_fields
from batchinfer.config.sources import CsvSource
from batchinfer.contracts import SOURCE_FILE, SOURCE_LINE, BadRecord
from batchinfer.errors import InputError
from batchinfer.sources.listing import SourceFile
from batchinfer.sources.text.byte_ranges import plan_text_splits
from batchinfer.sources.text.columns import TextRule, convert
from batchinfer.sources.text.timestamps import TimestampRule
from batchinfer.starting.csv_dialects import read_writing
from batchinfer.starting.found_data import FoundData
from batchinfer.starting.null_words import find_null_words
from batchinfer.starting.read_blocks import read_blocks
from batchinfer.starting.sample import (
    DataSample,
    FoundOption,
    SampledColumn,
    told,
)
from batchinfer.starting.storable_names import storable_names
from batchinfer.starting.text_types import Judged, arrow_type_of, judge_text, times_in
from batchinfer.starting.written_amounts import may_have_thousands, needs_decimal

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_WHOLE_FILE = 2**62
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
# The comma may as well stand between thousands.
_THOUSANDS = r"^\s*[+-]?(?:[0-9]{1,3}|[1-9][0-9]{0,2}(?:,[0-9]{3})+)\s*$"


@dataclass(frozen=True)
class _Texts:
    """The records read: columns of text, `source_file` and `source_line`; the bad ones."""

    rows: pa.Table
    bad: Sequence[BadRecord]
    is_whole: bool
    several: bool

    def column(self, name: str) -> pa.Array:
        return self.rows.column(name).combine_chunks()

    def place(self, row: int) -> str:
        file, line = (self.rows.column(name)[row].as_py() for name in (SOURCE_FILE, SOURCE_LINE))
        return f"line {line} of {file}" if self.several else f"line {line}"


def sample_csv(found: FoundData) -> DataSample:
    """Reads the first records of CSV files, and finds how they are written and typed.

    Runs on: driver.

    Raises:
        InputError: no text, no record, headers that differ, a damaged file.
    """
    writing = read_writing(found.head, found.is_cut, found.files[0].path)
    names = storable_names(writing.names)
    given = {
        name: old if writing.header and old != name else None
        for name, old in zip(names, writing.names, strict=True)
    }
    options = list(writing.options)
    texts = _read_texts(found.files, given, options, ())
    if not texts.rows.num_rows:
        bad = f": {texts.bad[0].message}" if texts.bad else ""
        raise InputError(f"{found.path}: got no record behind the header{bad}")
    columns = {name: texts.column(name) for name in names}
    words = find_null_words(columns)
    options += [words] if words else []
    nulls = words.value if words and isinstance(words.value, tuple) else ("",)
    texts = _read_texts(found.files, given, options, nulls)
    columns = {name: texts.column(name) for name in names}
    decimal = _find_decimal(columns, texts.place)
    options += [decimal] if decimal else []
    rule = TextRule(str(decimal.value) if decimal else ".")
    judged = {name: judge_text(text, texts.place, rule.decimal) for name, text in columns.items()}
    is_semicolon = any(one.name == "delimiter" and one.value == ";" for one in options)
    commas = rule.decimal == "," or _speak_for_commas(columns, judged, is_semicolon)
    judged, doubts = _find_thousands(columns, judged, commas, texts.place)
    judged, times = _find_times(columns, judged)
    options += [times] if times else []
    if times:
        rule = TextRule(rule.decimal, TimestampRule(str(times.value)))
    sampled = [
        SampledColumn(
            name,
            judged[name].type,
            _typed(columns[name], judged[name].type, rule),
            given[name],
            judged[name].reasons,
        )
        for name in names
    ]
    first = texts.rows.slice(0, 1).to_pylist()[0]
    return DataSample(
        "csv",
        found.path,
        texts.rows.num_rows + len(texts.bad),
        texts.is_whole,
        sampled,
        options,
        [*_header_note(writing.header, writing.header_reason), *_bad_notes(texts), *doubts],
        (first[SOURCE_FILE], first[SOURCE_LINE]),
        bad=len(texts.bad),
        commas=commas,
    )


def _read_texts(
    files: Sequence[SourceFile],
    given: Mapping[str, str | None],
    options: Sequence[FoundOption],
    null_values: Sequence[str],
) -> _Texts:
    told_options = {one.name: one.value for one in options if one.name != "null_values"}
    source = CsvSource.model_validate(
        {
            "kind": "csv",
            "path": "data",
            "options": {**told_options, "null_values": list(null_values)},
            "schema": {
                name: "string" if old is None else {"type": "string", "column": old}
                for name, old in given.items()
            },
        }
    )
    fields = schema_fields(source)
    assert fields is not None
    splits = plan_text_splits(files, source, _WHOLE_FILE)
    rows, bad, is_whole = read_blocks(splits, source, fields)
    return _Texts(rows, bad, is_whole, len(files) > 1)


def _typed(text: pa.Array, type_: str, rule: TextRule) -> pa.Array:
    if type_ != "string":
        text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    values, _ = convert(text, arrow_type_of(type_), rule)
    return values


def _find_decimal(
    columns: Mapping[str, pa.Array], place: Callable[[int], str]
) -> FoundOption | None:
    """A comma before decimals: where it makes numbers of text, and no column has points before
    decimals. In a column of which each comma has three digits behind it, it stands between
    thousands.
    """
    gained: list[str] = []
    for name, text in columns.items():
        plain = judge_text(text, place)
        if plain.type == "double":
            if may_have_thousands(text):
                continue
            return None
        if plain.type != "string" or pc.all(pc.match_substring_regex(text, _THOUSANDS)).as_py():
            continue
        if judge_text(text, place, ",").type == "double":
            gained.append(name)
    if not gained:
        return None
    text = columns[gained[0]]
    row = next(
        n for n, value in enumerate(text.to_pylist()) if value and _DECIMAL_COMMA.search(value)
    )
    value = told(text[row].as_py())
    return FoundOption("decimal", ",", f"{place(row)} holds {value} in {gained[0]}")


def _speak_for_commas(
    columns: Mapping[str, pa.Array], judged: Mapping[str, Judged], is_semicolon: bool
) -> bool:
    """Whether decimals have commas: nothing has a point before them, and a column can be read so
    alone, or semicolons leave the comma free for it.
    """
    for name, text in columns.items():
        is_plain = judged[name].type == "double" and not may_have_thousands(text)
        if is_plain or needs_decimal(text, "."):
            return False
    return is_semicolon or any(needs_decimal(text, ",") for text in columns.values())


def _find_thousands(
    columns: Mapping[str, pa.Array],
    judged: Mapping[str, Judged],
    commas: bool,
    place: Callable[[int], str],
) -> tuple[dict[str, Judged], list[str]]:
    """Types with those of numbers that have points between thousands, which are text because as
    numbers they would be others; and what is to be said of them.
    """
    result, notes = dict(judged), list[str]()
    sure = any(
        one.type == "double" and not may_have_thousands(columns[name])
        for name, one in judged.items()
    )
    for name, text in columns.items():
        if judged[name].type not in ("double", "string") or not may_have_thousands(text):
            continue
        row = pc.index(pc.match_substring(text, ".").fill_null(False), True).as_py()
        value = text[row].as_py()
        held = f"{place(row)} holds {told(value)}"
        if commas:
            whole = value.replace(".", "").strip()
            result[name] = Judged(
                "string", (f"string: points stand between its thousands: {held}",)
            )
            notes.append(
                f"Column {name} is taken for numbers with points between thousands, so that "
                f"{told(value)} is {whole}; if points stand before decimals there, it is a double"
            )
        elif judged[name].type == "double" and not sure:
            said = f"{held}, whose point is taken for that before decimals"
            result[name] = Judged("double", (f"double: {said}",))
            notes.append(
                f"Column {name} is a double: {said}; if it stands between thousands, make it a "
                "string, and take the points out by replace and cast"
            )
    return result, notes


def _find_times(
    columns: Mapping[str, pa.Array], judged: Mapping[str, Judged]
) -> tuple[dict[str, Judged], FoundOption | None]:
    """Types with those of times that are not written as ISO 8601; one format for all columns."""
    fitting = {
        name: formats
        for name, text in columns.items()
        if judged[name].type == "string" and (formats := times_in(text))
    }
    result = dict(judged)
    for name, formats in fitting.items():
        if len(formats) > 1:
            why = f"string: its times fit {' and '.join(formats)}, and nothing tells which it is"
            result[name] = Judged("string", (why,))
    sure = Counter(formats[0] for formats in fitting.values() if len(formats) == 1)
    iso = [name for name, one in judged.items() if one.type in ("date", "timestamp")]
    if not sure:
        return result, None
    best, count = sure.most_common(1)[0]
    if iso and len(iso) >= count:
        for name, formats in fitting.items():
            why = f"string: its times are written {formats[0]}, those of {iso[0]} as ISO 8601"
            result[name] = Judged("string", (why,))
        return result, None
    for name in iso:
        why = f"string: its times are ISO 8601, those of other columns are written {best}"
        result[name] = Judged("string", (why,))
    for name, formats in fitting.items():
        if formats == [best]:
            result[name] = Judged("timestamp" if "%H" in best else "date")
        elif len(formats) == 1:
            why = f"string: its times are written {formats[0]}, those of other columns {best}"
            result[name] = Judged("string", (why,))
    named = next(name for name, formats in fitting.items() if formats == [best])
    return result, FoundOption("timestamp_format", best, f"all values of {named} are written so")


def _header_note(header: bool, reason: str) -> list[str]:
    return [f"The first record is the header: {reason}."] if header else []


def _bad_notes(texts: _Texts) -> list[str]:
    """What is to be said of records that will be put into quarantine."""
    notes: list[str] = []
    for reason, count in Counter(one.reason for one in texts.bad).items():
        one = next(bad for bad in texts.bad if bad.reason == reason)
        where = f"line {one.source_line}"
        where += f" of {one.source_file}" if texts.several else ""
        notes.append(
            f"{count:,} of {texts.rows.num_rows + len(texts.bad):,} records go to quarantine, "
            f"reason {reason}; the first is {where}: {one.message}"
        )
    return notes
