"""How amounts are written in text: what stands between their thousands and before their decimals.

Owns the forms of numbers with points, commas, signs of currencies and per cent. Must not know how
a file is read, nor what is proposed of its columns.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import compute

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

# Spaces that do not break a line stand before signs of currencies.
_SPACES = r"[\s\x{a0}\x{202f}]*"
_CURRENCY = "[$€£¥]"


def _form(thousands: str, decimal: str) -> str:
    number = rf"(?:[1-9][0-9]{{0,2}}(?:{thousands}[0-9]{{3}})+|[0-9]+)(?:{decimal}[0-9]+)?"
    before = rf"{_SPACES}[-+]?{_SPACES}{_CURRENCY}?{_SPACES}[-+]?"
    return rf"^{before}{number}{_SPACES}(?:%|{_CURRENCY})?{_SPACES}$"


# By what stands before decimals.
_FORMS = {".": _form(",", r"\."), ",": _form(r"\.", ",")}
# What keeps such amounts from being plain numbers.
_SIGNS = {".": "[$€£¥%,]", ",": "[$€£¥%,.]"}
# Whole numbers with each thousand behind a point: one of four digits has a point.
_POINTED = r"^\s*[+-]?(?:[0-9]{1,3}|[1-9][0-9]{0,2}(?:\.[0-9]{3})+)\s*$"


def decimal_of(text: pa.Array, commas: bool) -> str | None:
    """What stands before the decimals of a column of amounts that are text: a point or a comma;
    None: they are no amounts, or plain numbers.

    Args:
        commas: what the data speak for, where the column may be read either way.
    """
    given = _given(text)
    order = (",", ".") if commas or not _fits(given, ".") else (".",)
    for decimal in order:
        if _fits(given, decimal) and _any(given, _SIGNS[decimal]):
            return decimal
    return None


def reads_either_way(text: pa.Array) -> bool:
    """Whether a column's amounts have points or commas that may stand before decimals as well as
    between thousands, such as 1,204.
    """
    given = _given(text)
    return _any(given, "[.,]") and all(_fits(given, one) for one in _FORMS)


def needs_decimal(text: pa.Array, decimal: str) -> bool:
    """Whether a column's amounts can be read with this before their decimals only."""
    given = _given(text)
    other = "." if decimal == "," else ","
    return _any(given, "[.,]") and _fits(given, decimal) and not _fits(given, other)


def may_have_thousands(text: pa.Array) -> bool:
    """Whether points may stand between the thousands of a column of plain numbers: each has three
    digits behind it, and no number without one is as large.
    """
    given = _given(text)
    return _any(given, r"\.") and bool(pc.all(pc.match_substring_regex(given, _POINTED)).as_py())


def _given(text: pa.Array) -> pa.Array:
    values = pc.unique(text.drop_null())
    return values.filter(pc.not_equal(values, ""))


def _any(given: pa.Array, pattern: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(given, pattern)).as_py())


def _fits(given: pa.Array, decimal: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(given, _FORMS[decimal])).as_py())
