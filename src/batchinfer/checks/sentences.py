"""What an expectation's result says, as one sentence. Owns the wording; knows neither Spark nor
Great Expectations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from batchinfer.checks.suites import Expectation

_LONGEST_VALUE = 60
# Arguments that say nothing of what is allowed.
_UNTOLD = (
    "column",
    "column_A",
    "column_B",
    "column_list",
    "meta",
    "notes",
    "description",
    "severity",
    "condition_parser",
    "mostly",
)


def result_sentence(
    item: Expectation,
    values: Mapping[str, Any],
    success: bool,
    raised: str | None,
    unfit: tuple[int, str] = (0, ""),
) -> str:
    """One sentence on a result.

    Args:
        item: the expectation.
        values: Great Expectations' `result` of it: counts, or an observed value.
        success: whether it held.
        raised: why it could not be computed, or None.
        unfit: how many rows it could not hold for, and what these are, such as NaN.
    """
    rule = f"{item.name}({', '.join(_told(item))})"
    if raised is not None:
        return f"{rule}: could not be computed: {raised}"
    unexpected, rows = values.get("unexpected_count"), values.get("element_count")
    if rows == 0:
        return f"{rule}: holds: no rows"
    if unexpected is None or rows is None:
        return f"{rule}: {'holds' if success else 'does not hold'}{_observed(values, unfit)}"
    if unexpected == 0:
        return f"{rule}: holds for {rows:,} rows"
    return f"{rule}: {_counts(item, values, unfit)}{_examples(values)}"


def _observed(values: Mapping[str, Any], unfit: tuple[int, str]) -> str:
    count, word = unfit
    if count:
        return f": {count:,} row{'s' if count > 1 else ''} {word}"
    observed = jsonable(values.get("observed_value"))
    if observed is not None:
        return f": observed {shown_value(observed)}"
    found = [
        f"{word} {shown_value(jsonable(values[key]))}"
        for word, key in (
            ("unexpected", "partial_unexpected_list"),
            ("missing", "partial_missing_list"),
        )
        if values.get(key)
    ]
    return f": {', '.join(found)}" if found else ""


def _counts(item: Expectation, values: Mapping[str, Any], unfit: tuple[int, str]) -> str:
    rows = values["element_count"] - (values.get("missing_count") or 0)
    unexpected = values["unexpected_count"]
    share = unexpected / rows if rows else 0.0
    mostly = item.arguments.get("mostly", 1)
    allowed = f", allowed {_percent(1 - mostly)}" if mostly < 1 else ""
    of_rows = f"{unexpected:,} of {rows:,} rows ({_percent(share)}{allowed})"
    return f"{of_rows} {_word(item.name)}{_of_these(unexpected, unfit)}"


def _word(name: str) -> str:
    if name.endswith("_between"):
        return "outside"
    if name.endswith("not_be_null"):
        return "null"
    return "not as expected"


def _of_these(unexpected: int, unfit: tuple[int, str]) -> str:
    count, word = unfit
    if not count:
        return ""
    return f", {'all' if count == unexpected else f'{count:,}'} of them {word}"


def _percent(share: float) -> str:
    """A share as a percentage that never shows some as none, nor nearly all as all."""
    percent = share * 100
    if 0 < percent < 0.01:
        return "<0.01%"
    if 99.99 < percent < 100:
        return ">99.99%"
    return f"{percent:.2f}".rstrip("0").rstrip(".") + "%"


def _examples(values: Mapping[str, Any]) -> str:
    found = [
        shown_value(jsonable(value))
        for value in values.get("partial_unexpected_list") or ()
        if value is not None
    ]
    distinct = list(dict.fromkeys(found))
    return f"; examples {', '.join(distinct)}" if distinct else ""


def _told(item: Expectation) -> list[str]:
    told = [", ".join(item.columns())] if item.columns() else []
    arguments = dict(item.arguments)
    if "min_value" in arguments or "max_value" in arguments:
        bounds = (arguments.pop(name, None) for name in ("min_value", "max_value"))
        told.append("..".join("" if bound is None else shown_value(bound) for bound in bounds))
    return told + [
        f"{word} {shown_value(value)}" for word, value in arguments.items() if word not in _UNTOLD
    ]


def shown_value(value: Any) -> str:
    """A value as people read it in a sentence, cut to a readable length."""
    if isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown_value(entry) for entry in value) + "]"
    else:
        text = str(value)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def jsonable(value: Any) -> Any:
    """A value that JSON has a word for: numbers stay, what is not finite or not known becomes
    text.
    """
    if isinstance(value, float):
        # NumPy's number as Python's, and a zero without a sign: engines show either.
        return float(value) + 0.0 if math.isfinite(value) else str(float(value))
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(word): jsonable(entry) for word, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(entry) for entry in value]
    numbers = getattr(value, "tolist", None)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    # NumPy's scalars and arrays turn into Python's own, except for its times, which would become
    # numbers; everything else (dates, decimals) turns into text.
    return jsonable(numbers()) if callable(numbers) and kind in "biufUSO" else str(value)
