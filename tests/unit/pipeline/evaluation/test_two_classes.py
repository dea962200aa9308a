"""How an outcome is read as one of two classes, by the file and by the words of a bundle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.config.pipeline import Target
from batchinfer.errors import InputError
from batchinfer.pipeline.definition.published_words import PublishedWords
from batchinfer.pipeline.evaluation.judges import BinaryJudge, judge_of
from batchinfer.pipeline.evaluation.pairs import PairJudge

YES_NO = PublishedWords(("no", "yes"), ("kept", "came back"), ("no", "yes"))
REST = PublishedWords(("other", ">50K"), ("other", ">50K"), ("other", ">50K"))
TARGET = Target(column="left", positive=("yes",))
TYPES = {"score": pa.float64(), "label": pa.string()}


def judged(
    came: list[Any], words: PublishedWords = YES_NO, target: Target | None = TARGET
) -> PairJudge:
    outcome = pa.array(came)
    judge = judge_of(TYPES, outcome.type, words, target, "came")
    count = len(outcome)
    labels = pa.array(["came back"] * count)
    judge.add(pa.table({"score": [0.75] * count, "label": labels, "outcome": outcome}))
    return judge


def positive(judge: PairJudge) -> list[float]:
    return np.concatenate(judge.kept["target"]).tolist()


@pytest.mark.parametrize("target", [TARGET, None], ids=["trained", "registered"])
def test_words_of_the_model_and_published_ones_both_count(target: Target | None) -> None:
    judge = judged(["yes", "came back", "no", "kept"], target=target)
    assert positive(judge) == [1, 1, 0, 0]
    assert not any("no class" in text for text in judge.judged().warnings)


@pytest.mark.parametrize("target", [TARGET, None], ids=["trained", "registered"])
def test_values_that_are_neither_class_are_told_with_their_counts(target: Target | None) -> None:
    judge = judged(["yes", "no", "maybe", "Yes", "maybe", "yes "], target=target)
    assert positive(judge) == [1, 0, 0, 0, 0, 0]
    [told] = [text for text in judge.judged().warnings if "no class of the model" in text]
    assert "count as 'no': 'maybe' (2 rows), 'Yes' (1 rows), 'yes ' (1 rows)" in told
    assert "its classes are no, yes (label: kept, came back)" in told


@pytest.mark.parametrize("came", [["Yes", "No"], [True, False], [1, 0], ["maybe"], [1.5]])
@pytest.mark.parametrize("target", [TARGET, None], ids=["trained", "registered"])
def test_outcomes_of_which_none_is_a_class_are_refused(came: list[Any], target: Target) -> None:
    with pytest.raises(InputError, match=r"only values that are no class .*no, yes .*kept"):
        judged(came, target=target).judged()


def test_outcomes_that_are_all_the_other_class_are_judged() -> None:
    assert judged(["no", "kept", "maybe"]).judged().rows == 3


def test_all_other_values_are_the_class_that_stands_for_all_others() -> None:
    target = Target(
        column="income",
        positive=(
            ">50K",
            ">50K.",
        ),
    )
    judge = judged([">50K", ">50K.", "<=50K", "anything"], REST, target)
    assert positive(judge) == [1, 1, 0, 0]
    assert not any("no class" in text for text in judge.judged().warnings)


def test_values_of_any_type_are_matched_by_value() -> None:
    words = PublishedWords(("0", "1"), ("0", "1"), ("0", "1"))
    target = Target(column="left", positive=("1",))
    for came in ([1, 0], [1.0, 0.0], ["1.0", "0"]):
        assert positive(judged(came, words, target)) == [1, 0]
        assert positive(judged(came, words, None)) == [1, 0]


@pytest.mark.parametrize(
    "target",
    [
        Target(column="left", positive=("no",)),
        Target(
            column="left",
            positive=(
                "yes",
                "no",
            ),
        ),
        Target(column="left", positive=("y",)),
        Target(column="left", positive_pattern="^n"),
    ],
    ids=["turned", "both", "unknown", "pattern"],
)
def test_a_file_that_says_otherwise_is_told_and_the_bundle_counts(target: Target) -> None:
    judge = judged(["yes", "no"], target=target)
    assert positive(judge) == [1, 0]
    [told] = [text for text in judge.judged().warnings if "train.target.positive" in text]
    assert "the positive class of the model is 'yes', and the other one 'no'" in told


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (
            REST,
            Target(
                column="income",
                positive=(
                    ">50K.",
                    ">50K",
                ),
            ),
        ),
        (REST, Target(column="income", positive_pattern="50K")),
        (
            PublishedWords(("other", "positive"), ("other", "positive")),
            Target(column="income", positive_pattern="^o|>50K"),
        ),
        (PublishedWords(("0", "1"), ("0", "1")), Target(column="left", positive=("1.0",))),
    ],
)
def test_a_file_that_agrees_with_the_bundle_is_not_doubted(
    words: PublishedWords, target: Target
) -> None:
    judge = judged([">50K", "1"], words, target)
    assert isinstance(judge, BinaryJudge) and judge.doubts == ()


def test_versions_together_tell_what_each_tells() -> None:
    one = judged(["yes", "maybe"])
    other = judged(["no", "maybe"], target=Target(column="left", positive=("no",)))
    one.merge(other)
    warnings = " ".join(one.judged().warnings)
    assert "'maybe' (2 rows)" in warnings and 'train.target.positive: got ["no"]' in warnings
