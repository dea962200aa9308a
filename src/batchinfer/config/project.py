"""Where a project, its pipeline files, its environments and its state folder are.

Owns the search for `conf/`. Reads no file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batchinfer.config.suggestions import did_you_mean, listed, shown
from batchinfer.config.uris import NAME_BYTES
from batchinfer.credentials import without_credentials
from batchinfer.errors import ConfigError

# Set for jobs that spark-submit runs on the machine that submits them, whose package is a zip.
CHECKOUT, SETTINGS = "BATCHINFER_CHECKOUT", "BATCHINFER_SETTINGS"
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


def project_of(folder: Path) -> Path:
    """The project that a folder belongs to: the nearest folder at or above it that holds a `conf/`,
    else the folder itself. State lies beside it.

    Runs on: driver.
    """
    return nearest_project(folder) or Path(os.path.abspath(folder))


def given_project(project: str | Path | None) -> Path | None:
    """The folder that a caller names in place of the working folder, whole; None where none is
    named.

    Raises:
        ConfigError: there is no such folder.
    """
    if project is None:
        return None
    folder = Path(os.path.abspath(os.path.expanduser(project)))
    if not os.path.isdir(folder):
        raise ConfigError(
            f"project: got {shown(str(project))}, which is no folder; allowed: a folder, such as "
            "one that holds conf/, or a pipeline file"
        )
    return folder


def find_project(start: Path) -> Path:
    """Where pipelines are looked for by their names: the nearest folder at or above `start` that
    holds a `conf/`, else the package's checkout, else `start`.

    Runs on: driver.
    """
    return nearest_project(start) or checkout() or Path(os.path.abspath(start))


@dataclass(frozen=True)
class State:
    """Where a project's state is.

    Attributes:
        home: the state folder.
        lake: folder or URI of the tables.
        registry: MLflow's URI of the models.
    """

    home: Path
    lake: str
    registry: str

    def to_json(self) -> dict[str, str]:
        """home, lake and registry, without users and passwords."""
        places = {"home": str(self.home), "lake": self.lake, "registry": self.registry}
        return {name: without_credentials(place) for name, place in places.items()}

    def told_once(self) -> str | None:
        """What is said before the state folder is made; None where it is there."""
        if self.home.exists():
            return None
        places = self.to_json()
        return (
            f"batchinfer: this run makes the state folder {places['home']} (tables: "
            f"{places['lake']}; models: {places['registry']}); BATCHINFER_HOME names another"
        )


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


def pipeline_file(ref: str | Path, start: Path | None = None) -> Path:
    """The file of a pipeline, by its path or by its name.

    Args:
        start: a folder in place of the working folder; names are then those of its project alone,
            and a file has to be of that project.

    Raises:
        ConfigError: there is no such file, or no pipeline of that name, or it is of another
            project.
    """
    text = str(ref)
    if text.endswith(_SUFFIXES) or "/" in text:
        return _file_at(text, start)
    project = find_project(Path.cwd()) if start is None else project_of(start)
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


def _file_at(text: str, start: Path | None) -> Path:
    file = Path(os.path.abspath((start or Path()) / os.path.expanduser(text)))
    if not os.path.isfile(file):
        fact = no_such_file(text, file, _SUFFIXES)
        raise ConfigError(f"pipeline: {fact}; allowed: a pipeline's name, or the path of its file")
    if start is not None and (own := project_of(file.parent)) != project_of(start):
        raise ConfigError(
            f"project: got {start}, but {file} is of the project {own}, where its state is; "
            "allowed: that folder, or none"
        )
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


def settings_folder() -> Path | None:
    """The folder of the environments that come with the package, with `base/` and `environments/`:
    the `conf/` of its checkout, else one inside of the package; of a job, that of spark-submit.
    """
    import batchinfer

    beside, told = checkout(), os.environ.get(SETTINGS)
    places = [beside / "conf"] if beside is not None else []
    places += [Path(batchinfer.__file__).parent / "settings", *([Path(told)] if told else [])]
    return next((place for place in places if os.path.isdir(place / "environments")), None)


def environment_layers(name: str, project: Path) -> tuple[list[Path], list[str]]:
    """(the base files and the environment's own, each laid over those before it; names of all
    environments).

    The project's own files are laid over those of the same names that come with the package.
    """
    roots = [root for root in (settings_folder(), project / "conf") if root is not None]
    names = sorted({name for root in roots for name in _names(root / "environments")})
    files: list[Path] = []
    for part in (Path("base") / "environment.yaml", Path("environments") / f"{name}.yaml"):
        for file in (root / part for root in roots):
            # In a checkout both are one.
            if os.path.isfile(file) and not any(os.path.samefile(file, other) for other in files):
                files.append(file)
    return files, names


def former_homes(file: Path, name: str, home: Path) -> list[Path]:
    """State folders that earlier builds, or the same file before its project got a `conf/`, may
    have used.

    Earlier builds put the state of a file without a `conf/` above it into the project of the
    working folder, or into the package's checkout. A project that has a pipeline of that name
    itself keeps that one's state, and is none of them. None where `BATCHINFER_HOME` says where the
    state is.
    """
    if os.environ.get("BATCHINFER_HOME"):
        return []
    projects = [nearest_project(Path.cwd()), checkout()]
    others = [
        project
        for project in projects
        if project is not None and name not in {other.stem for other in pipeline_files(project)}
    ]
    homes = [project / "var" for project in (file.parent, *others)]
    return [each for each in dict.fromkeys(homes) if each != home]
