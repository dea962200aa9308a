"""Whether a pipeline's name and sink are its own: no place of the lake itself, none of another
pipeline of the project.

Owns how two places are held against each other, however they are spelled: by `..`, through links,
as a path or as a URI, in another case. Opens no table; looks at local folders only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from batchinfer.config.document import read_document
from batchinfer.config.environment import Environment
from batchinfer.config.places import mapping_at
from batchinfer.config.project import pipeline_files, relative
from batchinfer.config.substitution import substitute
from batchinfer.config.suggestions import shown
from batchinfer.config.uris import Uri, is_remote, join, local_path
from batchinfer.contracts import Problem

PREDICTIONS = "predictions"
LANDED, QUARANTINE, RUNS, LEASES = "landed", "quarantine", "runs", "_leases"
FALLBACKS = "fallbacks"
# First folders below the lake that are the engine's own.
_OWN = (LANDED, QUARANTINE, RUNS, LEASES, FALLBACKS, "_delta_log")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_SQLITE = "sqlite:///"
# The reader in C is ten times as fast, and ends the process on text nested very deeply.
_OPENING = re.compile(r"[\[{]|- |\? ")
_MOST_OPENINGS = 1_000

_SINK = ("sink", "table")


@dataclass(frozen=True)
class StatePlaces:
    """Where a pipeline file's places are.

    Attributes:
        environment: its places absolute.
        root: the project: relative paths of the file start there, and its `conf/pipelines` has the
            other pipelines.
        home: state folder.
        file: the pipeline file itself.
    """

    environment: Environment
    root: Path
    home: Path
    file: Path


@dataclass(frozen=True)
class _Declared:
    """What a pipeline file says of its own places.

    Attributes:
        table: as it is written; the default where nothing is.
        where: of the table, comparable.
        shared: the sink may be another pipeline's too.
        source: the section of that name.
    """

    name: str
    table: str
    where: Uri
    shared: bool
    source: Any


def default_sink(name: str) -> str:
    """The sink of a pipeline that names none."""
    return f"{PREDICTIONS}/{name}"


def check_own_places(document: Mapping[Any, Any], places: StatePlaces) -> list[Problem]:
    """Whether the pipeline's sink is a place of its own, and its name too.

    Args:
        document: a pipeline file's content, references filled in.

    Runs on: driver.
    """
    own = _declared(document, places.environment.lake)
    if own is None:
        return []
    problems = [
        *_of_the_engine(own, places),
        *_of_the_source(own, document, places),
        *_of_others(own, places),
    ]
    # One sentence says enough of a place that is wrong in several ways.
    return list({problem.path: problem for problem in reversed(problems)}.values())


def located(place: str) -> Uri | None:
    """A place, comparable with others: links followed, `..` taken away; None where it is neither
    local nor on a store.
    """
    if place.startswith("s3://"):
        place = f"s3a{place.removeprefix('s3')}"
    if is_remote(place):
        return Uri.parse(place)
    if _SCHEME.match(place) and not place.startswith("file:"):
        return None
    return Uri("file", "", os.path.realpath(local_path(place) or place))


def _declared(document: Mapping[Any, Any], lake: str) -> _Declared | None:
    """None where the document does not say it: that is told elsewhere."""
    name, sink = document.get("name"), mapping_at(document, "sink")
    if not isinstance(name, str):
        return None
    table = sink.get("table", default_sink(name))
    if not isinstance(table, str) or "\0" in table:
        return None
    where = located(join(lake, table))
    if where is None:
        return None
    return _Declared(name, table, where, sink.get("shared") is True, document.get("source"))


def _of_the_engine(own: _Declared, places: StatePlaces) -> Iterator[Problem]:
    environment, where = places.environment, own.where
    lake = located(environment.lake)
    if lake is None:
        return
    if lake.is_below(where):
        what = "the lake's own folder" if lake == where else f"a folder above the lake {lake.path}"
        yield _taken(own, what)
    elif where.is_below(lake):
        first, *rest = where.path[len(lake.path.rstrip("/")) + 1 :].casefold().split("/")
        if first in _OWN:
            yield _taken(own, f"{first}/ of the lake, which is the engine's own")
        elif first == PREDICTIONS and not rest:
            yield _taken(own, "the folder that the predictions tables of all pipelines lie in")
    registry = environment.registry
    others = {
        "staging": environment.staging,
        "artifacts": environment.artifacts,
        "reports": environment.reports,
        "registry": registry.removeprefix(_SQLITE) if registry.startswith(_SQLITE) else registry,
        "bundles": str(places.home / "bundles"),
        "shipped": str(places.home / "shipped"),
    }
    for what, place in others.items():
        other = located(place)
        if other is None:
            continue
        if where.is_below(other) and not lake.is_below(other):
            yield _taken(own, f"the environment's place for {what} ({place}), or below it")
        elif other.is_below(where):
            yield _taken(own, f"above the environment's place for {what} ({place})")
    if where.scheme == "file" and (table := _table_above(Path(where.path))):
        yield _taken(own, f"inside of the Delta table {table}")


def has_landed(lake: str, name: str) -> bool:
    """Whether a lake on this machine has a landed table of that name."""
    table = local_path(join(lake, LANDED, name))
    return table is not None and os.path.isdir(table / "_delta_log")


def _taken(own: _Declared, what: str) -> Problem:
    return Problem(
        _SINK,
        f"got {shown(own.table)}, which is {what}; allowed: a folder of its own, such as "
        f"{default_sink(own.name)}",
    )


def _table_above(folder: Path) -> Path | None:
    return next((above for above in folder.parents if os.path.isdir(above / "_delta_log")), None)


def _of_the_source(
    own: _Declared, document: Mapping[Any, Any], places: StatePlaces
) -> Iterator[Problem]:
    """A Delta table that is read in place is no sink."""
    source = mapping_at(document, "source")
    if source.get("kind") != "delta":
        return
    path, table = source.get("path"), source.get("table")
    read = [join(places.environment.lake, table)] if isinstance(table, str) else []
    read += [join(str(places.root), path)] if isinstance(path, str) else []
    for place in read:
        other = None if "\0" in place else located(place)
        if other is not None and (other.is_below(own.where) or own.where.is_below(other)):
            yield _taken(own, "the table that the pipeline reads, or one inside of the other")


def _of_others(own: _Declared, places: StatePlaces) -> Iterator[Problem]:
    files = pipeline_files(places.root)
    is_one_of_them = any(_is_same(file, places.file) for file in files)
    for file in files:
        if _is_same(file, places.file):
            continue
        document = _quickly_read(file)
        other = _declared(document, places.environment.lake) if document else None
        if other is None:
            continue
        if other.name == own.name or _same_but_for_case(other.name, own.name, places):
            # Another file of the same source is the same pipeline with other steps, tried out.
            if is_one_of_them and other.source != own.source:
                yield Problem(
                    ("name",),
                    f"got {own.name}, which is the name of the pipeline in {relative(file)} too, "
                    "with another source; allowed: a name of its own, since landed rows, "
                    "quarantine and leases go by it",
                )
            continue
        yield from _held_against(own, other, file, places)


def _held_against(
    own: _Declared, other: _Declared, file: Path, places: StatePlaces
) -> Iterator[Problem]:
    whose = f"the sink of pipeline {other.name} ({relative(file)})"
    mine, theirs = own.where, other.where
    if _same_but_for_case(mine.path, theirs.path, places) and mine.store == theirs.store:
        theirs = mine
    if mine == theirs:
        if not (own.shared and other.shared):
            yield Problem(
                _SINK,
                f"got {shown(own.table)}, which is {whose} too; allowed: a table of its own, such "
                f"as {default_sink(own.name)}, or shared: true in the sink of both, and each slice "
                "from one of them",
            )
    elif mine.is_below(theirs):
        yield _taken(own, f"inside of {whose}")
    elif theirs.is_below(mine):
        yield _taken(own, f"a folder above {whose}")


def _is_same(file: Path, other: Path) -> bool:
    return os.path.realpath(file) == os.path.realpath(other)


def _same_but_for_case(text: str, other: str, places: StatePlaces) -> bool:
    """Whether two names differ in case only, where the lake's file system tells no case apart."""
    if text == other or text.casefold() != other.casefold():
        return False
    lake = local_path(places.environment.lake)
    folder = next((one for one in (lake, *lake.parents) if one.exists()), None) if lake else None
    if folder is None or folder.name.swapcase() == folder.name:
        return False
    swapped = folder.with_name(folder.name.swapcase())
    return swapped.exists() and os.path.samefile(folder, swapped)


def _quickly_read(file: Path) -> dict[Any, Any] | None:
    """Another pipeline's file; None where it cannot be read, and so cannot be run either."""
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError):
        return None
    if len(_OPENING.findall(text)) > _MOST_OPENINGS:
        value = read_document(text, "", positions=False).value
    else:
        try:
            value = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
        except (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError):
            return None
    if not isinstance(value, dict):
        return None
    wanted = {key: value[key] for key in ("name", "sink") if key in value}
    filled, unset = substitute(wanted, os.environ)
    source, _ = substitute(value.get("source"), os.environ)
    return None if unset else {**filled, "source": source}
