"""What `label` of a bundle can say, and when two bundles say different things."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier, Handler, MultiClassifier, Regressor
from batchinfer.models.label_words import (
    LabelWords,
    changed_words,
    label_words,
    positive_word,
    read_label_words,
)
from batchinfer.models.mlp import build_module
from batchinfer.transforms import PostProcess, fit_after, parse_after

BINARY = "batchinfer.models.handler:BinaryClassifier"
TEXT = {"score": "double", "label": "string"}


def manifest(class_: str, params: Mapping[str, Any], output: Mapping[str, str]) -> dict[str, Any]:
    return {"handler": {"class": class_, "params": params, "output": output}}


@pytest.mark.parametrize(
    ("class_", "params", "output", "words"),
    [
        (BINARY, {"positive": "yes", "other": "no"}, TEXT, {"yes", "no"}),
        (BINARY, {"positive": "yes"}, TEXT, {"yes", "other"}),
        (BINARY, {}, TEXT, {"positive", "other"}),
        ("any.module:Class", {"labels": ["a", "b", "c"]}, TEXT, {"a", "b", "c"}),
        ("any.module:Class", {"labels": ["a"]}, {"prediction": "double"}, None),
        ("any.module:Class", {"labels": ["a"]}, {"label": "bigint"}, None),
        # A handler of somebody's own may call anything positive.
        ("any.module:Class", {"positive": "yes", "other": "no"}, TEXT, None),
        ("any.module:Class", {"labels": "abc"}, TEXT, None),
    ],
)
def test_the_words_stand_in_the_params_of_the_handler(
    class_: str, params: dict[str, Any], output: dict[str, str], words: set[str] | None
) -> None:
    assert label_words(manifest(class_, params, output), None) == words


def after(raw: list[dict[str, Any]], classes: list[str], several: bool = False) -> PostProcess:
    fields: dict[str, pa.DataType] = {"score": pa.float64(), "label": pa.string()}
    if several:
        fields["scores"] = pa.map_(pa.string(), pa.float64())
    steps, problems = parse_after(raw)
    assert not problems
    return fit_after(steps, fields, classes, None)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([{"round": {"digits": 2}}], {"no", "yes"}),
        ([{"threshold": {"value": 0.7}}], {"no", "yes"}),
        ([{"threshold": {"value": 0.7, "labels": ["low", "high"]}}], {"low", "high"}),
        ([{"label_map": {"values": {"yes": "risky"}}}], {"no", "risky"}),
        ([{"label_map": {"values": {"yes": "risky"}, "default": "safe"}}], {"safe", "risky"}),
        (
            [
                {"threshold": {"value": 0.7, "labels": ["low", "high"]}},
                {"label_map": {"values": {"low": "l", "yes": "y"}}},
            ],
            {"l", "high"},
        ),
    ],
)
def test_steps_after_the_model_change_the_words(raw: list[dict[str, Any]], words: set[str]) -> None:
    steps = after(raw, ["no", "yes"])
    made = manifest(BINARY, {"positive": "yes", "other": "no"}, TEXT)
    assert label_words(made, steps) == words
    # They are the words that rows get.
    said = steps.apply({"score": pa.array([0.1, 0.9]), "label": pa.array(["no", "yes"])})
    assert set(said["label"].to_pylist()) == words


def test_what_is_not_known_before_the_steps_may_be_known_after_them() -> None:
    made = manifest("any.module:Class", {}, TEXT)
    renamed = {"values": {"a": "x"}}
    assert label_words(made, after([{"label_map": renamed}], [])) is None
    everything = after([{"label_map": {**renamed, "default": "rest"}}], [])
    assert label_words(made, everything) == {"x", "rest"}
    labelled = after([{"threshold": {"value": 1, "labels": ["low", "high"]}}], [])
    assert label_words(made, labelled) == {"low", "high"}


def test_calibration_gives_one_of_two_classes_its_own_label_again() -> None:
    raw = [{"label_map": {"values": {"yes": "y"}}}, {"calibrate": {"method": "sigmoid"}}]
    steps, _ = parse_after(raw)
    fields = {"score": pa.float64(), "label": pa.string()}
    state = {"1": {"method": "sigmoid", "fitted": True, "slope": 1.0, "offset": 0.0}}
    made = PostProcess(steps, fields, ["no", "yes"], state)
    assert made.words(frozenset({"no", "yes"})) == {"no", "yes"}
    said = made.apply({"score": pa.array([0.1, 0.9]), "label": pa.array(["no", "yes"])})
    assert said["label"].to_pylist() == ["no", "yes"]


def test_shares_that_are_renamed_alone_leave_the_label() -> None:
    steps = after(
        [{"label_map": {"columns": "scores", "values": {"a": "x"}}}], ["a", "b", "c"], several=True
    )
    made = manifest("any:Class", {"labels": ["a", "b", "c"]}, TEXT)
    assert label_words(made, steps) == {"a", "b", "c"}


def test_numbers_that_become_shares_get_the_labels_of_the_step() -> None:
    steps, _ = parse_after([{"softmax": {"labels": ["a", "b"]}}])
    made = fit_after(steps, {"prediction": pa.list_(pa.float64())}, [], None)
    raw = manifest("any:Class", {"width": 2}, {"prediction": "array<double>"})
    assert label_words(raw, made) == {"a", "b"}


@pytest.mark.parametrize(
    ("handler", "raw", "words"),
    [
        (BinaryClassifier(None, None, {"positive": "yes", "other": "no"}), [], {"yes", "no"}),
        (
            BinaryClassifier(None, None, {"positive": "yes", "other": "no"}),
            [{"label_map": {"values": {"no": "never"}}}],
            {"yes", "never"},
        ),
        (MultiClassifier(None, None, {"labels": ["a", "b"]}), [], {"a", "b"}),
        (Regressor(), [], None),
    ],
)
def test_the_words_are_read_from_a_bundle(
    tmp_path: Path, handler: Handler, raw: list[dict[str, Any]], words: set[str] | None
) -> None:
    module = build_module("batchinfer.models.mlp:Mlp", {"features": 1, "outputs": 1, "hidden": []})
    names = {"inputs": [{"name": "a", "type": "double"}], "outputs": []}
    write_bundle(
        tmp_path / "bundle",
        handler=handler,
        module=module,
        transforms=None,
        signature=names,
        facts={},
        postprocess=after(raw, ["no", "yes"]) if raw else None,
    )
    assert read_label_words(tmp_path / "bundle").words == words


def test_other_words_are_told_and_the_same_or_unknown_ones_are_not() -> None:
    a, b = LabelWords(frozenset({"yes", "other"})), LabelWords(frozenset({"yes", "no"}))
    assert changed_words("champion", "3", a, b) == [
        'label says "no", "yes" now; version 3, which held champion until now, said "other", '
        '"yes": whoever filters on the words must follow'
    ]
    assert changed_words("champion", "3", a, a) == []
    assert changed_words("champion", "3", LabelWords(None), b) == []
    assert changed_words("champion", "3", a, LabelWords(None)) == []
    many = LabelWords(frozenset(json.dumps(number) for number in range(12)))
    assert " and 2 more now; version 3" in changed_words("champion", "3", a, many)[0]


def test_a_score_of_the_other_class_is_told_though_the_words_are_the_same() -> None:
    words = frozenset({"yes", "no"})
    [told] = changed_words("champion", "3", LabelWords(words, "yes"), LabelWords(words, "no"))
    assert told.startswith('score is the probability of "no" now; version 3')
    assert told.endswith('gave that of "yes": whoever reads score must follow')
    assert changed_words("champion", "3", LabelWords(words, "yes"), LabelWords(words)) == []


@pytest.mark.parametrize(
    ("class_", "params", "word"),
    [
        (BINARY, {"positive": "yes", "other": "no"}, "yes"),
        ("m:AsFittedClasses", {"labels": ["a", "b"], "positive": 0}, "a"),
        ("m:AsFittedClasses", {"labels": ["a", "b", "c"]}, None),
        ("m:Own", {}, None),
    ],
)
def test_the_word_of_score_is_the_positive_one_of_two(
    class_: str, params: dict[str, Any], word: str | None
) -> None:
    assert positive_word(manifest(class_, params, TEXT), None) == word
