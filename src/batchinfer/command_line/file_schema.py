"""JSON Schema (draft 2020-12) of a pipeline file, for editors.

Owns how the models of the file and the steps become one schema. What a field means and takes stands
on the models. A file that loads is valid by it; what needs other fields, other files or the columns
of the source is left to the loader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from batchinfer.config.pipeline import Pipeline

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = {
    "description": "a reference to an environment variable, ${NAME} or ${NAME:-default}",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_]",
}
_VARIABLE = {"$ref": "#/$defs/variable"}
_SCALARS = ("integer", "number", "boolean")


def step_sections() -> dict[str, Mapping[str, type[BaseModel]]]:
    """The sections of a pipeline file that are lists of steps, each with its steps by name.

    Runs on: driver.
    """
    from batchinfer import transforms
    from batchinfer.prepare.parse_prepare import STEPS

    return {
        "prepare": STEPS,
        "features": transforms.STEPS,
        "postprocess": transforms.AFTER_STEPS,
    }


def pipeline_schema() -> dict[str, Any]:
    """The schema as JSON has it.

    Runs on: driver.
    """
    sections = step_sections()
    models = [Pipeline, *(step for steps in sections.values() for step in steps.values())]
    names, whole = models_json_schema([(model, "validation") for model in models])
    definitions: dict[str, Any] = whole["$defs"]
    file = definitions.pop(Pipeline.__name__)
    for section, steps in sections.items():
        file["properties"][section]["items"] = {
            "type": "object",
            "properties": {
                name: {**names[step, "validation"], "description": _first_line(definitions, step)}
                for name, step in steps.items()
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
    file["properties"]["source"] = _by_kind(file["properties"]["source"], definitions)
    for definition in (file, *definitions.values()):
        _plain(definition)
    for definition in definitions.values():
        _point_to_options(definition, definitions)
    definitions["variable"] = _REFERENCE
    return {
        "$schema": DIALECT,
        "title": "A pipeline file of batchinfer",
        **{key: value for key, value in file.items() if key != "title"},
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as the text of a file."""
    return json.dumps(pipeline_schema(), indent=1, ensure_ascii=False) + "\n"


def _first_line(definitions: Mapping[str, Any], step: type[BaseModel]) -> str:
    return str(definitions[step.__name__]["description"]).split("\n\n")[0].replace("\n", " ")


def _by_kind(source: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The source, each kind with its own fields: editors then tell what is wrong with that kind
    only.
    """
    kinds = {
        definitions[one["$ref"].rpartition("/")[2]]["properties"]["kind"]["const"]: one
        for one in source["oneOf"]
    }
    return {
        "description": source["description"],
        "type": "object",
        "properties": {"kind": {"enum": list(kinds)}},
        "required": ["kind"],
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": one}
            for kind, one in kinds.items()
        ],
    }


def _point_to_options(definition: dict[str, Any], definitions: Mapping[str, Any]) -> None:
    """What may stand in `options` and beside them is said once."""
    place = definition.get("properties", {}).get("options", {}).get("$ref")
    if place is None:
        return
    inside = definitions[place.rpartition("/")[2]].get("properties", {})
    for name, field in definition["properties"].items():
        if name in inside and inside[name] == field:
            definition["properties"][name] = {"$ref": f"{place}/properties/{name}"}


def _plain(definition: dict[str, Any]) -> None:
    """Takes away titles and defaults that say nothing, and lets fields refer to a variable."""
    definition.pop("title", None)
    for name, field in definition.get("properties", {}).items():
        field.pop("title", None)
        if "$ref" in field or field.get("default", 0) in (None, ""):
            field.pop("default", None)
        # What ends so holds the name of a variable, and is never filled in.
        if not name.endswith("_env"):
            definition["properties"][name] = _referring(field)


def _referring(field: dict[str, Any]) -> dict[str, Any]:
    """The field, which may say `${NAME}` where it does not take every text."""
    if "properties" in field or field.get("type") == "object" or "const" in field:
        return field
    if field.get("type") == "array":
        return {**field, "items": _referring(field["items"])} if "items" in field else field
    around = {key: field[key] for key in ("description", "default", "$comment") if key in field}
    bare = {key: value for key, value in field.items() if key not in around}
    arms = [_referring(arm) for arm in bare["anyOf"]] if set(bare) == {"anyOf"} else [bare]
    flat = [part for arm in arms for part in (arm["anyOf"] if set(arm) == {"anyOf"} else [arm])]
    if any(_is_limited(arm) for arm in flat) and {"type": "string"} not in flat:
        flat = [*(arm for arm in flat if arm != _VARIABLE), _VARIABLE]
    return {**around, **(flat[0] if len(flat) == 1 else {"anyOf": flat})}


def _is_limited(arm: Mapping[str, Any]) -> bool:
    """Whether it is a value that text can stand for, but not every text."""
    kinds = arm.get("type")
    return "enum" in arm or "const" in arm or "pattern" in arm or kinds in _SCALARS
