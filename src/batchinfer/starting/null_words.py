"""Words that stand for a missing value in text.

Owns which words are looked for and where they count: in a column of numbers or times any of them,
in a column of text only those that are hardly ever values.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyarrow import compute

from batchinfer.starting.sample import FoundOption, told
from batchinfer.starting.text_types import judge_text, times_in

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

# Hardly ever a value.
_NEVER_VALUES = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NULL", "null", "?", "\\N")
_PERHAPS_VALUES = ("na", "NaN", "nan", "None", "none", "Null", "-", "--", ".", "missing")
NULL_WORDS = (*_NEVER_VALUES, *_PERHAPS_VALUES)


def find_null_words(columns: Mapping[str, pa.Array]) -> FoundOption | None:
    """The option `null_values`, where words stand for missing values.

    Args:
        columns: of text, as it is written.

    Runs on: driver.
    """
    found: dict[str, str] = {}
    for name, text in columns.items():
        values = pc.unique(text)
        there = [word for word in NULL_WORDS if pc.index(values, word).as_py() >= 0]
        if not there:
            continue
        rest = text.filter(pc.invert(pc.is_in(text, value_set=pa.array([*there, ""]))))
        is_typed = len(rest) and (_type_of(rest) != "string" or times_in(rest))
        for word in there:
            if is_typed:
                found.setdefault(word, f"{told(word)} stands among the values of {name}")
            elif word in _NEVER_VALUES and len(rest) and not _is_code(word, rest):
                found.setdefault(word, f"{told(word)} in {name} is taken for a missing value")
    if not found:
        return None
    others = [
        f"{name} ({told(word)})"
        for name, text in columns.items()
        for word in found
        if f" {name}" not in found[word] and pc.index(text, word).as_py() >= 0
    ]
    also = f"; they are null in all columns, so also in {', '.join(others[:5])}" if others else ""
    return FoundOption("null_values", ("", *found), "; ".join(found.values()) + also)


def _type_of(text: pa.Array) -> str:
    return judge_text(text, str).type


def _is_code(word: str, values: pa.Array) -> bool:
    """Whether the word may be a value like the others: NA is Namibia among codes of countries."""
    if word != "NA":
        return False
    return bool(pc.all(pc.match_substring_regex(pc.unique(values), "^[A-Z]{2}$")).as_py())
