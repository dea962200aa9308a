"""Turns what pydantic says of a document into our own sentences.

Owns the wording of wrong, missing and unknown fields. Knows the models only through their
annotations.
"""

from __future__ import annotations

import datetime
import math
import re
import types
from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from batchinfer.config.fields import NotAllowed
from batchinfer.config.places import Path, Places, Spot, dotted, mapping_at
from batchinfer.config.suggestions import among, did_you_mean, listed, shown
from batchinfer.contracts import Problem

Model = TypeVar("Model", bound=BaseModel)

_PRIVATE = re.compile(r"secret|password|passwd|token|credential|access.?key|_env\b", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# A number that means what it shows: no octal digits, sexagesimal ones or underscores.
_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "a list or mapping of at least {min_length}",
}


def validate(
    model: type[Model], document: Any, places: Places, known: Collection[Path] = ()
) -> tuple[Model | None, list[Problem]]:
    """The model of a document, or every problem that it has.

    Args:
        model: what the document should be.
        document: plain values.
        places: where they stand.
        known: paths whose values are known to be wrong already; what follows from that is not told
            again.

    Runs on: driver.
    """
    try:
        # Only the names of the contract: `schema`, not the `schema_` that Python needs.
        return model.model_validate(document, by_alias=True, by_name=False), []
    except ValidationError as error:
        found = [
            _as_written(_problem(item, model, document, places), places)
            for item in error.errors(include_url=False)
        ]
    return None, [problem for problem in found if not _follows(problem.path, known)]


def _as_written(problem: Problem, places: Places) -> Problem:
    """A problem of an option of the source at the place where the document has that option: in
    `options`, or beside `kind`.
    """
    path = problem.path
    if (
        path[:2] != ("source", "options")
        or len(path) < 3
        or places.has(path[:3])
        or not places.has(("source", path[2]))
    ):
        return problem
    return Problem(("source", *path[2:]), problem.message)


def _follows(path: Path, known: Collection[Path]) -> bool:
    """Whether a problem at a path tells of a value that is known to be wrong, or of what that value
    stands in.
    """
    return any(path == other or (path and other[: len(path)] == path) for other in known)


def _problem(item: Any, model: type[BaseModel], document: Any, places: Places) -> Problem:
    kind: str = item["type"]
    path, annotation, parent = _walk(model, item["loc"], document)
    value, context = item["input"], item.get("ctx", {})
    if kind == "missing":
        return Problem(path, "missing; this field is required")
    if kind in ("extra_forbidden", "invalid_key"):
        return Problem(path, _unknown_field(path[-1], parent))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_kind(path, value, annotation)
    if item["loc"] and item["loc"][-1] == "[key]" and kind == "string_type":
        return Problem(path, _key_got(value, places.spot(path)))
    got = _got(value, path, places.spot(path) if places.has(path) else None)
    if kind == "value_error":
        return Problem(path, _refused(context["error"], value, path, places, got))
    if kind == "literal_error":
        return Problem(
            path,
            f"{got}{_hint(value, _choices(annotation))}; allowed: {listed(_choices(annotation))}",
        )
    if kind in ("model_type", "model_attributes_type"):
        return Problem(
            path,
            f"{got}; allowed: a mapping with the fields {listed(_field_names(_bare(annotation)))}",
        )
    if kind in _BOUNDS:
        return Problem(path, f"{got}; allowed: {_BOUNDS[kind].format(**context)}")
    allowed = _KINDS.get(kind, "another value, as the documentation of this field says")
    return Problem(path, f"{got}; allowed: {allowed}{_quotes(value, allowed, places.spot(path))}")


def check_class_words(document: Any, places: Places) -> Iterator[Problem]:
    """Words of `train.target.positive` that YAML reads as another one than is written: `yes` as
    true, `010` as 8.

    Taken as they are read, they would name a class that nobody wrote.
    """
    path: Path = ("train", "target", "positive")
    named = mapping_at(document, *path[:-1]).get(path[-1])
    several = isinstance(named, (list, tuple))
    for place, value in enumerate(named) if several else [(None, named)]:
        at = path if place is None else (*path, place)
        written = places.spot(at).written if places.has(at) else None
        if written is None or not isinstance(value, (bool, int, float)):
            continue
        plain = (
            written.lower() == shown(value)
            if isinstance(value, bool)
            else _PLAIN.fullmatch(written) or not math.isfinite(value)
        )
        if not plain:
            got, allowed = _got(value, at, places.spot(at)), "text, a number, true or false"
            yield Problem(
                at, f"{got}; allowed: {allowed}{_quotes(value, allowed, places.spot(at))}"
            )


def is_private(path: str) -> bool:
    """Whether the value at a path is not shown: a secret may have been put there by mistake."""
    return _PRIVATE.search(path) is not None


def _refused(error: Exception, value: Any, path: Path, places: Places, got: str) -> str:
    if not isinstance(error, NotAllowed):
        return str(error)
    got = "got a text that is not shown" if error.secret else got
    return f"{got}; allowed: {error.allowed}{_quotes(value, error.allowed, places.spot(path))}"


def _got(value: Any, path: Path, spot: Spot | None) -> str:
    """`got …`, with what the file has where YAML reads something else in it."""
    if is_private(dotted(path)):
        return "got a value that is not shown"
    written = spot.written if spot else None
    if not written or isinstance(value, (dict, list, str)):
        return f"got {shown(value)}"
    plain = not isinstance(value, datetime.date) and written in (
        shown(value),
        str(value) if _is_short(value) else "",
    )
    return f"got {written}" if plain else f"got {written}, which YAML reads as {_reading(value)}"


def _key_got(key: Any, spot: Spot) -> str:
    written = spot.key or shown(key)
    reading = (
        f", which YAML reads as {_reading(key)}"
        if written != shown(key) or isinstance(key, datetime.date)
        else ""
    )
    return f'got the key {written}{reading}; allowed: text (in quotes: "{written}")'


def _is_short(value: Any) -> bool:
    # Very long whole numbers cannot be written out at all.
    return isinstance(value, (int, float)) and abs(value) < 1e15


def _reading(value: Any) -> str:
    if isinstance(value, datetime.date):
        return "a date"
    return (
        "nothing (null)"
        if value is None
        else f"the number {shown(value)}"
        if not isinstance(value, bool)
        else shown(value)
    )


def _quotes(value: Any, allowed: str, spot: Spot) -> str:
    """How to make text of a word that YAML reads as something else, and the other way round."""
    if "text" in allowed.split(",")[0] and isinstance(value, (bool, int, float, datetime.date)):
        return f' (as text it is written in quotes: "{spot.written or shown(value)}")'
    if (
        "number" in allowed
        and isinstance(value, str)
        and spot.written is None
        and _NUMBER.fullmatch(value)
    ):
        return " (written without quotes)"
    return ""


def _hint(value: Any, allowed: Collection[str]) -> str:
    return did_you_mean(value, allowed)


def _unknown_field(name: Any, parent: Any) -> str:
    names = _field_names(parent)
    written = name if isinstance(name, str) else shown(name)
    written = written if len(written) < 80 else shown(written)
    return f"unknown field {written}{did_you_mean(name, names)}; allowed: {listed(names)}"


def _wrong_kind(path: Path, value: Any, annotation: Any) -> Problem:
    kinds = [tag.strip("<>") for tag in _tagged(annotation)]
    if not isinstance(value, dict):
        return Problem(
            path,
            f"got {shown(value)}; allowed: a mapping with the field kind: {listed(kinds)}, and "
            "those of that kind",
        )
    if "kind" not in value:
        return Problem((*path, "kind"), f"missing; allowed: {listed(kinds)}")
    return Problem((*path, "kind"), among(value["kind"], kinds))


def _walk(model: Any, loc: tuple[int | str, ...], document: Any) -> tuple[Path, Any, Any]:
    """(path in the document, annotation there, annotation of what it stands in) of a place that
    pydantic names.
    """
    path: list[Any] = []
    value, annotation, parent = document, model, model
    for part in loc:
        if part in _tagged(annotation):
            annotation = _tagged(annotation)[str(part)]
        elif part == "[key]":
            break
        else:
            key = _key(value, part)
            path.append(key)
            value = (
                value.get(key)
                if isinstance(value, dict)
                else value[key]
                if isinstance(value, (list, tuple)) and _at(value, key)
                else None
            )
            parent, annotation = _bare(annotation), _child(annotation, part)
    return tuple(path), annotation, parent


def _at(values: Any, key: Any) -> bool:
    return isinstance(key, int) and key < len(values)


def _key(value: Any, part: int | str) -> Any:
    """The key that pydantic's text or number for it stands for."""
    if isinstance(value, dict):
        for key in value:
            if key == part or str(key) == part:
                return key
    return part


def _tagged(annotation: Any) -> dict[str, Any]:
    """Members of a tagged union by their tags."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) not in (Union, types.UnionType):
        return {}
    members = [
        get_args(member) for member in get_args(annotation) if get_origin(member) is Annotated
    ]
    return {
        mark.tag: member for member, *marks in members for mark in marks if isinstance(mark, Tag)
    }


def _bare(annotation: Any) -> Any:
    """An annotation without what pydantic adds to it, and without `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType) and not _tagged(annotation):
        members = [member for member in get_args(annotation) if member is not type(None)]
        return _bare(members[0]) if len(members) == 1 else annotation
    return annotation


def _child(annotation: Any, part: int | str) -> Any:
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if part == (field.alias or name):
                return field.annotation
    if get_origin(annotation) in (tuple, list):
        return get_args(annotation)[0]
    return get_args(annotation)[1] if get_origin(annotation) is dict else None


def _field_names(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [field.alias or name for name, field in annotation.model_fields.items()]
    return []


def _choices(annotation: Any) -> list[str]:
    return list(_strings(_bare(annotation)))


def _strings(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
