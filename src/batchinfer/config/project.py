"""Where a project, its pipeline files and its state folder are.

Owns the search for `conf/`. Reads no file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from batchinfer.config.suggestions import did_you_mean, listed, shown
from batchinfer.config.uris import NAME_BYTES
from batchinfer.errors import ConfigError

# Set for jobs that spark-submit runs on the machine that submits them.
CHECKOUT = "BATCHINFER_CHECKOUT"
_SUFFIXES = (".yaml", ".yml")


def nearest_project(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds a `conf/`."""
    # Links are followed as they are named, not resolved: a mounted configuration is often a link
    # into a hidden folder.
    here = Path(os.path.abspath(start))
    return next(
        (folder for folder in (here, *here.parents) if os.path.isdir(folder / "conf")), None
    )


def checkout() -> Path | None:
    """The checkout that the package is installed from, if it is one; of a job, whose package is a
    zip, that of spark-submit.
    """
    import batchinfer

    folder, told = Path(batchinfer.__file__).parents[2], os.environ.get(CHECKOUT)
    places = [folder, Path(told)] if told else [folder]
    return next((place for place in places if os.path.isdir(place / "conf")), None)


def find_project(start: Path) -> Path:
    """The nearest folder at or above `start` that holds a `conf/`, else the package's checkout,
    else `start`.

    Runs on: driver.
    """
    return nearest_project(start) or checkout() or Path(os.path.abspath(start))


def state_home(project: Path) -> Path:
    """The state folder: `BATCHINFER_HOME` where it is set, else `var` in the project.

    Raises:
        ConfigError: a name that no folder can have.
    """
    if home := os.environ.get("BATCHINFER_HOME"):
        if any(len(os.fsencode(part)) > NAME_BYTES for part in home.split("/")):
            raise ConfigError(
                f"BATCHINFER_HOME: got {shown(home)}; allowed: folders whose names have up to "
                f"{NAME_BYTES} bytes"
            )
        return Path(os.path.abspath(os.path.expanduser(home)))
    return project / "var"


def relative(path: Path) -> str:
    """A path as messages show it: from the working folder where it is below that, else whole."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def pipeline_file(ref: str | Path) -> Path:
    """The file of a pipeline, by its path or by its name.

    Raises:
        ConfigError: there is no such file, or no pipeline of that name.
    """
    text = str(ref)
    if text.endswith(_SUFFIXES) or "/" in text:
        return _file_at(text)
    project = find_project(Path.cwd())
    folder = project / "conf" / "pipelines"
    file = next(
        (
            folder / f"{text}{suffix}"
            for suffix in _SUFFIXES
            if text and os.path.isfile(folder / f"{text}{suffix}")
        ),
        None,
    )
    if file is not None:
        return file
    names = _names(folder)
    there = f"{relative(folder)} ({listed(names, none='there is none')})"
    raise ConfigError(
        f"pipeline: got {shown(text)}{did_you_mean(text, names)}; allowed: a pipeline of {there}, "
        "or the path of a YAML file"
    )


def no_such_file(text: str, file: Path, suffixes: Sequence[str] = ()) -> str:
    """What is said of a file that is not there: what was got, a file beside it that was probably
    meant, and where it was looked for.

    Args:
        suffixes: of the files that may have been meant; none: all.
    """
    try:
        beside = [entry.name for entry in file.parent.iterdir()]
    except (OSError, ValueError):  # ValueError: a name that no file can have
        beside = []
    names = [name for name in sorted(beside) if not suffixes or name.endswith(tuple(suffixes))]
    near = did_you_mean(file.name, names)
    return f"no such file: got {shown(text)}{near}, looked for at {file}"


def _file_at(text: str) -> Path:
    file = Path(os.path.abspath(os.path.expanduser(text)))
    if not os.path.isfile(file):
        fact = no_such_file(text, file, _SUFFIXES)
        raise ConfigError(f"pipeline: {fact}; allowed: a pipeline's name, or the path of its file")
    return file


def pipeline_files(project: Path) -> list[Path]:
    """The files of a project's pipelines."""
    folder = project / "conf" / "pipelines"
    try:
        return sorted(entry for entry in folder.iterdir() if entry.suffix in _SUFFIXES)
    except OSError:  # there is no such folder
        return []


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.stem for entry in folder.iterdir() if entry.suffix in _SUFFIXES)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return []


def environment_layers(name: str, project: Path) -> tuple[list[Path], list[str]]:
    """(the base file and the environment's own, as far as there are any; names of all
    environments).

    The project's own files win over those of the package's checkout.
    """
    roots = [root / "conf" for root in (project, checkout()) if root is not None]
    names = sorted({name for root in roots for name in _names(root / "environments")})
    files: list[Path] = []
    for part in (Path("base") / "environment.yaml", Path("environments") / f"{name}.yaml"):
        found = next((root / part for root in roots if os.path.isfile(root / part)), None)
        files += [found] if found is not None else []
    return files, names
