"""`doctor`: whether this machine has what the commands need, and what to do where it has not.

Owns the list of checks. Starts no JVM and imports neither PySpark, PyTorch nor MLflow: their
versions stand in the packages' metadata. Changes nothing.
"""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from batchinfer import machine
from batchinfer.config.environment import Environment
from batchinfer.config.project import State
from batchinfer.errors import BatchInferError, ConfigError, StorageError
from batchinfer.java import TRIED, find_java
from batchinfer.pipeline.observed.asked_collectors import ask_collector, named_collectors
from batchinfer.spark.session import class_archive, spark_home

_GIB = 2**30
_SETUP, _JARS = "make setup, or docs/install.md where there is no checkout", "batchinfer setup"
_PACKAGES = (
    "pyspark",
    "delta-spark",
    "deltalake",
    "pyarrow",
    "mlflow",
    "torch",
    "great-expectations",
    "pandas",
    "numpy",
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is, such as `java`.
        ok: False if a command would fail because of it.
        detail: what was found.
        hint: what to do, with a command; given for every fault, and for a warning (ok, but worse
            than it could be).
    """

    name: str
    ok: bool
    detail: str
    hint: str | None = None


@dataclass(frozen=True)
class DoctorReport:
    """All checks, in the order in which their faults matter.

    Attributes:
        state: where the state of the working folder's project is.
    """

    state: State
    checks: list[Check] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return 0 if all(check.ok for check in self.checks) else 2

    def to_json(self) -> dict[str, Any]:
        """The JSON line: `status` ok or faulty, `state`, `checks`, and one sentence in `errors` for
        each fault.
        """
        faults = [f"{check.name}: {check.detail}" for check in self.checks if not check.ok]
        return {
            "status": "faulty" if faults else "ok",
            "state": self.state.to_json(),
            "checks": [asdict(check) for check in self.checks],
            "errors": faults,
        }


def run_doctor(environment: Environment, home: Path) -> DoctorReport:
    """Looks at everything that the commands need; takes about a second.

    Args:
        environment: its places absolute, as `load_state` gives them.
        home: the state folder.

    Runs on: driver, without Spark.
    """
    asked: list[tuple[str, Callable[[], Check]]] = [
        ("java", _java),
        ("python", _python),
        *((name, _package_check(name)) for name in _PACKAGES),
        ("delta jars", _delta_jars),
        ("SPARK_HOME", _spark_home),
        ("PYSPARK_PYTHON", _workers_python),
        ("class-data archive", _archive),
        ("host name", _host_name),
        ("registry", lambda: _registry(environment.registry)),
        *(
            (name, _place(name, getattr(environment, name)))
            for name in ("lake", "artifacts", "staging", "reports")
        ),
        *_collectors(environment),
        ("disk", lambda: _disk("disk", home)),
        ("temporary files", lambda: _disk("temporary files", Path(tempfile.gettempdir()))),
        ("cores and memory", _cores_and_memory),
        ("gpu", _gpu),
    ]
    return DoctorReport(State(home, environment.lake, environment.registry), list(_ask(asked)))


def _ask(asked: list[tuple[str, Callable[[], Check]]]) -> Iterator[Check]:
    """Every check, whatever the others found; one that cannot even be made is a fault."""
    for name, check in asked:
        try:
            yield check()
        except BatchInferError as error:
            yield Check(name, False, "; ".join(error.problems), error.hint or _SETUP)
        except (OSError, ImportError, ValueError) as error:
            yield Check(
                name, False, f"could not be checked: {type(error).__name__}: {error}", _SETUP
            )


def _java() -> Check:
    java = find_java(os.environ)
    detail = f"Java {java.version} ({java.command})"
    if java.release in TRIED:
        return Check("java", True, detail)
    made_for = " and ".join(map(str, TRIED))
    return Check(
        "java",
        True,
        detail,
        f"Spark 4.1 is made for Java {made_for}; this one may work, with warnings",
    )


def _python() -> Check:
    from packaging.specifiers import SpecifierSet

    allowed = metadata("batchinfer")["Requires-Python"]
    detail = f"Python {platform.python_version()} ({sys.executable})"
    if SpecifierSet(allowed).contains(platform.python_version(), prereleases=True):
        return Check("python", True, detail)
    return Check(
        "python", False, f"{detail}; allowed: {allowed}", f"python3.11 -m venv .venv, then {_SETUP}"
    )


def _package_check(name: str) -> Callable[[], Check]:
    def check() -> Check:
        from packaging.requirements import Requirement

        try:
            found = version(name)
        except PackageNotFoundError:
            return Check(name, False, "not installed", _SETUP)
        needed = (
            Requirement(text) for text in requires("batchinfer") or () if "extra ==" not in text
        )
        allowed = next(
            (requirement.specifier for requirement in needed if requirement.name == name), None
        )
        if allowed is not None and not allowed.contains(found, prereleases=True):
            return Check(name, False, f"got {found}; allowed: {allowed}", _SETUP)
        return Check(name, True, found)

    return check


def _delta_jars() -> Check:
    from batchinfer.install import locked_jars, missing_jars

    folder = _spark_in_use() / "jars"
    missing = missing_jars(folder)
    if missing:
        return Check("delta jars", False, f"{', '.join(missing)} missing in {folder}", _JARS)
    return Check("delta jars", True, f"{len(locked_jars())} beside Spark's own")


def _spark_in_use() -> Path:
    return Path(os.environ.get("BATCHINFER_SPARK_HOME") or spark_home())


def _spark_home() -> Check:
    used, named = _spark_in_use(), os.environ.get("SPARK_HOME")
    if not (used / "bin" / "spark-submit").is_file():
        return Check(
            "SPARK_HOME", False, f"{used} holds no bin/spark-submit", "unset BATCHINFER_SPARK_HOME"
        )
    if named and Path(named).resolve() != used.resolve():
        hint = "unset SPARK_HOME, so that other programs of this shell use the same Spark"
        return Check("SPARK_HOME", True, f"{named} is another Spark; batchinfer uses {used}", hint)
    return Check("SPARK_HOME", True, str(used))


def _workers_python() -> Check:
    named = os.environ.get("PYSPARK_PYTHON")
    if not named:
        return Check("PYSPARK_PYTHON", True, f"not set: workers run {sys.executable}")
    found = shutil.which(named)
    if found is None:
        return Check("PYSPARK_PYTHON", False, f"{named} cannot be run", "unset PYSPARK_PYTHON")
    # Not resolved: the python of a virtual environment is a link, and is another python than the
    # one it points to.
    if os.path.abspath(found) != os.path.abspath(sys.executable):
        hint = "unset PYSPARK_PYTHON, unless that environment holds batchinfer too"
        return Check(
            "PYSPARK_PYTHON", True, f"workers run {found}, the driver {sys.executable}", hint
        )
    return Check("PYSPARK_PYTHON", True, found)


def _archive() -> Check:
    if class_archive().is_file():
        return Check(
            "class-data archive", True, f"{class_archive().stat().st_size / 2**20:.0f} MiB"
        )
    return Check(
        "class-data archive", True, "missing: a session takes about twice as long to start", _JARS
    )


def _host_name() -> Check:
    if local := os.environ.get("SPARK_LOCAL_IP"):
        return Check("host name", True, f"SPARK_LOCAL_IP is {local}")
    address = machine.own_address()
    if address is not None:
        return Check("host name", True, address)
    detail = "this machine's own name has no address; Spark cannot bind to it"
    return Check("host name", False, detail, "export SPARK_LOCAL_IP=127.0.0.1")


def _registry(uri: str) -> Check:
    from batchinfer.models.reachable import sqlite_path

    path = sqlite_path(uri)
    where = (
        f"ls -ld {path}"
        if path
        else "ask whether that server runs, and whether this machine reaches it"
    )
    try:
        return _ask_registry(uri, path)
    except (OSError, BatchInferError) as error:
        # A StorageError is an OSError, and says its own words.
        own = isinstance(error, BatchInferError)
        detail = str(error) if own else f"{path}: {error.strerror or error}"
        return Check(
            "registry", False, detail, f"{where}; another place: registry in conf/environments"
        )


def _ask_registry(uri: str, path: Path | None) -> Check:
    from batchinfer.models.reachable import check_reachable

    if path is None:
        check_reachable(uri, timeout_s=2.0)
        return Check("registry", True, f"{uri.rpartition('@')[2]} answers")
    if not path.exists():
        machine.probe_folder(path.parent)
        return Check("registry", True, f"{path}: made by the first train or register")
    check_reachable(uri)
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=1.0)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise StorageError(f"the registry {path} cannot be written: {error}") from error
        return Check(
            "registry",
            True,
            f"{path}: another command is writing to it right now",
            "batchinfer doctor, a little later",
        )
    return Check("registry", True, str(path))


def _place(name: str, place: str) -> Callable[[], Check]:
    def check() -> Check:
        from batchinfer.lake.table_places import local_path

        path = local_path(place) if "://" in place or place.startswith(("/", "file:")) else None
        if path is None:
            return Check(name, True, f"{place}: not a local folder, not checked")
        try:
            machine.probe_folder(path)
        except OSError as error:
            hint = (
                f"ls -ld {machine.existing_parent(path)}; another place: BATCHINFER_HOME, or "
                f"{name} in conf/environments"
            )
            return Check(name, False, f"{path} cannot be written: {error.strerror or error}", hint)
        return Check(
            name,
            True,
            str(path) if path.is_dir() else f"{path}: made by the first command that needs it",
        )

    return check


def _collectors(environment: Environment) -> Iterator[tuple[str, Callable[[], Check]]]:
    """A check for each collector that the environment names; runs go on where one does not answer,
    and not where its setting is wrong.
    """
    for name in named_collectors(environment):

        def check(name: str = name) -> Check:
            try:
                found, hint = ask_collector(environment, name)
            except ConfigError as error:
                told = "set the variable, or take the setting out of conf/environments"
                return Check(name, False, "; ".join(error.problems), told)
            return Check(name, True, found, hint)

        yield name, check


def _disk(name: str, folder: Path) -> Check:
    free = machine.free_bytes(folder)
    detail = f"{free / _GIB:.1f} GiB free at {machine.existing_parent(folder)}"
    hint = f"du -sh {folder}/*; or another disk: export BATCHINFER_HOME=FOLDER"
    if name == "temporary files":
        hint = f"du -sh {folder}/*; or another disk: export TMPDIR=FOLDER SPARK_LOCAL_DIRS=FOLDER"
    return Check(name, free >= _GIB, detail, hint if free < 5 * _GIB else None)


def _cores_and_memory() -> Check:
    cores, memory = machine.usable_cores(), machine.usable_memory()
    detail = f"{cores:g} cores, {memory / _GIB:.1f} GiB"
    if memory < 3 * _GIB:
        return Check(
            "cores and memory",
            True,
            detail,
            "fewer workers need less: spark.master: local[1] in conf/environments",
        )
    return Check("cores and memory", True, detail)


def _gpu() -> Check:
    try:
        names = machine.gpu_names()
    except OSError as error:
        return Check("gpu", True, f"CPU only: {error}", "nvidia-smi")
    if not names:
        return Check("gpu", True, "none: CPU only")
    cuda = machine.torch_cuda()
    found = f"{len(names)} x {names[0]}"
    if cuda is None:
        return Check(
            "gpu",
            True,
            f"{found}, but PyTorch is built without CUDA: CPU only",
            "pip install --force-reinstall torch",
        )
    return Check("gpu", True, f"{found}; PyTorch is built for CUDA {cuda}")
