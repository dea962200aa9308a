"""Every field of a pipeline file is described, and has an example that the real loader loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from reference_pages.pipeline_examples import (
    FILES,
    example_values,
    fields_of,
    load_example,
    models_in,
)
from reference_pages.pipeline_page import described_models, pipeline_page

from batchinfer.command_line.file_schema import step_sections
from batchinfer.config.pipeline import Pipeline, Variant
from batchinfer.config.shapes.described import field_descriptions
from batchinfer.errors import ConfigError

# The loader refuses every file that has one.
REFUSED = {Variant}


def all_fields() -> list[tuple[type[BaseModel], str]]:
    steps = [step for section in step_sections().values() for step in section.values()]
    return [(model, name) for model in (*described_models(), *steps) for name in fields_of(model)]


def test_every_field_is_described() -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model, name in all_fields()
        if name not in field_descriptions(model)
    ]
    assert bare == [], "give each a line under `Attributes:` in the docstring of its model"


def test_every_field_has_an_example() -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model, name in all_fields()
        if model not in REFUSED
        and (model, name) not in example_values()
        and not _takes_nothing(model, name)
        and not _is_shown_elsewhere(model, name)
    ]
    assert bare == [], f"write each into a file of {FILES}"


def _takes_nothing(model: type[BaseModel], name: str) -> bool:
    inside = models_in(fields_of(model)[name].annotation)
    return bool(inside) and not any(fields_of(each) for each in inside)


def _is_shown_elsewhere(model: type[BaseModel], name: str) -> bool:
    """Whether a field that kinds of source share has an example in another kind."""
    shared = [base for base in model.__mro__[1:] if name in getattr(base, "model_fields", {})]
    return (
        any(field == name and issubclass(other, shared[-1]) for other, field in example_values())
        if shared
        else False
    )


@pytest.mark.parametrize("file", sorted(FILES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_example_loads(file: Path) -> None:
    load_example(file)


def test_what_has_no_example_is_refused(tmp_path: Path) -> None:
    text = (FILES / "delta.yaml").read_text()
    file = tmp_path / "shadow.yaml"
    file.write_text(text + "model: {variants: [{name: other, uri: models:/other@champion}]}\n")
    with pytest.raises(ConfigError, match="no variants"):
        load_example(file)


def test_every_field_stands_on_the_page() -> None:
    page = pipeline_page()
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for _, name in all_fields():
        assert any(f"| `{name}` | " in row for row in rows), name


def test_every_list_of_steps_is_known_as_one() -> None:
    lists = {
        name
        for name, field in fields_of(Pipeline).items()
        if get_args(field.annotation) == (dict[str, Any], ...)
    }
    assert lists == step_sections().keys()
