"""Loads pipeline and environment files, and tells everything that is wrong with them at once.

Owns the order of things: read, override, fill in variables, check types, check rules. What a
feature step does is not known here: whoever knows it hands in a check of the document.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchinfer.config.document import Document, read_document
from batchinfer.config.environment import Environment
from batchinfer.config.overrides import Overrides, apply_overrides
from batchinfer.config.pipeline import Pipeline
from batchinfer.config.places import Places, Spot, merge
from batchinfer.config.project import (
    State,
    environment_layers,
    find_project,
    former_homes,
    pipeline_file,
    project_of,
    relative,
    state_home,
)
from batchinfer.config.rules import check_rules
from batchinfer.config.sink_places import StatePlaces, check_own_places, has_landed
from batchinfer.config.substitution import substitute
from batchinfer.config.suggestions import did_you_mean, listed, shown
from batchinfer.config.wording import check_class_words, validate
from batchinfer.contracts import Problem
from batchinfer.errors import ConfigError

__all__ = ["Loaded", "find_project", "load_environment", "load_pipeline", "load_state"]

DocumentCheck = Callable[[dict[Any, Any]], list[Problem]]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_PLACES = ("lake", "artifacts", "staging", "reports")
_SQLITE = "sqlite:///"
# MLflow's own words for a registry that needs no address.
_REGISTRY_WORDS = ("databricks", "databricks-uc", "uc")


@dataclass(frozen=True)
class Loaded:
    """A pipeline that can be run, and where it runs.

    Attributes:
        pipeline: the file, checked.
        environment: places are absolute paths or URIs.
        root: folder that relative paths of the pipeline file start at.
        home: state folder.
        file: the pipeline file.
        places: where each part of the file stands.
        warnings: sentences about state of the pipeline that lies elsewhere.
        environment_name: the file of `conf/environments`.
    """

    pipeline: Pipeline
    environment: Environment
    root: Path
    home: Path
    file: Path
    places: Places
    warnings: tuple[str, ...] = ()
    environment_name: str = "local"

    @property
    def state(self) -> State:
        """Where the pipeline's state is."""
        return State(self.home, self.environment.lake, self.environment.registry)


def load_pipeline(
    ref: str | Path,
    overrides: Overrides = (),
    environment_name: str = "local",
    document_checks: Sequence[DocumentCheck] = (),
    start: Path | None = None,
) -> Loaded:
    """Loads a pipeline by its name or the path of its file. Its state lies beside the file's
    project.

    Args:
        ref: a name of `conf/pipelines`, or the path of a file (it ends in .yaml or .yml, or holds a
            /).
        overrides: texts such as `model.batch.rows=512`, or a mapping of such paths to values.
        environment_name: a file of `conf/environments`.
        document_checks: further checks; each gets the document, variables filled in, whatever else
            is wrong with it.
        start: a folder in place of the working folder, to find the pipeline from.

    Runs on: driver.

    Raises:
        ConfigError: every problem of the pipeline file, the overrides and the environment files.
    """
    file = pipeline_file(ref, start)
    root = project_of(file.parent)
    home = state_home(root)
    environment, sentences, cause = *_read_environment(environment_name, root), None
    read = _read_file(file, 0)
    places, problems = read.places, list(read.problems)
    pipeline = None
    if isinstance(read.value, dict):
        sentences = [*apply_overrides(read.value, places.root, overrides), *sentences]
    if read.readable:
        filled, unset = substitute(read.value, os.environ)
        known = read.lost | {problem.path for problem in unset}
        pipeline, wrong = validate(Pipeline, filled, places, known)
        wrong += check_class_words(filled, places)
        more, cause = _run_checks(filled, root, document_checks)
        if environment is not None and isinstance(filled, dict):
            absolute = resolve_places(environment, home)
            more += check_own_places(filled, StatePlaces(absolute, root, home, file))
        problems += [*unset, *wrong, *(problem for problem in more if problem.path not in known)]
    sentences = [*places.sentences(problems), *sentences]
    if sentences or pipeline is None or environment is None:
        raise ConfigError(list(dict.fromkeys(sentences))) from cause
    warnings = _elsewhere(pipeline.name, environment, file, home)
    absolute = resolve_places(environment, home)
    return Loaded(pipeline, absolute, root, home, file, places, warnings, environment_name)


def _elsewhere(name: str, environment: Environment, file: Path, home: Path) -> tuple[str, ...]:
    """Warnings where nothing of the pipeline has landed here, but has where earlier builds would
    have looked.
    """
    lakes = {each: _resolve(environment.lake, each) for each in former_homes(file, name, home)}
    if not lakes or has_landed(_resolve(environment.lake, home), name):
        return ()
    return tuple(
        f"state of a pipeline {name} lies in {former}, where earlier builds kept it, and {home}, "
        f"where this one looks, has none: to go on with it, export BATCHINFER_HOME={former}; to "
        "begin anew, extract and train"
        for former, lake in lakes.items()
        if has_landed(lake, name)
    )


def _run_checks(
    document: Any, root: Path, checks: Sequence[DocumentCheck]
) -> tuple[list[Problem], Exception | None]:
    """Problems that the rules and the given checks find, and the error of a check that could not do
    its work.
    """
    if not isinstance(document, dict):
        return [], None
    problems, cause = check_rules(document, root), None
    for check in checks:
        try:
            problems += check(document)
        except Exception as error:  # noqa: BLE001 - a check that fails must not hide what the others found
            name = getattr(check, "__name__", type(check).__name__)
            problems.append(
                Problem((), f"{name} could not check this file: {type(error).__name__}: {error}")
            )
            cause = error
    return problems, cause


def _read_file(file: Path, order: int) -> Document:
    name = relative(file)
    try:
        text = file.read_bytes().decode("utf-8")
    except OSError as error:
        return Document(
            None,
            Places(Spot(name, (order, 0, 0))),
            [Problem((), f"cannot be read: {error.strerror}")],
            readable=False,
        )
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        spot, byte = (
            Spot(f"{name}:{line}:{column}", (order, line, column)),
            error.object[error.start],
        )
        return Document(
            None,
            Places(spot),
            [Problem((), f"got the byte 0x{byte:02x}, which is not UTF-8; allowed: UTF-8")],
            readable=False,
        )
    return read_document(text, name, order)


def _read_environment(name: str, project: Path) -> tuple[Environment | None, list[str]]:
    """The environment with its places as they are written, and every problem of its files."""
    files, names = environment_layers(name, project)
    if name not in names and (names or name != "local"):
        return None, [
            f"environment: got {shown(name)}{did_you_mean(name, names)}; allowed: "
            f"{listed(names, none='local')}"
        ]
    value, spot = {}, Spot(f"environment {name}")
    sentences: list[str] = []
    lost: set[tuple[str | int, ...]] = set()
    for order, file in enumerate(files, start=1):
        read = _read_file(file, order)
        sentences += read.places.sentences(read.problems)
        if not read.readable:
            return None, sentences
        # A file of comments only has no value; it changes nothing.
        lost |= read.lost
        over = {} if read.value is None else read.value
        value, spot = merge(value, spot, over, read.places.root)
    filled, unset = substitute(value, os.environ)
    places = Places(spot)
    environment, wrong = validate(
        Environment, filled, places, lost | {problem.path for problem in unset}
    )
    sentences += places.sentences([*unset, *wrong])
    return (None if sentences else environment), sentences


def load_environment(name: str, project: Path) -> Environment:
    """`conf/base/environment.yaml` with `conf/environments/<name>.yaml` laid over it, places as
    they are written.

    The files are the project's where it has them, else those that come with the package.

    Runs on: driver.

    Raises:
        ConfigError: no such environment, or every problem of its files.
    """
    environment, sentences = _read_environment(name, project)
    if environment is None:
        raise ConfigError(sentences)
    return environment


def load_state(
    environment_name: str = "local", start: Path | None = None
) -> tuple[Environment, Path]:
    """(environment with its places made absolute, state folder) for commands that have no pipeline:
    those of the project of a folder.

    Args:
        start: that folder; None: the working folder.

    Runs on: driver.

    Raises:
        ConfigError: as `load_environment`.
    """
    project = project_of(start or Path.cwd())
    home = state_home(project)
    return resolve_places(load_environment(environment_name, project), home), home


def resolve_places(environment: Environment, home: Path) -> Environment:
    """The environment with every place an absolute path or a URI, and with the master of
    SPARK_MASTER where it names none.

    Relative places start at the state folder.
    """
    changed: dict[str, Any] = {name: _resolve(getattr(environment, name), home) for name in _PLACES}
    changed["registry"] = _resolve_registry(environment.registry, home)
    if environment.spark.master is None and (master := os.environ.get("SPARK_MASTER")):
        changed["spark"] = environment.spark.model_copy(update={"master": master})
    if files := environment.observability.prometheus:
        absolute = files.model_copy(update={"folder": _resolve(files.folder, home)})
        observed = environment.observability.model_copy(update={"prometheus": absolute})
        changed["observability"] = observed
    return environment.model_copy(update=changed)


def _resolve(place: str, home: Path) -> str:
    return place if _URI.match(place) else os.path.abspath(home / os.path.expanduser(place))


def _resolve_registry(uri: str, home: Path) -> str:
    if uri.startswith(_SQLITE):
        return _SQLITE + _resolve(uri.removeprefix(_SQLITE), home)
    return uri if uri in _REGISTRY_WORDS else _resolve(uri, home)
