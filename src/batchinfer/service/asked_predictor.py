"""What scores rows now, as the service knows it: values in, values out.

Must not know models or pipelines; whoever starts the workers hands them what scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from batchinfer.service.served_values import ServedPipeline


class Predicted(NamedTuple):
    """Predictions of one question.

    Attributes:
        results: one a key or row, in their order: found, prediction (null where there is none), and
            `error` of a row that could not be scored.
        model_version: that all of them are of.
    """

    results: list[dict[str, Any]]
    model_version: str


class WrongQuestion(Exception):
    """A question that nothing could answer: its keys or rows are at fault.

    Attributes:
        kind: the last part of the problem document's `type`.
        errors: one a value that is wrong: name, got, allowed.
    """

    def __init__(self, kind: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.errors = kind, detail, errors


class RowPredictor(Protocol):
    """Scores rows of one pipeline; asked by one thread at a time."""

    @property
    def is_loaded(self) -> bool:
        """Whether its model is in memory."""
        ...

    def load(self) -> None:
        """Brings its model into memory, as the first question would.

        Raises:
            ModelError: there is none, or it cannot be loaded.
            BatchInferError: whatever else keeps it from loading.
        """
        ...

    def release(self) -> None:
        """Lets its model go; the next question loads it again."""
        ...

    def of_keys(self, keys: Sequence[Mapping[str, Any]], /) -> Predicted:
        """Predictions of the newest landed rows of some keys.

        Raises:
            WrongQuestion: keys that do not fit, or that cannot be looked up.
            InputMissing: nothing has landed.
            ModelError: there is no model, or it does not fit.
            BatchInferError: whatever else keeps it from answering.
        """
        ...

    def of_rows(self, rows: Sequence[Mapping[str, Any]], /) -> Predicted:
        """Predictions of rows that are given.

        Raises:
            WrongQuestion: rows that lack columns.
            ModelError: there is no model.
            BatchInferError: whatever else keeps it from answering.
        """
        ...


MakePredictor = Callable[[ServedPipeline], RowPredictor]
