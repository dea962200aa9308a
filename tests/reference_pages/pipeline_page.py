"""The text of docs/pipeline-file.md: every field of a pipeline file, from the models themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from reference_pages.field_words import default_of, words_of
from reference_pages.pipeline_examples import example_values, fields_of, models_in

from batchinfer.command_line.file_schema import pipeline_schema, step_sections
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.shapes.described import field_descriptions, summary_of

FRAME = Path(__file__).parent / "pipeline_frame.md"
HEAD = "| field | takes | default | what it says | example |\n|---|---|---|---|---|"
STEP_HEAD = HEAD.replace("| field |", "| step | parameter |") + "---|"
# What several kinds of source share is written out once.
_BASES = {"_Source": "every kind", "FileSource": "every kind of file"}


@dataclass(frozen=True)
class FilePart:
    """Where a model stands in the file.

    Attributes:
        path: of keys, `source.options`; empty for the file itself.
        kind: of the source that it belongs to.
    """

    path: str
    kind: str = ""

    @property
    def heading(self) -> str:
        """The heading of the model's table."""
        if not self.path:
            return "The file"
        return f"`{self.path}` of {self.kind}" if self.kind else f"`{self.path}`"


def pipeline_page() -> str:
    """The text of the page."""
    sections = "\n\n".join(_sections(pipeline_schema()))
    return FRAME.read_text(encoding="utf-8").replace("SECTIONS\n", sections + "\n")


@cache
def described_models() -> dict[type[BaseModel], FilePart]:
    """Every model of the file but the steps, each where it stands first."""
    found: dict[type[BaseModel], FilePart] = {}
    for model, place in _walk(Pipeline, FilePart("")):
        found.setdefault(model, place)
    for section, steps in step_sections().items():
        for name, step in steps.items():
            for model, place in _below(step, FilePart(f"{section}.{name}")):
                found.setdefault(model, place)
    return found


def _walk(model: type[BaseModel], place: FilePart) -> Iterator[tuple[type[BaseModel], FilePart]]:
    if fields_of(model):
        yield model, place
        yield from _below(model, place)


def _below(model: type[BaseModel], place: FilePart) -> Iterator[tuple[type[BaseModel], FilePart]]:
    for name, field in fields_of(model).items():
        inside = models_in(field.annotation)
        for each in inside:
            kind = f"kind `{_kind(each)}`" if len(inside) > 1 else place.kind
            if any(name in fields_of(base) for base in _bases(model)):
                kind = ""
            yield from _walk(each, FilePart(f"{place.path}.{name}".strip("."), kind))


def _kind(model: type[BaseModel]) -> str:
    return str(get_args(fields_of(model)["kind"].annotation)[0])


def _sections(schema: Mapping[str, Any]) -> Iterator[str]:
    told = set[type]()
    for model, place in described_models().items():
        for base in reversed(_bases(model)):
            if base not in told:
                told.add(base)
                yield _section(FilePart("source", _BASES[base.__name__]), base, model, schema)
        yield _section(place, model, model, schema)
        if model is Pipeline:
            for section, steps in step_sections().items():
                yield _steps(section, steps, schema)


def _section(
    place: FilePart, model: type[BaseModel], example: type[BaseModel], schema: Mapping[str, Any]
) -> str:
    """The table of one model; of a model with a base that has its own table, what it adds."""
    level = "###" if "." in place.path or place.kind else "##"
    above = {name for base in _bases(model) for name in fields_of(base)}
    names = [name for name in fields_of(model) if name not in above - {*_own(model)}]
    lines = [_row(name, model, example, schema) for name in names]
    told = [_unwrapped(summary_of(model)), ""] if model is example else []
    return "\n".join([f"{level} {place.heading}", "", *told, HEAD, *lines])


def _own(model: type[BaseModel]) -> Iterator[str]:
    """Names of the fields that the class itself writes."""
    for name in model.__annotations__:
        if name in model.model_fields:
            yield model.model_fields[name].alias or name


def _bases(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [base for base in model.__mro__[1:] if base.__name__ in _BASES]


def _steps(section: str, steps: Mapping[str, type[BaseModel]], schema: Mapping[str, Any]) -> str:
    text = Path(__file__).parents[2].joinpath("docs/transforms.md").read_text(encoding="utf-8")
    heading = re.search(rf"^## (.*\(`{section}:?`\))$", text, re.MULTILINE)
    lines = [f"### Steps of `{section}`", "", STEP_HEAD]
    if heading:
        what = f"What each does: [transforms.md](transforms.md{_anchor(heading[1])})."
        lines[2:2] = [what, ""]
    for name, step in steps.items():
        for place, parameter in enumerate(fields_of(step)):
            row = _row(parameter, step, step, schema)
            lines.append(f"| {f'`{name}`' if place == 0 else ''} {row}")
    return "\n".join(lines)


def _row(
    name: str, model: type[BaseModel], example: type[BaseModel], schema: Mapping[str, Any]
) -> str:
    definition = schema if example is Pipeline else schema["$defs"][example.__name__]
    shown = example_values().get((example, name)) or _of_any_kind(name, model)
    cells = [
        f"`{name}`",
        _takes(definition["properties"][name], schema, name),
        default_of(fields_of(model)[name]),
        field_descriptions(model).get(name, ""),
        f"`{shown}`" if shown else "",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _of_any_kind(name: str, base: type[BaseModel]) -> str | None:
    """The shortest example that a field of a base has in any of its kinds."""
    examples = example_values().items()
    found = [text for (each, field), text in examples if field == name and issubclass(each, base)]
    return min(found, key=len, default=None)


def _takes(node: Mapping[str, Any], schema: Mapping[str, Any], name: str) -> str:
    """What a field takes, with links to the tables of what stands in it."""
    if name in step_sections() and "items" in node:
        return f"a list of [steps](#steps-of-{name})"
    if "allOf" in node:
        return f"a mapping, by `kind`: {_link('`source` of every kind')}"
    if "oneOf" in node.get("items", {}):
        kinds = [ref["$ref"].rpartition("/")[2] for ref in node["items"]["oneOf"]]
        of_kind = {model.__name__: place for model, place in described_models().items()}
        links = ", ".join(_link_of(of_kind[kind]) for kind in kinds)
        return f"a list of mappings, each by its `kind`: {links}"
    words = words_of(node, schema)
    for model, place in described_models().items():
        words = words.replace(f"<{model.__name__}>", f": {_link(place.heading)}")
    return re.sub(r"a mapping<\w+>", "nothing", words)


def _link_of(place: FilePart) -> str:
    return f"[{place.kind.removeprefix('kind ')}]({_anchor(place.heading)})"


def _link(heading: str) -> str:
    return f"[{heading}]({_anchor(heading)})"


def _anchor(heading: str) -> str:
    return "#" + re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")


def _unwrapped(text: str) -> str:
    """A docstring with its lines joined, paragraph by paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
