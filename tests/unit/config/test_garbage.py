"""Whatever stands in a file, loading it ends in a pipeline or in a ConfigError."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchinfer.config.loader import load_pipeline
from batchinfer.config.pipeline import Pipeline
from batchinfer.errors import ConfigError

from .conftest import GOOD

_WORDS = st.sampled_from(
    [
        "name",
        "source",
        "kind",
        "path",
        "schema",
        "key",
        "slice",
        "options",
        "features",
        "train",
        "target",
        "column",
        "positive",
        "positive_pattern",
        "model",
        "uri",
        "batch",
        "rows",
        "variants",
        "checks",
        "sink",
        "table",
        "load",
        "csv",
        "text_log",
        "redis",
        "ingest_date",
        "pattern",
        "format",
        "timestamp",
        "unit",
        "day",
        "${X}",
        "${",
        "$$",
        "url_env",
        "64MiB",
        "run_id",
        "-1e400",
        "0x_",
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    _WORDS,
    st.dates(),
    st.binary(max_size=3),
)
_KEYS = st.one_of(_WORDS, _WORDS, _SCALARS)
_ANYTHING = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_LEAKS = ("Input should", "not permitted", "Field required", "valid dictionary", "validation error")
_SETTINGS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(ref: str, **arguments: Any) -> None:
    try:
        assert isinstance(load_pipeline(ref, **arguments).pipeline, Pipeline)
    except ConfigError as error:
        assert error.problems
        assert all(error.problems)
        # What was given is shown, and may be such words: hypothesis takes constants of the code.
        assert not any(leak in str(error) for leak in _LEAKS if leak not in f"{ref} {arguments}")


@pytest.fixture
def file(project: Path) -> Path:
    return project / "conf" / "pipelines" / "garbage.yaml"


@_SETTINGS
@given(st.dictionaries(_KEYS, _ANYTHING, max_size=6))
def test_any_mapping(file: Path, document: dict[Any, Any]) -> None:
    file.write_text(yaml.dump(document, allow_unicode=True), encoding="utf-8")
    outcome("garbage")


@_SETTINGS
@given(st.data())
def test_a_good_file_with_one_part_replaced(file: Path, data: st.DataObject) -> None:
    document = yaml.safe_load(GOOD)
    part: Any = document
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [
            value
            for value in (part.values() if isinstance(part, dict) else part)
            if isinstance(value, (dict, list)) and value
        ]
        part = data.draw(st.sampled_from(inner)) if inner else part
    place = data.draw(
        st.sampled_from(list(part) if isinstance(part, dict) else list(range(len(part))))
    )
    part[place] = data.draw(_ANYTHING)
    file.write_text(yaml.dump(document, allow_unicode=True), encoding="utf-8")
    outcome("garbage")


@_SETTINGS
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet="ab:-[]{}&*!|>'\"#%@`,? \n\t0x_$", max_size=60).map(str.encode),
    )
)
def test_any_bytes(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    outcome("garbage")


@_SETTINGS
@given(
    st.dictionaries(
        st.one_of(st.text(max_size=8), st.lists(_WORDS, min_size=1, max_size=4).map(".".join)),
        _ANYTHING,
        max_size=4,
    )
)
def test_any_overrides_in_python(project: Path, overrides: dict[str, Any]) -> None:
    outcome("good", overrides=overrides)


@_SETTINGS
@given(
    st.lists(
        st.one_of(
            st.text(max_size=12),
            st.tuples(
                st.lists(_WORDS, min_size=1, max_size=4).map(".".join), st.text(max_size=9)
            ).map("=".join),
        ),
        max_size=3,
    )
)
def test_any_overrides_on_the_command_line(project: Path, overrides: list[str]) -> None:
    outcome("good", overrides=overrides)


@_SETTINGS
@given(st.text(max_size=20), st.text(max_size=20))
def test_any_name(project: Path, ref: str, environment: str) -> None:
    outcome(ref, environment_name=environment)
    assert os.getcwd() == str(project)
