"""Functions of text: `concat`, `substring`, `length`, `lower`, `upper`, `trim`, `like`, `rlike`,
`regexp_replace`.

Owns what each does to a text. Which patterns there are is decided in `java_patterns.py`.
Source: Spark 4.1, `stringExpressions.scala`, `regexpExpressions.scala`, `UTF8String.java`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from batchinfer.transforms.expressions import sql_types as sql
from batchinfer.transforms.expressions.bound import (
    Bound,
    Computed,
    RowsRead,
    called,
    first_errors,
    merged_errors,
    told_part,
    told_rows,
    true_rows,
    without_rows,
)
from batchinfer.transforms.expressions.java_patterns import (
    PatternRefused,
    read_like,
    read_pattern,
    read_replacement,
)
from batchinfer.transforms.expressions.syntax import told_at
from batchinfer.transforms.expressions.widening import widened

_MOST = 2**31 - 1
_NEW_LETTERS = pc.MatchSubstringOptions(
    r"[\x{19B}\x{264}\x{1C89}\x{1C8A}\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC}"
    r"\x{10D50}-\x{10D65}\x{10D70}-\x{10D85}\x{1DF25}-\x{1DF2A}]"
)
"""Letters whose upper or lower case came into Unicode after Python's tables; Spark knows it."""
_UNKNOWN = "a letter whose upper and lower case is newer than this Python's Unicode"


def _text(name: str, part: Bound) -> Bound:
    if part.type not in (sql.STRING, sql.NULL):
        raise told_at(
            part.at,
            f"got a {sql.told_type(part.type)} for {name}; allowed: a string, such as "
            "cast(… as string)",
        )
    return widened(part, sql.STRING)


def _of_text(
    at: int, part: Bound, type_: pa.DataType, compute: Callable[[pa.Array], pa.Array]
) -> Bound:
    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        return Computed(compute(found.array(rows.count)), found.errors)

    return Bound(at, type_, run)


def bind_concat(at: int, parts: Sequence[Bound]) -> Bound:
    """`concat(a, b)` and `a || b`: null if one is null."""
    texts = [_text("concat", part) for part in parts]

    def run(rows: RowsRead) -> Computed:
        found = [text.compute(rows) for text in texts]
        errors = first_errors(found)
        arrays = [value.array(rows.count) for value in found]
        options = pc.JoinOptions(null_handling="emit_null")
        separator = pa.scalar("", sql.STRING)
        made = called("binary_join_element_wise", *arrays, separator, options=options)
        return Computed(without_rows(made, errors), errors)

    return Bound(at, sql.STRING, run)


def bind_length(at: int, parts: Sequence[Bound]) -> Bound:
    """`length(x)`: characters of a string, bytes of a binary."""
    if parts[0].type == sql.BINARY:
        return _of_text(at, parts[0], sql.INT, lambda array: called("binary_length", array))
    part = _text("length", parts[0])
    return _of_text(at, part, sql.INT, lambda array: called("utf8_length", array))


def bind_trim(name: str, at: int, parts: Sequence[Bound]) -> Bound:
    """`trim`, `ltrim`, `rtrim`: spaces, and nothing else."""
    options = pc.TrimOptions(characters=" ")
    function = {"trim": "utf8_trim", "ltrim": "utf8_ltrim", "rtrim": "utf8_rtrim"}[name]
    part = _text(name, parts[0])
    return _of_text(at, part, sql.STRING, lambda array: called(function, array, options=options))


def bind_letters(upper: bool, at: int, parts: Sequence[Bound]) -> Bound:
    """`lower` and `upper` by Unicode's full rules: ß becomes SS, the last Σ of a word ς."""
    part = _text("upper" if upper else "lower", parts[0])
    ascii_function = "ascii_upper" if upper else "ascii_lower"

    def turned(text: str) -> str:
        return text.upper() if upper else text.lower()

    def run(rows: RowsRead) -> Computed:
        found = part.compute(rows)
        array = found.array(rows.count)
        if called("string_is_ascii", array).false_count == 0:
            return Computed(called(ascii_function, array), found.errors)
        unknown = true_rows(
            called("match_substring_regex", array, options=_NEW_LETTERS), rows.count
        )
        errors = {**told_rows(unknown, f"character {at + 1}: {_UNKNOWN}"), **found.errors}
        return Computed(without_rows(each_text_once(array, turned), errors), errors)

    return Bound(at, sql.STRING, run)


def each_text_once(array: pa.Array, turn: Callable[[str], str]) -> pa.Array:
    """Each distinct text turned once."""
    coded = array.dictionary_encode()
    turned = pa.array([turn(text) for text in coded.dictionary.to_pylist()], sql.STRING)
    return turned.take(coded.indices)


def bind_substring(at: int, parts: Sequence[Bound]) -> Bound:
    """`substring(text, position[, length])` in characters: 1 is the first, -1 the last.

    Raises:
        ExpressionError: position or length are no int.
    """
    text = _text("substring", parts[0])
    for part in parts[1:]:
        if part.type not in (sql.TINYINT, sql.SMALLINT, sql.INT, sql.NULL):
            raise told_at(
                part.at, f"got a {sql.told_type(part.type)} for substring; allowed: an int"
            )
    numbers = [part.literal for part in parts[1:] if part.is_literal]
    if len(numbers) == len(parts) - 1 and None not in numbers:
        return _fixed_substring(at, text, *numbers)

    def run(rows: RowsRead) -> Computed:
        found = [part.compute(rows) for part in (text, *parts[1:])]
        columns = [value.array(rows.count).to_pylist() for value in found]
        made = [
            None if None in values else _substring(*values) for values in zip(*columns, strict=True)
        ]
        return Computed(pa.array(made, sql.STRING), merged_errors(found, rows.count))

    return Bound(at, sql.STRING, run)


def _bounds(position: int, length: int) -> tuple[int, int | None]:
    """Where a slice begins and ends; those below zero are counted from the end."""
    start = position - 1 if position > 0 else position
    if length <= 0:
        return 0, 0
    stop = start + length
    return (start, None) if start < 0 <= stop else (start, min(stop, _MOST))


def _substring(text: str, position: int, length: int = _MOST) -> str:
    start, stop = _bounds(position, length)
    return text[start:stop]


def _fixed_substring(at: int, text: Bound, position: int, length: int = _MOST) -> Bound:
    start, stop = _bounds(position, length)
    if stop == 0:
        empty = pc.SliceOptions(0, 0)
        return _of_text(
            at, text, sql.STRING, lambda array: called("utf8_slice_codeunits", array, options=empty)
        )
    options = pc.SliceOptions(start) if stop is None else pc.SliceOptions(start, stop)
    return _of_text(
        at, text, sql.STRING, lambda array: called("utf8_slice_codeunits", array, options=options)
    )


def _pattern_text(name: str, part: Bound) -> str:
    if part.type != sql.STRING or part.literal is None:
        raise told_at(
            part.at,
            f"got {told_part(part)} for {name}; allowed: a pattern that stands here as 'text'",
        )
    return part.literal


def bind_like(at: int, parts: Sequence[Bound]) -> Bound:
    """`text like 'pattern'`: the whole text."""
    text = _text("like", parts[0])
    try:
        re2 = read_like(_pattern_text("like", parts[1]))
    except PatternRefused as error:
        raise told_at(parts[1].at, f"got the pattern of like with {error}") from error
    return _matching(at, text, re2)


def bind_rlike(at: int, parts: Sequence[Bound]) -> Bound:
    """`text rlike 'pattern'`, `regexp_like(text, 'pattern')`: any part of the text."""
    text = _text("rlike", parts[0])
    try:
        re2 = read_pattern(_pattern_text("rlike", parts[1])).re2
    except PatternRefused as error:
        raise told_at(parts[1].at, f"got the pattern with {error}") from error
    return _matching(at, text, re2)


def _matching(at: int, text: Bound, re2: str) -> Bound:
    options = pc.MatchSubstringOptions(re2)
    return _of_text(
        at,
        text,
        sql.BOOLEAN,
        lambda array: called("match_substring_regex", array, options=options),
    )


def bind_regexp_replace(at: int, parts: Sequence[Bound]) -> Bound:
    """`regexp_replace(text, 'pattern', 'replacement')`: every match; `$1` is its first group."""
    text = _text("regexp_replace", parts[0])
    try:
        pattern = read_pattern(_pattern_text("regexp_replace", parts[1]))
        if pattern.may_be_empty:
            raise PatternRefused("a match that may be empty; write + in place of *")
        replacement = read_replacement(_pattern_text("regexp_replace", parts[2]), pattern.groups)
    except PatternRefused as error:
        raise told_at(parts[1].at, f"got the pattern with {error}") from error
    options = pc.ReplaceSubstringOptions(pattern=pattern.re2, replacement=replacement)
    return _of_text(
        at,
        text,
        sql.STRING,
        lambda array: called("replace_substring_regex", array, options=options),
    )
