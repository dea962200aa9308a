"""`after:` of a pipeline file: the pipelines whose predictions this one waits for.

Owns which names may stand there, and the order that they give. Reads the project's pipeline files
as they are written; loads none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from batchinfer.config.document import read_document
from batchinfer.config.places import each_name
from batchinfer.config.project import pipeline_file, pipeline_files, project_of
from batchinfer.config.suggestions import among
from batchinfer.contracts import Problem
from batchinfer.errors import ConfigError


def after_check(ref: str, start: Path | None = None) -> Callable[[dict[Any, Any]], list[Problem]]:
    """The check of a pipeline's document that its `after` names pipelines of the same project, and
    that no circle follows.

    Args:
        start: a folder in place of the working folder, to find the pipeline from.
    """

    def check_after(document: dict[Any, Any]) -> list[Problem]:
        file = pipeline_file(ref, start)
        files, problems = upstream_files(file), list[Problem]()
        own = next((name for name, each in files.items() if each == file), None)
        for path, name in each_name(("after",), document.get("after")):
            if name not in files:
                problems.append(Problem(path, f"no such pipeline: {among(name, files)}"))
            elif circle := _circle(name, files, () if own is None else (own,)):
                told = " comes after ".join(circle)
                problems.append(
                    Problem(path, f"got {name!r}, a circle: {told}; allowed: an order with a first")
                )
        return problems

    return check_after


def upstream_files(file: Path) -> dict[str, Path]:
    """The files of the pipelines that a pipeline file may name, by name: those of its project."""
    project = project_of(file.parent)
    return {each.stem: each for each in pipeline_files(project)}


def in_order(refs: Iterable[str]) -> list[str]:
    """The pipelines, each behind those that it comes after, else as they were given; each once."""
    order: dict[Path | str, str] = {}
    given: dict[Path | str, str] = {}
    for ref in refs:
        given.setdefault(_place(ref), ref)
    seen = set[Path | str]()

    def add(place: Path | str) -> None:
        if place in seen:
            return
        seen.add(place)
        if isinstance(place, Path):
            files = upstream_files(place)
            for name in _named(place):
                if name in files:
                    add(files[name])
        if place in given:
            order[place] = given[place]

    for place in given:
        add(place)
    return list(order.values())


def _place(ref: str) -> Path | str:
    try:
        return pipeline_file(ref)
    except ConfigError:
        # Its own night tells what is wrong.
        return ref


def _circle(name: str, files: dict[str, Path], path: Sequence[str]) -> tuple[str, ...]:
    """The names of a circle that begins and ends with the same one; nothing where there is none."""
    if name in path:
        return (*path[path.index(name) :], name)
    for following in _named(files[name]):
        if following in files and (found := _circle(following, files, (*path, name))):
            return found
    return ()


def _named(file: Path) -> list[str]:
    try:
        value = read_document(file.read_text(encoding="utf-8"), str(file)).value
    except (OSError, UnicodeDecodeError):
        return []
    after = value.get("after") if isinstance(value, dict) else None
    return [name for _, name in each_name(("after",), after)]
