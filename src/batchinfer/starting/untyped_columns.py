"""What is said of columns of text whose values look like numbers or times that no type fits.

Owns what looks so. Must not know types, nor what is proposed.
"""

from __future__ import annotations

from typing import Any

from pyarrow import compute

from batchinfer.starting.sample import SampledColumn, told

# Its functions are generated at import, so type checkers do not see them.
pc: Any = compute

_MOSTLY = 0.5
_TIME = (
    r"^\s*(?:[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}(?:[ T].*)?"
    r"|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?\s*(?:[AaPp]\.?[Mm]\.?)?)\s*$"
)
_NUMBER = r"^[^0-9\pL]{0,4}[0-9][0-9.,' ]*[^0-9\pL]{0,4}$"


def untyped_note(column: SampledColumn, is_left_out: bool) -> str | None:
    """What to tell of a column of text that is no number and no time, but looks so in most values.

    Args:
        column: of text.
        is_left_out: it is no feature; one that is a category is told only where it looks like a
            time, because categories often have numbers for names.
    """
    given = column.values.drop_null()
    if not len(given):
        return None
    for pattern, what in ((_TIME, "a date or a time"), (_NUMBER, "a number")):
        like = pc.match_substring_regex(given, pattern)
        if pc.mean(like.cast("int8")).as_py() < _MOSTLY or (what == "a number" and not is_left_out):
            continue
        value = told(given[pc.index(like, True).as_py()].as_py())
        becomes = "it is left out of the features" if is_left_out else "it is taken for a category"
        return (
            f"Column {column.name} looks like {what} in most values, such as {value}, but is text "
            f"that no type was found for; {becomes}"
        )
    return None
