"""What a caller has sent, without values of sensitive columns: in problem documents, and in the
access log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.masking.hidden_words import HIDDEN
from batchinfer.masking.sensitive_columns import SensitiveColumns, parted_allowed
from batchinfer.service.problem_documents import HttpProblem
from batchinfer.service.served_values import ServedPipeline

# What was got where it is no value of a column: nothing at all, something empty, a count.
_NO_VALUE = re.compile(r"nothing|None|\[\]|\{\}|''|[\d,]+ (keys|rows)")
# A longer text in place of a slice is none, and may be anything.
_SLICE_TEXT = re.compile(r"(['\"])[^'\"]{,40}\1")


class CallerMask:
    """The mask of one pipeline that has sensitive columns."""

    def __init__(self, served: ServedPipeline) -> None:
        self._sensitive = SensitiveColumns(frozenset(served.sensitive))
        attributes = served.fallback.attributes if served.fallback is not None else frozenset()
        # Of any other name, what was sent may be a value whose column was named wrongly.
        self._plain = {*served.key, *attributes, "parameter"} - self._sensitive.names
        # Slices of other units are values of a column, which may be a sensitive one.
        self._tells_slices = served.slice_unit is not None

    def keys(self, keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Keys as the log may tell them."""
        return [
            {name: value if name in self._plain else HIDDEN for name, value in key.items()}
            for key in keys
        ]

    def mask(self, problem: HttpProblem) -> None:
        """Takes out of a problem what was got where that may be a sensitive value."""
        problem.errors = [self._error(error) for error in problem.errors]
        problem.detail = self._detail(problem.detail)

    def _error(self, error: Mapping[str, Any]) -> dict[str, Any]:
        told = {name: self._detail(text) for name, text in error.items() if name != "got"}
        if "got" in error:
            is_told = self._is_told(str(error.get("name", "")), error["got"])
            told["got"] = error["got"] if is_told else HIDDEN
        return told

    def _is_told(self, place: str, got: str) -> bool:
        name = place.rpartition(".")[2]
        return (
            name in self._plain
            or _NO_VALUE.fullmatch(got) is not None
            or (name == "as_of" and self._tells_slices and _SLICE_TEXT.fullmatch(got) is not None)
        )

    def _detail(self, text: str) -> str:
        before, got, behind = text.partition(": got ")
        value, allowed = parted_allowed(behind)
        if not got or self._is_told(before.rpartition(" ")[2], value):
            return self._sensitive.of_text(text)
        return f"{before}{got}{HIDDEN}{allowed}"


def mask_of(served: ServedPipeline) -> CallerMask | None:
    """The mask of a pipeline; None where nothing is sensitive."""
    return CallerMask(served) if served.sensitive else None
