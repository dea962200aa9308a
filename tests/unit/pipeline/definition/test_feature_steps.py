"""What is wrong with features and training is told before anything starts, all at once."""

from __future__ import annotations

from typing import Any

import pytest

from batchinfer.pipeline.definition.feature_steps import check_document_steps

SOURCE = {
    "kind": "csv",
    "path": "x.csv",
    "schema": {"id": "int", "color": "string", "size": "double", "big": "string"},
}


def document(**more: Any) -> dict[str, Any]:
    base = {
        "source": SOURCE,
        "features": [{"standardize": {"columns": "size"}}],
        "train": {"target": {"column": "big"}},
    }
    return base | more


def told(**more: Any) -> str:
    return "\n".join(
        f"{problem.path}: {problem.message}" for problem in check_document_steps(document(**more))
    )


def test_a_document_that_is_right() -> None:
    assert told() == ""
    assert told(features=[]) == "", "a model trained elsewhere may take the columns as they are"


@pytest.mark.parametrize(
    ("positive", "classes"), [(0, True), (False, True), ([1], True), (None, False)]
)
def test_zero_and_false_are_positive_classes_too(positive: object, classes: bool) -> None:
    target = {"column": "size", "positive": positive}
    steps = [{"select": {"columns": "id", "method": "chi2", "k": 1}}]
    found = told(features=steps, train={"target": target, "model": {"python": "my:Net"}})
    assert (found == "") == classes, found


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            {"train": {"target": {"column": "big"}, "params": {"validation_by": "color"}}},
            "column of times or numbers",
        ),
        (
            {"train": {"target": {"column": "big"}, "params": {"validation_by": "siez"}}},
            "did you mean size",
        ),
        (
            {
                "features": [{"select": {"columns": "size", "method": "chi2", "k": 1}}],
                "train": {"target": {"column": "size"}},
            },
            "leak",
        ),
        (
            {"features": [{"target_encode": {"columns": "color"}}], "train": None},
            "there is none; allowed: with train.target",
        ),
        ({"features": [{"standardize": {"columns": "colour"}}]}, "no column 'colour'"),
        ({"features": [{"lower": {"columns": "color"}}]}, "still string"),
        ({"features": [{"standardize": {"columns": 5}}]}, "got 5"),
        (
            {"features": [{"one_hot": {"columns": "color", "max_categories": True}}]},
            "got True; allowed: no true or false",
        ),
        (
            {"features": [{"date_parts": {"columns": "size", "parts": ["month", "month"]}}]},
            "each part once",
        ),
        ({"features": [{"one_hot": {"columns": "big"}}]}, "leak"),
        (
            {"train": {"target": {"column": "big"}, "model": "mlp_regressor"}},
            "allowed: mlp_classifier",
        ),
        (
            {"train": {"target": {"column": "size"}, "model": "mlp_classifier"}},
            "allowed: mlp_regressor",
        ),
        ({"train": {"target": {"column": "big"}, "params": {"epoch": 1}}}, "epoch"),
    ],
)
def test_each_problem_is_told(more: dict[str, Any], expected: str) -> None:
    assert expected in told(**more)


def test_problems_are_told_together_even_where_the_source_is_wrong_too() -> None:
    schema = {**SOURCE["schema"], "size": "dubble"}
    steps = [{"standardise": {"columns": "size"}}, {"one_hot": {"columns": "colour"}}]
    found = told(source=SOURCE | {"schema": schema, "slize": 1}, features=steps)
    assert "did you mean 'standardize'" in found or "did you mean standardize" in found
    assert "no column 'colour'" in found


def test_a_column_that_a_log_does_not_have_is_told_elsewhere() -> None:
    log = {"kind": "text_log", "path": "x", "options": {"format": "nginx"}}
    of_the_log = {
        "features": [{"standardize": {"columns": "bytes"}}],
        "train": {"target": {"column": "host"}},
    }
    assert told(source=log, **of_the_log) == ""
    assert told(source={**log, "schema": {"hots": "string"}}, **of_the_log) == ""


def test_a_step_that_is_misspelt_is_told_once() -> None:
    steps = [
        {"date_partz": {"columns": "size"}},
        {"standardize": {"columns": ["size_hour", "size"]}},
    ]
    assert len(check_document_steps(document(features=steps))) == 1


def test_a_class_of_ones_own_is_not_judged_by_the_rules_of_the_built_in_ones() -> None:
    own = {"target": {"column": "size"}, "model": {"python": "some.where:Net"}}
    assert told(train=own, features=[{"one_hot": {"columns": "color"}}]) == ""


def test_columns_that_are_none_are_told_behind_a_wrong_table_transform_too() -> None:
    found = told(
        prepare=[{"deduplicate": {"by": "nope"}}], features=[{"standardize": {"columns": 5}}]
    )
    assert "nope" in found and "got 5" in found
