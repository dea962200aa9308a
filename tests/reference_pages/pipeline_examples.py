"""Example pipeline files that use every field, and the value that each field has in them.

Every value comes from a file that the real loader loads, with the checks of every command.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from batchinfer.command_line.file_schema import step_sections
from batchinfer.config.document import read_document
from batchinfer.config.loader import load_pipeline
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.rules import keep_own_secrets
from batchinfer.pipeline.definition.feature_steps import check_document_steps

FILES = Path(__file__).parent / "pipelines"
Field = tuple[type[BaseModel], str]


def load_example(file: Path) -> None:
    """Loads a file as every command does."""
    load_pipeline(file, document_checks=[keep_own_secrets, check_document_steps])


def as_editors_read(file: Path) -> Any:
    """The document as YAML 1.2 has it: `on` is a word, and a date is text."""
    return _plain(read_document(file.read_text(encoding="utf-8"), file.name).value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {"on" if key is True else key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date) else value


@cache
def example_values() -> dict[Field, str]:
    """The shortest example of each field, as YAML of one line."""
    found: dict[Field, str] = {}
    for file in sorted(FILES.glob("*.yaml")):
        for field, name, value in _values(Pipeline, as_editors_read(file)):
            text = one_line({name: value})
            if field not in found or len(text) < len(found[field]):
                found[field] = text
    return found


def one_line(value: Any) -> str:
    """A mapping as YAML of one line, without its braces."""
    text = yaml.safe_dump(value, default_flow_style=True, width=100_000, sort_keys=False)
    return text.strip()[1:-1].replace("'on': ", "on: ")


def _values(model: type[BaseModel], document: Any) -> Iterator[tuple[Field, str, Any]]:
    """(field, name, value) of everything that a document says, steps too."""
    for name, value in document.items():
        owner = _owner(model, name)
        yield (owner, name), name, value
        if model is Pipeline and name in step_sections():
            for item in value:
                ((step, parameters),) = item.items()
                yield from _values(step_sections()[name][step], parameters)
        else:
            annotation = fields_of(owner)[name].annotation
            for part in value if isinstance(value, list) else [value]:
                yield from _inside(annotation, part)


def _inside(annotation: Any, value: Any) -> Iterator[tuple[Field, str, Any]]:
    if not isinstance(value, dict):
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if "kind" not in value or kind_of(annotation, value["kind"]):
            yield from _values(annotation, value)
    elif get_origin(annotation) is dict:
        for item in value.values():
            yield from _inside(get_args(annotation)[1], item)
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _inside(part, value)


def kind_of(model: type[BaseModel], kind: str) -> bool:
    """Whether the model is for this `kind`."""
    field = model.model_fields.get("kind")
    return field is not None and kind in get_args(field.annotation)


def _owner(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The model that has the field: options may stand beside `kind`."""
    fields = fields_of(model)
    return model if name in fields else models_in(fields["options"].annotation)[0]


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """Fields by their names in a file."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that a field may hold, in the order in which they are written."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is Literal:
        return []
    return [model for part in get_args(annotation) for model in models_in(part)]
