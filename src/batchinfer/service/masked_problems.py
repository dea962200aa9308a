"""What a caller has sent, without values of sensitive columns: in problem documents, and in the
access log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchinfer.masking.hidden_words import HIDDEN
from batchinfer.masking.sensitive_columns import SensitiveColumns
from batchinfer.service.problem_documents import HttpProblem
from batchinfer.service.served_values import ServedPipeline


class CallerMask:
    """The mask of one pipeline that has sensitive columns."""

    def __init__(self, served: ServedPipeline) -> None:
        self._sensitive = SensitiveColumns(frozenset(served.sensitive))
        attributes = served.fallback.attributes if served.fallback is not None else frozenset()
        # Of any other name, what was sent may be a value whose column was named wrongly.
        self._plain = {*served.key, *attributes, "parameter"} - self._sensitive.names

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
            told["got"] = error["got"] if self._is_plain(error) else HIDDEN
        return told

    def _is_plain(self, error: Mapping[str, Any]) -> bool:
        name = str(error.get("name", "")).rpartition(".")[2]
        return error["got"] == "nothing" or name in self._plain

    def _detail(self, text: str) -> str:
        before, got, behind = text.partition(": got ")
        if not got or before.rpartition(" ")[2].rpartition(".")[2] in self._plain:
            return self._sensitive.of_text(text)
        _, allowed, tail = behind.rpartition("; allowed: ")
        return f"{before}{got}{HIDDEN}{allowed}{tail if allowed else ''}"


def mask_of(served: ServedPipeline) -> CallerMask | None:
    """The mask of a pipeline; None where nothing is sensitive."""
    return CallerMask(served) if served.sensitive else None
