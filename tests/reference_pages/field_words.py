"""What a field takes, and its default, in words: from its JSON Schema and its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from reference_pages.pipeline_examples import one_line

_WORDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "`true`, `false`",
}
_BOUNDS = {
    "minimum": "from {:,}",
    "exclusiveMinimum": "above {:,}",
    "maximum": "up to {:,}",
    "exclusiveMaximum": "below {:,}",
}
_DEFINITIONS = "#/$defs/"


def words_of(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """What a node of the schema takes; a mapping that is a model is `a mapping<Model>`."""
    if "$comment" in node:
        return str(node["$comment"])
    if "$ref" in node:
        return _of_reference(node["$ref"].removeprefix(_DEFINITIONS), schema)
    if "anyOf" in node:
        arms = [words_of(arm, schema) for arm in node["anyOf"]]
        return " or ".join(dict.fromkeys(arm for arm in arms if arm))
    if "enum" in node:
        return ", ".join(f"`{one}`" for one in node["enum"] if one is not None)
    if "const" in node:
        return f"`{node['const']}`"
    kind = str(node.get("type"))
    if kind == "array":
        return _of_list(node, schema)
    if kind == "object":
        values = node.get("additionalProperties", True)
        inner = words_of(values, schema) if isinstance(values, dict) else ""
        return f"a mapping of names to {inner}" if inner else "a mapping"
    return _WORDS.get(kind, "") + _bounds(node)


def _of_reference(target: str, schema: Mapping[str, Any]) -> str:
    if target == "variable":
        return ""
    if "/" in target:
        inside, _, field = target.partition("/properties/")
        return words_of(schema["$defs"][inside]["properties"][field], schema)
    return f"a mapping<{target}>"


def _of_list(node: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    first = node.get("prefixItems", [node.get("items", {})])
    inner = words_of(first[0], schema) if first[0] else ""
    least, most = node.get("minItems", 0), node.get("maxItems")
    count = f" of {least} or more" if least > 1 else ""
    count = f" of {least}" if least and least == most else count
    return f"a list{count}: {inner}" if inner else f"a list{count}"


def _bounds(node: Mapping[str, Any]) -> str:
    said = [f" {words.format(node[name])}" for name, words in _BOUNDS.items() if name in node]
    return "".join(said)


def default_of(field: Any) -> str:
    """The default of a field as YAML has it."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    if value is None or value in ("", (), {}):
        return "none"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**20:
        return f"`{value // 2**20}MiB`"
    plain = list(value) if isinstance(value, tuple) else value
    return f"`{one_line({'x': plain}).removeprefix('x: ')}`"
