"""`${NAME}` and `${NAME:-default}`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config.loader import load_pipeline
from batchinfer.config.substitution import FromVariable, substitute

from .conftest import GOOD


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "a"),
        ("${A}/${A}-${MISSING:-b}", "a/a-b"),
        ("${MISSING:-}", ""),
        ("${EMPTY:-b}", "b"),
        ("${EMPTY}", ""),
        ("$${A}", "${A}"),
        ("$$", "$"),
        ("^x$", "^x$"),
        ("$1 $A", "$1 $A"),
        ("${MISSING:-s3a://b/c}", "s3a://b/c"),
    ],
)
def test_references(text: str, filled: str) -> None:
    assert substitute({"x": [text]}, {"A": "a", "EMPTY": ""}) == ({"x": [filled]}, [])


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:-${B}}", "${A-b}"])
def test_references_that_are_misspelt(text: str) -> None:
    value, problems = substitute([text], {"A": "a", "B": "b"})
    assert value == [text]
    assert problems[0].path == (0,)
    assert "allowed: ${NAME} or ${NAME:-default}" in problems[0].message


def test_every_unset_variable_is_told(project: Path, problems: Callable[..., list[str]]) -> None:
    found = problems(
        GOOD.replace("data/*.csv", "${NO_A}/${NO_B}/${NO_A}").replace(
            "uri: models:/good@champion", "uri: ${NO_C}"
        )
    )
    assert [line.split(";")[0] for line in found] == [
        "4:3 (source.path): variable NO_A is not set",
        "4:3 (source.path): variable NO_B is not set",
        "14:3 (model.uri): variable NO_C is not set",
    ], "and what follows from them is not told again"


def test_what_follows_from_an_unset_variable_is_not_told_by_checks_either(
    problems: Callable[..., list[str]],
) -> None:
    found = problems(GOOD.replace("key: id", "key: ['${NO_KEY}']"))
    assert [line.split(";")[0] for line in found] == [
        "7:9 (source.key[0]): variable NO_KEY is not set"
    ]


def test_names_of_secrets_are_left_alone() -> None:
    document = {"load": [{"url_env": "${A}"}], "x_env": ["${A}"]}
    assert substitute(document, {"A": "secret"}) == (document, [])


def test_whole_variables_become_numbers_only_where_numbers_belong(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("N", "512")
    monkeypatch.setenv("NO", "false")
    monkeypatch.setenv("RATE", "1e-3")
    file = project / "conf" / "pipelines" / "good.yaml"
    text = GOOD.replace(
        "model:",
        'checks: {max_quarantine_rate: "${RATE}"}\ndescription: ${N}\nmodel:\n  batch: {rows: '
        '"${N}", max_bytes: "${N}"}',
    )
    file.write_text(text.replace("header: true", 'header: "${NO}"'))
    pipeline = load_pipeline("good").pipeline
    assert (pipeline.description, pipeline.model.batch.rows, pipeline.model.batch.max_bytes) == (
        "512",
        512,
        512,
    )
    assert pipeline.source.options.model_dump()["header"] is False
    assert pipeline.checks.max_quarantine_rate == 0.001


def test_text_of_a_variable_can_be_told_from_text_of_the_file() -> None:
    value, _ = substitute(["${A}", "x${A}", "5"], {"A": "5"})
    assert [isinstance(item, FromVariable) for item in value] == [True, False, False]


@given(st.text(alphabet="$", max_size=9), st.text(max_size=20))
def test_doubling_every_dollar_gives_the_text_back(dollars: str, text: str) -> None:
    wanted = dollars + text
    assert substitute([wanted.replace("$", "$$")], {}) == ([wanted], [])
