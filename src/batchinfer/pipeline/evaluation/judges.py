"""Two classes, or a number, against what came true; and which judge the columns of predictions ask
for.

Owns how an outcome is read as positive. The metrics are those of training (`models.metrics`). In
memory are 17 bytes a row that has an outcome.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from batchinfer.config.suggestions import listed
from batchinfer.errors import ConfigError, InputError
from batchinfer.pipeline.definition.published_words import (
    PublishedWords,
    knows_other,
    other_positive,
)
from batchinfer.pipeline.evaluation.class_judge import LABEL, SCORES, ClassJudge
from batchinfer.pipeline.evaluation.joined_rows import OUTCOME
from batchinfer.pipeline.evaluation.last_outcomes import LAST
from batchinfer.pipeline.evaluation.pairs import (
    PairJudge,
    array_of,
    numbers_of,
    some_values,
)
from batchinfer.pipeline.evaluation.two_classes import said_classes, told_classes

if TYPE_CHECKING:
    from batchinfer.config.pipeline import Target

# Its functions are made when it is imported, so type checkers do not see them.
pc: Any = pyarrow.compute

SCORE, PREDICTION = "score", "prediction"


class NumberJudge(PairJudge):
    """`prediction` against a number."""

    task = "regression"

    def add(self, rows: pa.Table) -> None:
        target = numbers_of(rows[OUTCOME])
        prediction = numbers_of(rows[PREDICTION])
        known = np.isfinite(prediction) & np.isfinite(target)
        infinite = int(np.isinf(target).sum())
        self.infinite += infinite
        self.unread += int((~known).sum()) - infinite
        self.keep(target=target[known], prediction=prediction[known])
        if self.last:
            has_last = LAST in rows.column_names
            last = numbers_of(rows[LAST]) if has_last else np.full(rows.num_rows, np.nan)
            self.keep(last=last[known])

    def metrics(self) -> tuple[dict[str, float], list[str]]:
        from batchinfer.models.metrics import last_value_metrics, regression_metrics

        target, prediction = self.all("target"), self.all("prediction")
        found, warnings = regression_metrics(target, prediction, self.words.mean), list[str]()
        if self.words.mean is None:
            warnings.append(
                "baseline and r2 are not told: the mean that the model learned is not known"
            )
        if self.last:
            last = self.all("last")
            found |= last_value_metrics(target, prediction, last)
            if lacking := int((~np.isfinite(last)).sum()):
                warnings.append(
                    f"{lacking:,} of {len(last):,} rows with an outcome have no last known value, "
                    f"{self.last}: skill and mae_last_value are of the others"
                )
        return found, warnings


@dataclass
class BinaryJudge(PairJudge):
    """`score` against two classes; `accuracy` is that of `label` where the table has one.

    Attributes:
        unknown: values of outcomes that are neither class, with their rows.
        known: rows whose outcome is one of the classes.
        doubts: sentences about the pipeline file, where it says otherwise than the bundle.
    """

    unknown: Counter[str] = field(default_factory=Counter)
    known: int = 0
    doubts: tuple[str, ...] = ()

    task = "binary"

    def merge(self, other: PairJudge) -> None:
        super().merge(other)
        if isinstance(other, BinaryJudge):
            self.unknown += other.unknown
            self.known += other.known
            self.doubts = tuple(dict.fromkeys((*self.doubts, *other.doubts)))

    def add(self, rows: pa.Table) -> None:
        said = said_classes(
            array_of(rows[OUTCOME]), self.words, None if self.doubts else self.target
        )
        self.unknown += said.unknown
        self.known += said.known
        score = numbers_of(rows[SCORE])
        positive = self.words.positive
        named = score >= 0.5
        if LABEL in rows.column_names and positive is not None:
            told = pc.fill_null(pc.equal(array_of(rows[LABEL]), positive), fill_value=False)
            named = told.to_numpy(zero_copy_only=False)
        known = np.isfinite(score)
        self.unread += int((~known).sum())
        self.keep(target=said.positive[known], score=score[known], named=named[known])

    def _told_unknown(self) -> list[str]:
        """Raises InputError where no outcome is of a class that is known."""
        if not self.unknown or not knows_other(self.words):
            return []
        if not self.known:
            raise InputError(
                f"outcomes.value: column {self.column} has only values that are no class of the "
                f"model: {some_values(self.unknown)}; its classes are {told_classes(self.words)}; "
                "allowed: these",
                "a view, or a pipeline of its own, can write the outcomes as the model has them",
            )
        return [
            f"outcomes that are no class of the model count as {self.words.labels[0]!r}: "
            f"{some_values(self.unknown)}; its classes are {told_classes(self.words)}"
        ]

    def metrics(self) -> tuple[dict[str, float], list[str]]:
        from batchinfer.models.metrics import binary_metrics

        target, score = self.all("target"), self.all("score")
        found = binary_metrics(target, score, self.all("named"))
        warnings = [*self.doubts, *self._told_unknown()]
        if (score < 0).any() or (score > 1).any():
            found = {name: value for name, value in found.items() if "log_loss" not in name}
            warnings.append("log_loss is not told: score is no probability, some are not in [0, 1]")
        if "auc" not in found:
            which = "positive" if target[0] > 0.5 else "not positive"
            told = "" if target[0] > 0.5 or not self.unknown else f": {some_values(self.unknown)}"
            warnings.append(f"auc is not told: all {len(target):,} outcomes are {which}{told}")
        return found, warnings


def judge_of(
    types: Mapping[str, pa.DataType],
    outcome: pa.DataType,
    words: PublishedWords,
    target: Target | None,
    column: str,
    outputs: Sequence[str] = (),
) -> PairJudge:
    """The judge of predictions with these columns.

    Args:
        types: of the columns of the predictions.
        outcome: type of what came true.
        column: of the outcomes, for messages.
        outputs: all columns that the model published, for messages.

    Runs on: driver.

    Raises:
        ConfigError: columns that say neither a class nor a number, or a missing setting.
    """
    from batchinfer.models.class_names import says_positive

    two = len(words.labels) == 2 or (target is not None and says_positive(target))
    if SCORES in types and LABEL in types and pa.types.is_map(types[SCORES]):
        return ClassJudge(words, target, column)
    if SCORE in types and two and len(words.labels) <= 2:
        told = other_positive(words, target)
        doubts = () if told is None else (f"{told}: outcomes are read as the model has it",)
        return BinaryJudge(words, target, column, doubts=doubts)
    if LABEL in types and (SCORE not in types or len(words.labels) > 2):
        return ClassJudge(words, target, column)
    if PREDICTION in types and _is_number(types[PREDICTION]):
        if not _is_number(outcome):
            raise ConfigError(
                f"outcomes.value: column {column} is {outcome}, and the predictions are numbers "
                f"(column {PREDICTION}); allowed: a column of numbers"
            )
        return NumberJudge(words, target, column)
    if SCORE in types:
        raise ConfigError(
            "train.target.positive: got nothing, and the model does not name its classes; allowed: "
            "train: {target: {column: …, positive: [VALUES]}}, which says what outcomes are "
            "positive"
        )
    raise ConfigError(
        f"the predictions have columns {listed(outputs or types)}; evaluate judges score, "
        "label, scores, and prediction where it is a number"
    )


def _is_number(type_: pa.DataType) -> bool:
    kinds = pa.types
    return (
        kinds.is_integer(type_)
        or kinds.is_floating(type_)
        or kinds.is_decimal(type_)
        or kinds.is_boolean(type_)
    )
