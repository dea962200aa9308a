"""Steps after the model: any batch gives what its rows give, in the declared types."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from after_cases import FIELDS, post
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.transforms import (
    AFTER_STEPS,
    PostProcess,
)

NUMBER = st.floats(-50, 50) | st.sampled_from([0.0, float("nan"), float("inf")])
CASES: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"threshold": {"value": 0.3}}], ["score", "label"]),
    (
        [{"threshold": {"columns": "prediction", "value": 5, "labels": ["low", "high"]}}],
        ["prediction"],
    ),
    ([{"label_map": {"values": {"no": "poor", "yes": "rich"}}}], ["score", "label"]),
    ([{"label_map": {"values": {"a": "x", "b": "x"}, "default": "rest"}}], ["label", "scores"]),
    ([{"softmax": {"columns": "many"}}, {"top_k": {"columns": "many", "k": 2}}], ["many"]),
    ([{"top_k": {"k": 2}}], ["scores", "label"]),
    (
        [{"round": {"columns": ["prediction", "many", "scores"], "digits": 1}}],
        ["prediction", "many", "scores"],
    ),
    ([{"clip": {"lower": 0, "upper": 10}}, {"round": {}}], ["prediction"]),
    ([{"inverse": {"step": "log1p"}}], ["prediction"]),
]
every_case = pytest.mark.parametrize(
    ("raw", "columns"),
    CASES,
    ids=["+".join(key for step in raw for key in step) for raw, _ in CASES],
)


def rows(columns: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    value = {
        "score": st.floats(0, 1),
        "label": st.sampled_from(["no", "yes", "a", "b", "other"]),
        "prediction": NUMBER,
        "many": st.lists(NUMBER, max_size=4),
        "scores": st.lists(
            st.tuples(st.sampled_from("abcd"), st.floats(0, 1)),
            max_size=4,
            unique_by=lambda pair: pair[0],
        ),
    }
    return st.lists(st.fixed_dictionaries({name: value[name] for name in columns}), max_size=9)


def frame_of(data: list[dict[str, Any]], columns: list[str]) -> dict[str, pa.Array]:
    return {name: pa.array([row[name] for row in data], FIELDS[name]) for name in columns}


@every_case
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_batch_gives_what_its_rows_give_in_the_declared_types(
    raw: Any, columns: list[str], data: st.DataObject
) -> None:
    steps = post(raw, {name: FIELDS[name] for name in columns})
    steps = PostProcess.from_json(json.loads(json.dumps(steps.to_json())))
    values = data.draw(rows(columns))
    whole = steps.apply(frame_of(values, columns))
    assert {name: array.type for name, array in whole.items()} == steps.fields
    cut = data.draw(st.integers(0, len(values)))
    sliced = {name: array.slice(cut) for name, array in frame_of(values, columns).items()}
    for first, part in (
        (cut, steps.apply(sliced)),
        *((at, steps.apply(frame_of([row], columns))) for at, row in enumerate(values)),
    ):
        for name, array in part.items():
            expected = whole[name].slice(first, len(array))
            assert repr(array.to_pylist()) == repr(expected.to_pylist())


def test_every_step_after_the_model_has_a_case() -> None:
    assert {name for raw, _ in CASES for step in raw for name in step} | {"calibrate"} == set(
        AFTER_STEPS
    )


def test_threshold_names_the_positive_label_from_its_value_up() -> None:
    frame = {"score": pa.array([0.69, 0.7, 1.0]), "label": pa.array(["yes"] * 3)}
    got = post(
        [{"threshold": {"value": 0.7}}], {name: array.type for name, array in frame.items()}
    ).apply(frame)
    assert got["label"].to_pylist() == ["no", "yes", "yes"] and list(got) == ["score", "label"]
    high = post(
        [{"threshold": {"value": 5, "labels": ["low", "high"]}}], {"prediction": pa.float64()}, ()
    )
    assert high.apply({"prediction": pa.array([4.9, 5.0])})["label"].to_pylist() == ["low", "high"]


def test_shares_whose_names_become_one_are_added_up() -> None:
    shares = pa.array([[("a", 0.2), ("b", 0.5), ("c", 0.3)], []], FIELDS["scores"])
    steps = post(
        [{"label_map": {"columns": "scores", "values": {"a": "x", "c": "x"}}}],
        {"scores": FIELDS["scores"]},
    )
    assert steps.apply({"scores": shares})["scores"].to_pylist() == [[("x", 0.5), ("b", 0.5)], []]


def test_where_label_map_merges_shares_the_label_is_the_greatest_and_the_score_is_its_share() -> (
    None
):
    names = ["label", "score", "scores"]
    data = [
        {"label": "low", "score": 0.4, "scores": [("low", 0.4), ("mid", 0.3), ("high", 0.3)]},
        {"label": "high", "score": 0.5, "scores": [("low", 0.3), ("mid", 0.2), ("high", 0.5)]},
        {
            "label": "low",
            "score": 0.9,
            "scores": [("low", 0.9), ("other", 0.1)],
        },  # nothing merged: as the model said
    ]
    steps = post(
        [{"label_map": {"values": {"mid": "top", "high": "top"}}}],
        {name: FIELDS[name] for name in names},
    )
    got = steps.apply(frame_of(data, names))
    assert got["label"].to_pylist() == ["top", "top", "low"]
    assert got["score"].to_pylist() == pytest.approx([0.6, 0.7, 0.9])
    assert steps.apply(frame_of([], names))["label"].to_pylist() == []
    alone = post(
        [{"label_map": {"columns": "label", "values": {"high": "top"}}}],
        {name: FIELDS[name] for name in names},
    )
    assert alone.apply(frame_of(data, names))["score"].to_pylist() == [0.4, 0.5, 0.9]


def test_softmax_with_labels_gives_what_a_classifier_gives() -> None:
    many = pa.array([[1.0, 3.0, 2.0], [0.0, 0.0, -1.0]], pa.list_(pa.float64()))
    steps = post(
        [{"softmax": {"columns": "many", "labels": ["a", "b", "c"]}}], {"many": many.type}, ()
    )
    got = steps.apply({"many": many})
    e = [math.exp(value) for value in (1, 3, 2)]
    assert got["label"].to_pylist() == ["b", "a"] and got["score"][0].as_py() == pytest.approx(
        e[1] / sum(e)
    )
    assert dict(got["scores"][0].as_py()) == pytest.approx(
        dict(zip("abc", (value / sum(e) for value in e), strict=True))
    )
    with pytest.raises(ValueError, match="got 2 numbers; allowed: one for each of 3 labels"):
        steps.apply({"many": pa.array([[1.0, 2.0]], many.type)})
    # Large numbers do not overflow, and equal ones share.
    huge = post([{"softmax": {"columns": "many"}}], {"many": many.type}).apply(
        {"many": pa.array([[1e300, 1e300]], many.type)}
    )
    assert huge["many"].to_pylist() == [[0.5, 0.5]]


def test_top_k_orders_items_and_shows_what_is_no_number() -> None:
    many = pa.array(
        [[1.0, 3.0, 3.0, 2.0], [5.0], [], [1.0, float("nan"), 2.0]], pa.list_(pa.float64())
    )
    got = (
        post([{"top_k": {"columns": "many", "k": 2}}], {"many": many.type})
        .apply({"many": many})["items"]
        .to_pylist()
    )
    assert got[:3] == [
        [{"item": "1", "score": 3.0}, {"item": "2", "score": 3.0}],
        [{"item": "0", "score": 5.0}],
        [],
    ]
    assert got[3][0]["item"] == "1" and math.isnan(got[3][0]["score"])
    named = post(
        [{"top_k": {"columns": "many", "k": 1, "labels": ["a", "b"]}}], {"many": many.type}
    )
    assert named.apply({"many": pa.array([[1.0, 2.0]], many.type)})["items"].to_pylist() == [
        [{"item": "b", "score": 2.0}]
    ]
    with pytest.raises(
        ValueError, match="got at least 3 numbers; allowed: one for each of 2 labels"
    ):
        named.apply({"many": pa.array([[1.0, 2.0, 3.0]], many.type)})
