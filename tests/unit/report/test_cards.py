"""Cards show what models and data are called, and never obey it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from batchinfer.report.model_card import ModelFacts, card_text, write_card
from batchinfer.report.registered_card import RegisteredFacts, registered_card_text
from batchinfer.report.safe_text import markdown

LABEL = "<script>alert(1)</script> | [x](http://h/) `a` *b* _c_ $d$\n# e"
FACTS = ModelFacts(
    name="m",
    pipeline="p",
    description="d",
    task="classifier",
    model="mlp",
    params={"hidden": [4]},
    target="t",
    table="/lake/landed/p",
    version=3,
    rows_train=2,
    rows_validation=1,
    rows_without_label=0,
    validation="the last",
    features=("age", "capital_gain"),
    width=2,
    integers={},
    outputs={"score": "double"},
    metrics={"accuracy": 0.5},
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("capital_gain", "capital_gain"),
        ("_hidden_", "\\_hidden\\_"),
        ("a|b", "a\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("[a](b)", "\\[a\\](b)"),
        ("one\ntwo\r\n# three", "one two \\# three"),
        ("http://h www.h.org", "http\\://h www\\.h.org"),
        ("a\u202eb", "a\ufffdb"),
        (3, "3"),
    ],
)
def test_text_of_others_is_shown_as_it_is(text: object, shown: str) -> None:
    assert markdown(text) == shown


def assert_harmless(card: str) -> None:
    assert "<script>" not in card and "[x](" not in card and "`a`" not in card
    assert "\n# e" not in card and "*b*" not in card.replace("\\*", "")
    assert markdown(LABEL) in card


@pytest.mark.parametrize(
    "changed",
    [
        {"name": LABEL},
        {"description": LABEL},
        {"target": LABEL},
        {"features": [LABEL]},
        {"integers": {LABEL: 2}},
        {"outputs": {LABEL: "double"}},
        {"params": {"positive": LABEL}},
        {"metrics": {LABEL: 0.5}},
        {"warnings": [LABEL]},
    ],
)
def test_nothing_on_the_card_of_a_trained_model_is_markup(changed: dict[str, object]) -> None:
    assert_harmless(card_text(dataclasses.replace(FACTS, **changed)))


@pytest.mark.parametrize(
    "changed",
    [
        {"name": LABEL},
        {"artifact": LABEL},
        {"inputs": {LABEL: "int"}},
        {"feeds": [{"input": "x", "type": "string", "columns": [LABEL]}]},
        {"warnings": [LABEL]},
    ],
)
def test_nothing_on_the_card_of_a_registered_model_is_markup(changed: dict[str, object]) -> None:
    facts = RegisteredFacts("m", "p", "", "onnx", "f", "none", {"a": "int"}, {"b": "double"})
    assert_harmless(registered_card_text(dataclasses.replace(facts, **changed)))


def test_a_name_is_no_formula_in_the_picture(tmp_path: Path) -> None:
    curve = [{"epoch": 1, "train_loss": 0.5, "valid_loss": 0.6}]
    write_card(dataclasses.replace(FACTS, name="a$\\frac$b", curve=curve), tmp_path)
    assert (tmp_path / "learning_curve.png").stat().st_size > 1000


def test_the_card_says_what_each_metric_is_measured_against() -> None:
    metrics = {"rmse": 2.0, "rmse_low": 1.5, "rmse_high": 2.4, "baseline": 4.0, "r2": 0.75}
    against = {"rmse": "the mean learned", "r2": "the mean learned"}
    text = card_text(dataclasses.replace(FACTS, metrics=metrics, measured_against=against))
    assert "| rmse | 2 | 1.5 to 2.4 | 4 (the mean learned) |" in text
    assert "| r2 | 0.75 |  | the mean learned |" in text
