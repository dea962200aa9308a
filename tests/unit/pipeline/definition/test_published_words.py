"""What published labels mean: classes of the model, as the steps after it call them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.config.pipeline import Target
from batchinfer.pipeline.definition.published_words import PublishedWords, assumed_words, read_words
from batchinfer.transforms import fit_after, parse_after

BINARY = {"score": pa.float64(), "label": pa.string()}
SEVERAL = {**BINARY, "scores": pa.map_(pa.string(), pa.float64())}
NUMBER = {"prediction": pa.float64()}


def words_of(
    folder: Path,
    params: dict[str, Any],
    outputs: dict[str, pa.DataType] | None = None,
    labels: tuple[str, ...] = (),
    *steps: dict[str, Any],
) -> PublishedWords:
    """Of a bundle with these params and steps after the model."""
    if steps:
        parsed, problems = parse_after(list(steps))
        assert not problems
        fitted = fit_after(parsed, outputs or BINARY, labels, None)
        (folder / "postprocess.json").write_text(json.dumps(fitted.to_json()))
    return read_words(folder, {"handler": {"params": params}})


TRAINED = {"positive": "yes", "other": "no"}


def test_two_classes_are_told_with_the_positive_one_last(tmp_path: Path) -> None:
    assert words_of(tmp_path, TRAINED).labels == ("no", "yes")
    assert words_of(tmp_path, {"labels": ["a", "b"], "positive": 1}).positive == "b"
    assert words_of(tmp_path, {"labels": ["a", "b"], "positive": 0}).positive == "a"
    assert words_of(tmp_path, {"labels": ["a", "b", "c"]}).positive is None
    assert words_of(tmp_path, {"width": 1}) == PublishedWords()


def test_steps_after_the_model_call_classes_by_other_names(tmp_path: Path) -> None:
    steps = [
        {"threshold": {"value": 0.3, "labels": ["stays", "leaves"]}},
        {"label_map": {"values": {"leaves": "call"}}},
    ]
    words = words_of(tmp_path, TRAINED, BINARY, ("no", "yes"), *steps)
    assert (words.labels, words.names, words.positive) == (("no", "yes"), ("stays", "call"), "call")
    assert words.place_of("yes") == words.place_of("call") == 1
    assert words.place_of("no") == words.place_of("stays") == 0
    assert words.place_of("maybe") is None


def test_classes_that_became_one_tell_nothing_apart(tmp_path: Path) -> None:
    one = {"label_map": {"values": {"yes": "x"}, "default": "x"}}
    assert words_of(tmp_path, TRAINED, BINARY, ("no", "yes"), one).positive is None


def test_shares_have_names_of_their_own(tmp_path: Path) -> None:
    labels = ("a", "b", "c")
    renamed = {"label_map": {"columns": "label", "values": {"a": "z"}}}
    words = words_of(tmp_path, {"labels": list(labels)}, SEVERAL, labels, renamed)
    assert (words.names, words.shares) == (("z", "b", "c"), labels)


@pytest.mark.parametrize("value", ["1", "1.0"])
def test_values_are_matched_by_what_they_mean(value: str) -> None:
    words = PublishedWords(("0", "1"), ("0", "1"), ("0", "1"))
    assert words.place_of(value) == 1 and words.place_of("01") is None


def test_a_class_that_stands_for_all_others_is_any_value() -> None:
    words = PublishedWords(("other", "yes"), ("other", "yes"))
    assert words.place_of("whatever") == 0 and words.place_of("yes") == 1
    assert PublishedWords(("other", "x", "y"), ("other", "x", "y")).place_of("whatever") is None


def test_the_mean_is_that_of_the_units_of_the_predictions(tmp_path: Path) -> None:
    params = {"mean": 3.5, "scale": 2.0}
    assert words_of(tmp_path, params).mean == 3.5
    rounded = words_of(tmp_path, params, NUMBER, (), {"round": {"digits": 1}})
    assert rounded.mean == 3.5
    undone = words_of(tmp_path, params, NUMBER, (), {"inverse": {"step": "log1p"}})
    assert undone.mean is None and np.isfinite(params["mean"])


def test_without_a_bundle_the_file_says_what_it_can() -> None:
    target = Target(column="y", positive=("yes",))
    steps = [{"label_map": {"values": {"yes": "call"}}}]
    assert assumed_words(target, steps).positive == "call"
    assert assumed_words(Target(column="y"), steps) == assumed_words(None, []) == PublishedWords()
