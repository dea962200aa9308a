"""A worker of the service that can score: `python -m batchinfer.pipeline.answering.service_entry`.

The service knows no pipeline: what scores their rows is made here. Nothing is opened, and nothing
heavy imported, before the first question.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from batchinfer.pipeline.answering.torch_mapping import TorchMapping
from batchinfer.service.asked_predictor import Predicted, WrongQuestion
from batchinfer.service.served_values import ServedPipeline
from batchinfer.service.service_worker import run_worker

if TYPE_CHECKING:
    from batchinfer.pipeline.answering.row_scoring import RowScorer
    from batchinfer.pipeline.definition.context import Context


class PipelinePredictor:
    """Scores rows of one pipeline, as the command `predict` does."""

    def __init__(self, served: ServedPipeline) -> None:
        self._asked = served.asked

    def of_keys(self, keys: Sequence[Mapping[str, Any]]) -> Predicted:
        """The newest landed row of each key, scored."""
        from batchinfer.lookups.key_values import UnfitKeys
        from batchinfer.pipeline.answering.feature_rows import NoFeatures, feature_rows
        from batchinfer.service.question_keys import wrong_keys

        try:
            rows = feature_rows(self._context, keys)
        except NoFeatures:
            raise WrongQuestion(
                "no-features",
                "rows of this pipeline's table cannot be looked up alone; allowed: rows",
            ) from None
        except UnfitKeys as error:
            problem = wrong_keys(error, keys, listed=True)
            raise WrongQuestion(problem.kind, problem.detail, problem.errors) from None
        scorer = self._scorer
        version = scorer.model().ref.version
        told = iter(scorer.score([row for row in rows if row is not None]))
        results = [
            {"found": False, "prediction": None}
            if row is None
            else {"found": True, "prediction": None, **next(told)}
            for row in rows
        ]
        return Predicted(results, version)

    def of_rows(self, rows: Sequence[Mapping[str, Any]]) -> Predicted:
        """The rows, scored; each has all columns of the model's signature."""
        from batchinfer.pipeline.answering.row_scoring import A_VALUE, LackingColumns

        scorer = self._scorer
        version = scorer.model().ref.version
        try:
            told = scorer.score_given(rows)
        except LackingColumns as lacking:
            errors = [
                {"name": f"rows[{row}].{name}", "got": "nothing", "allowed": A_VALUE}
                for row, name in lacking.lacking
            ]
            raise WrongQuestion("wrong-rows", lacking.told, errors) from None
        results = [{"found": True, "prediction": None, **one} for one in told]
        return Predicted(results, version)

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return "_scorer" in self.__dict__ and self._scorer.is_loaded

    def load(self) -> None:
        """Loads the model, and what its answers need."""
        import_module("batchinfer.inference.pandas_columns")
        self._scorer.model()

    def release(self) -> None:
        """Lets the model go."""
        self.__dict__.pop("_scorer", None)

    @cached_property
    def _context(self) -> Context:
        from batchinfer.pipeline.definition.context import Context

        return Context.open(self._asked.ref, self._asked.env, self._asked.overrides)

    @cached_property
    def _scorer(self) -> RowScorer:
        from batchinfer.pipeline.answering.row_scoring import RowScorer

        return RowScorer(self._context)


if __name__ == "__main__":
    TorchMapping.install()
    run_worker(int(sys.argv[1]), int(sys.argv[2]), PipelinePredictor)
