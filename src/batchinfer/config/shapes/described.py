"""What the fields of a model mean, in the words of its docstring, for JSON Schema and the page of
fields.

Owns how `Attributes:` of a docstring is read. Knows no model.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, GetJsonSchemaHandler, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core.core_schema import CoreSchema

_SECTION = re.compile(r"^(?:Class attributes|Attributes|Source):", re.MULTILINE)
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:^ +.*\n?|^\n)*)", re.MULTILINE)
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", re.MULTILINE)


def json_schema(allowed: str, *kinds: dict[str, Any]) -> WithJsonSchema:
    """What a type is in JSON Schema: one of these kinds, and in words what it takes."""
    one = kinds[0] if len(kinds) == 1 else {"anyOf": list(kinds)}
    return WithJsonSchema({"$comment": allowed, **one})


TEXT: dict[str, Any] = {"type": "string"}
WHOLE_FROM_1: dict[str, Any] = {"type": "integer", "minimum": 1}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT, "minItems": 1}


def one_or_more(words: str, kind: dict[str, Any], least: int = 1) -> WithJsonSchema:
    """The JSON Schema of one value, or a list of at least so many."""
    return json_schema(words, kind, {"type": "array", "items": kind, "minItems": least})


class Described(BaseModel):
    """A model whose JSON Schema says what its docstring says."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        reference = handler(core_schema)
        schema = handler.resolve_ref_schema(reference)
        schema["description"] = summary_of(cls)
        told = field_descriptions(cls)
        for name, field in schema.get("properties", {}).items():
            field.pop("title", None)
            if name in told:
                field["description"] = told[name]
        for name, field in cls.model_fields.items():
            shown = schema["properties"][field.alias or name]
            _add_bounds(shown, dict(_bounds(field.annotation, field.metadata)))
        return reference


def _bounds(annotation: Any, metadata: Iterable[Any]) -> Iterator[tuple[str, float]]:
    """The bounds of a number. Pydantic tells them to JSON Schema only where nothing is looked at
    before the number.
    """
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from _bounds(None, one.metadata)
        for name, word in _BOUNDS.items():
            if getattr(one, name, None) is not None:
                yield word, getattr(one, name)
    if annotation is not None and get_origin(annotation) in (Union, UnionType):
        for arm in get_args(annotation):
            if get_origin(arm) is Annotated:
                yield from _bounds(None, get_args(arm)[1:])


def _add_bounds(schema: dict[str, Any], bounds: dict[str, float]) -> None:
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") in ("integer", "number"):
            one.update({name: bound for name, bound in bounds.items() if name not in one})


def field_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """The description of each field that has one, by its name in the file: that of the nearest
    class that describes it.
    """
    told: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        section = _ATTRIBUTES.search(inspect.cleandoc(parent.__dict__.get("__doc__") or "") + "\n")
        for name, text in _ATTRIBUTE.findall(section[1]) if section else ():
            told[name] = " ".join(text.split())
    names = {field.alias or name for name, field in model.model_fields.items()}
    own = {
        field.alias or name: field.description
        for name, field in model.model_fields.items()
        if field.description
    }
    return {name: text for name, text in told.items() if name in names} | own


def summary_of(model: type[BaseModel]) -> str:
    """The docstring of a model up to the first of its sections."""
    text = inspect.cleandoc(model.__dict__.get("__doc__") or "")
    return _SECTION.split(text, maxsplit=1)[0].strip()


def options_beside(source: dict[str, Any], options: dict[str, Any]) -> None:
    """Lets what may stand in `options` of a kind of source stand beside `kind`, too.

    Args:
        source: JSON Schema of the kind of source, which is changed.
        options: that of its options, which is changed: they need to have nothing, because what they
            need may stand beside them.
    """
    needed = options.pop("required", [])
    source["properties"] |= {
        name: field
        for name, field in options.get("properties", {}).items()
        if name not in source["properties"]
    }
    if needed:
        source["required"] = [name for name in source["required"] if name != "options"]
        source["allOf"] = [
            {
                "anyOf": [
                    {"required": [name]},
                    {"required": ["options"], "properties": {"options": {"required": [name]}}},
                ]
            }
            for name in needed
        ]
