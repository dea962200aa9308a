"""What an expectation was found to be, and what reports say of it.

Owns which parts of it are values of a column. Knows neither Spark nor Great Expectations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchinfer.checks.sentences import result_sentence
from batchinfer.checks.suites import Expectation
from batchinfer.masking.hidden_words import HIDDEN
from batchinfer.masking.sensitive_columns import SensitiveColumns

# Where the library's results hold values of a column.
_VALUES = (
    "partial_unexpected_list",
    "partial_missing_list",
    "unexpected_list",
    "partial_unexpected_counts",
)


@dataclass(frozen=True)
class Finding:
    """What was found of one expectation.

    Attributes:
        success: whether it holds.
        values: the library's `result`, as plain JSON values.
        raised: why it could not be computed, or None.
        unfit: rows for which it could not hold.
        unfit_word: what these rows are.
    """

    success: bool
    values: Mapping[str, Any]
    raised: str | None = None
    unfit: int = 0
    unfit_word: str = ""


def told_result(item: Expectation, found: Finding, sensitive: SensitiveColumns) -> dict[str, Any]:
    """A result as reports hold it, all of it JSON-able."""
    found = _without_values(item, found, sensitive)
    values = found.values
    return {
        "expectation": item.name,
        "column": ", ".join(item.columns()) or None,
        "success": found.success,
        "observed": values.get("observed_value"),
        "unexpected_count": values.get("unexpected_count", found.unfit or None),
        "unexpected_percent": values.get("unexpected_percent"),
        "examples": list(values.get("partial_unexpected_list") or ()),
        "message": result_sentence(
            item, values, found.success, found.raised, (found.unfit, found.unfit_word)
        ),
    }


def _without_values(item: Expectation, found: Finding, sensitive: SensitiveColumns) -> Finding:
    """What was found, without values of sensitive columns."""
    if not sensitive.among(item.columns()):
        return found
    values = dict(found.values)
    for name in _VALUES:
        if values.get(name):
            values[name] = [HIDDEN]
    counts = "_count_" in item.name or "proportion" in item.name
    if not counts and values.get("observed_value") is not None:
        values["observed_value"] = HIDDEN
    raised = None if found.raised is None else sensitive.of_record(found.raised)
    return replace(found, values=values, raised=raised)
