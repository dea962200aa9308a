"""What travels to executors that have neither the checkout nor the packages: the package, the
environment, a user's modules.

Owns which files belong to each, and the settings of Spark that send them. What an environment wants
sent stands in its file (`spark.ship`). Sends nothing itself: Spark does, once an executor.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.config.project import settings_folder
from batchinfer.errors import SetupError

if TYPE_CHECKING:
    from batchinfer.config.environment import SparkSettings

ENVIRONMENT = "environment"
"""Folder that the packed environment is unpacked into, below the working folder of an executor."""

# Python of executors whose packages travel, seen from their working folder.
SENT_PYTHON = f"./{ENVIRONMENT}/bin/python"
PACKAGE = "batchinfer.zip"
MODULES = "batchinfer-modules.zip"

# What models of these formats are scored with, where it is installed.
_EXTRAS = ("onnx", "sklearn")
# A cluster has a Spark of its own; its jars are half a gigabyte.
_LEFT_OUT = ("pyspark/jars/", "pyspark/examples/")
# Where a zip says that its modes are those of Unix.
_UNIX = 3
# The module search path that a process of a cluster has begins in its working folder.
_PYTHONPATH = "spark.executorEnv.PYTHONPATH"


@dataclass(frozen=True)
class Shipment:
    """Settings that make Spark send what executors need, and the Python that they then run.

    Attributes:
        conf: settings of Spark.
        python: of the executors, seen from their working folder; None: the driver's, or what
            PYSPARK_PYTHON names.
    """

    conf: Mapping[str, str] = field(default_factory=dict)
    python: str | None = None


def is_local(master: str | None) -> bool:
    """Whether executors are processes of this machine, started by the driver: `local[4]`,
    `local-cluster[2,1,1024]`.
    """
    return master is not None and re.match(r"local($|\[|-cluster\[)", master) is not None


def shipment(settings: SparkSettings, folder: Path) -> Shipment:
    """Packs what the environment wants sent; nothing where executors are processes of this machine.

    Args:
        folder: where packed things are kept; an environment is packed once, until a package
            changes.

    Runs on: driver.

    Raises:
        SetupError: the environment cannot be packed.
    """
    if settings.ship == "nothing" or is_local(settings.master):
        return Shipment()
    own = {str(name): str(value) for name, value in settings.conf.items()}
    conf = {
        "spark.submit.pyFiles": appended(own.get("spark.submit.pyFiles"), str(package_zip(folder))),
        # Spark adds what it ships to the path of a worker, but starts the workers' daemon, which is
        # ours, without it.
        _PYTHONPATH: appended(own.get(_PYTHONPATH), PACKAGE, os.pathsep),
    }
    if settings.ship == "package":
        return Shipment(conf)
    archive = f"{environment_archive(folder)}#{ENVIRONMENT}"
    return Shipment(
        conf | {"spark.archives": appended(own.get("spark.archives"), archive)}, SENT_PYTHON
    )


def appended(known: str | None, more: str, between: str = ",") -> str:
    """A list as Spark's settings have it, with one more at its end; None or no text is a list of
    none.
    """
    return f"{known}{between}{more}" if known else more


def package_zip(folder: Path) -> Path:
    """The package batchinfer as a zip that is imported from as it is.

    Raises:
        SetupError: it cannot be written.
    """
    import batchinfer

    package = Path(batchinfer.__file__).parent
    files = ((path, Path("batchinfer") / path.relative_to(package)) for path in _sources(package))
    return write_zip(folder / PACKAGE, files)


def modules_zip(root: Path, folder: Path) -> Path | None:
    """A user's own modules beside `conf/` as a zip: Python files, and folders with an
    `__init__.py`; None if there are none.

    Raises:
        SetupError: it cannot be written.
    """
    packages = [
        path.parent for path in sorted(root.glob("*/__init__.py")) if path.parent.name != "tests"
    ]
    files = [path for place in packages for path in _sources(place)] + sorted(root.glob("*.py"))
    return (
        write_zip(folder / MODULES, ((path, path.relative_to(root)) for path in files))
        if files
        else None
    )


def conf_zip(project: Path, folder: Path) -> Path:
    """A project's configuration as a zip that is unpacked into a folder `conf`, with the
    environments that come with the package behind its own.

    Raises:
        SetupError: the project has none, or it cannot be written.
    """
    conf = project / "conf"
    if not conf.is_dir():
        raise SetupError(
            f"{conf}: no such folder; a driver on another machine needs the project's configuration"
        )
    shipped = settings_folder()
    files: dict[Path, Path] = {}
    for root in (
        [shipped / part for part in ("base", "environments")] if shipped is not None else []
    ):
        files |= {path.relative_to(root.parent): path for path in _sources(root)}
    files |= {path.relative_to(conf): path for path in _sources(conf)}
    return write_zip(folder / "conf.zip", ((files[name], name) for name in sorted(files)))


def folder_zip(folder: Path, target: Path) -> Path:
    """All files below a folder as a zip that is quickly written and read.

    Raises:
        SetupError: it cannot be written.
    """
    files = (
        (path, path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()
    )
    return write_zip(target, files, compression=zipfile.ZIP_STORED)


def _sources(folder: Path) -> Iterator[Path]:
    return (
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    )


def write_zip(
    target: Path,
    files: Iterable[tuple[Path, Path | str]],
    made: Iterable[tuple[zipfile.ZipInfo, str]] = (),
    compression: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """A zip of files by their names in it, whole or not at all.

    Args:
        made: entries that are no files here, each with its text.

    Raises:
        SetupError: it cannot be written.
    """
    partial = target.with_suffix(f".{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w", compression, strict_timestamps=False) as archive:
            for entry, text in made:
                archive.writestr(entry, text)
            for path, name in files:
                archive.write(path, name)
        return partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SetupError(f"{target}: cannot be packed: {error.strerror or error}") from error


def environment_archive(folder: Path) -> Path:
    """The packages that this one needs as a zip, packed where they changed since the last time.

    The interpreter does not travel: machines of executors need the same Python in the same place.

    Raises:
        SetupError: no virtual environment, or the archive cannot be written.
    """
    if sys.prefix == sys.base_prefix:
        raise SetupError(
            "spark.ship: environment: this Python is in no virtual environment, so there is none "
            "to send; allowed: nothing, package, or run it from a virtual environment"
        )
    found = needed_distributions()
    versions = sorted(f"{name}=={one.version}" for name, one in found.items())
    state = "\n".join([sys.version, sys.base_prefix, *versions])
    target = folder / f"environment-{hashlib.sha256(state.encode()).hexdigest()[:16]}.zip"
    if target.is_file():
        return target
    # Not compressed: libraries of a few gigabytes shrink by a half, in more time than most networks
    # save. No tar: Spark unpacks it without the right to execute.
    write_zip(target, installed_files(found.values()), [_interpreter()], zipfile.ZIP_STORED)
    for old in folder.glob("environment-*.zip"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _interpreter() -> tuple[zipfile.ZipInfo, str]:
    """The environment's Python: a script, since Spark unpacks no links.

    By the name that it is started with, Python finds `pyvenv.cfg` and with it the packages (PEP
    405).
    """
    entry = zipfile.ZipInfo("bin/python")
    entry.create_system, entry.external_attr = _UNIX, 0o100755 << 16
    return (
        entry,
        f'#!/bin/bash\nexec -a "$0" {shlex.quote(os.path.realpath(sys.executable))} "$@"\n',
    )


def needed_distributions() -> dict[str, metadata.Distribution]:
    """What is installed of the packages that this one needs, and of what those need, by normalised
    name.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    wanted = [("batchinfer", extra) for extra in ("", *_EXTRAS)]
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            distribution = found.get(name) or metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform, or an extra that is not installed
        found[name] = distribution
        for text in distribution.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                wanted += [(needed, each) for each in ("", *sorted(requirement.extras))]
    found.pop("batchinfer", None)
    return found


def installed_files(distributions: Iterable[metadata.Distribution]) -> Iterator[tuple[Path, str]]:
    """The files of an environment that holds these distributions, but its Python: where each is
    here, and its name there.

    Byte code is among them: without, each worker would compile its packages anew.
    """
    prefix = Path(sys.prefix)
    for path in (prefix / "pyvenv.cfg", *sorted(_installed(distributions))):
        name = path.relative_to(prefix).as_posix()
        if not any(part in name for part in _LEFT_OUT):
            yield path, name


def _installed(distributions: Iterable[metadata.Distribution]) -> set[Path]:
    prefix, found = Path(sys.prefix), set[Path]()
    for distribution in distributions:
        for entry in distribution.files or ():
            path = Path(os.path.normpath(str(distribution.locate_file(entry))))
            if not path.is_relative_to(prefix / "lib") or not path.is_file():
                continue  # scripts: no executor runs one
            found.add(path)
            if path.suffix == ".py":
                found.update(path.parent.glob(f"__pycache__/{path.stem}.*.pyc"))
    return found
