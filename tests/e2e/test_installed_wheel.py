"""The package as others install it: a wheel, built from pyproject.toml and installed with extras
into an empty environment, far from any checkout. The packages that it needs are those of this
environment, behind its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.commands import CHECKOUT, SMALL_PIPELINE, Result, as_result

UV = Path(sys.executable).parent / "uv"


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and an empty folder to work in."""

    environment: Path
    folder: Path

    def execute(self, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
        hidden = ("PYTHONPATH", "VIRTUAL_ENV", "BATCHINFER_HOME", "BATCHINFER_ENV")
        own = {name: value for name, value in os.environ.items() if name not in hidden} | extra
        program, *arguments = command
        return subprocess.run(
            [str(self.environment / "bin" / program), *arguments],
            cwd=self.folder,
            env=own,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def run(self, *arguments: str, **extra: str) -> Result:
        done = self.execute("batchinfer", *arguments, **extra)
        return as_result(done.returncode, done.stdout, done.stderr)

    def answer(self, program: str) -> str:
        done = self.execute("python", "-c", program)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def uv(*arguments: str, cwd: Path) -> None:
    done = subprocess.run(
        [str(UV), *arguments, "--offline", "--no-cache", "--quiet"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    # A build leaves folders beside the sources: it is done in a copy. Links stay links.
    root = tmp_path_factory.mktemp("wheel")
    source = root / "source"
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for part in ("src", "conf"):
        shutil.copytree(CHECKOUT / part, source / part, symlinks=True, ignore=left_out)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / file, source)
    builder = ["--python", sys.executable, "--no-build-isolation"]
    uv("build", "--wheel", *builder, "--out-dir", str(root / "dist"), cwd=source)
    [wheel] = (root / "dist").glob("*.whl")
    shutil.rmtree(source)
    environment, folder = root / "environment", root / "empty"
    uv("venv", "--python", sys.executable, str(environment), cwd=root)
    wanted = f"batchinfer[onnx,sklearn,boosting] @ {wheel.as_uri()}"
    python = str(environment / "bin" / "python")
    uv("pip", "install", "--no-deps", "--python", python, wanted, cwd=root)
    [packages] = environment.glob("lib/python*/site-packages")
    (packages / "zz_needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    folder.mkdir()
    return Installed(environment, folder)


def test_the_package_is_the_wheel_and_says_what_it_is(installed: Installed) -> None:
    file = installed.answer("import batchinfer; print(batchinfer.__file__)")
    assert Path(file).is_relative_to(installed.environment)
    extras = installed.answer(
        "from importlib.metadata import metadata; "
        "print(*metadata('batchinfer').get_all('Provides-Extra'))"
    )
    assert {"analysis", "boosting", "notebook", "onnx", "sklearn"} <= set(extras.split())


def test_help_tells_of_set_up(installed: Installed) -> None:
    told = installed.execute("batchinfer", "--help")
    assert told.returncode == 0 and "setup" in told.stderr + told.stdout
    told = installed.execute("batchinfer", "setup", "--help")
    assert told.returncode == 0 and "class-data archive" in told.stderr + told.stdout


def test_set_up_does_what_is_missing_and_nothing_twice(installed: Installed) -> None:
    # Spark is that of this environment, which has the jars. The archive would take a session.
    archive = installed.environment / "share" / "batchinfer" / "classes.jsa"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"there")
    done = installed.run("setup")
    assert (done.code, done.json["status"], done.json["jars_added"]) == (0, "ready", 0)
    assert done.json["registry_made"] and not done.json["archive_made"]
    assert list(archive.parent.glob("registry-*.db"))
    done = installed.run("setup")
    assert (done.code, done.json["status"], done.json["registry_made"]) == (0, "unchanged", False)
    assert done.json["archive"] == str(archive) and archive.read_bytes() == b"there"


def test_set_up_without_java_says_so(installed: Installed) -> None:
    nowhere = str(installed.folder / "java")
    done = installed.run("setup", JAVA_HOME=nowhere)
    assert (done.code, done.json["status"]) == (2, "failed")
    assert nowhere in done.json["errors"][0]


def test_environments_are_there_without_a_checkout(installed: Installed) -> None:
    program = (
        "import json; from pathlib import Path; from batchinfer.config.loader import *; "
        "one = load_environment('local', Path.cwd()); print(one.model_dump_json())"
    )
    from batchinfer.config.loader import load_environment

    ours = load_environment("local", CHECKOUT)
    assert json.loads(installed.answer(program)) == json.loads(ours.model_dump_json())
    wrong = installed.run("doctor", "--env", "lcal")
    assert wrong.code == 2
    assert (
        "did you mean local?); allowed: cluster, gpu, kubernetes, local" in wrong.json["errors"][0]
    )


def test_a_pipeline_file_in_an_empty_folder_has_its_state_beside_it(installed: Installed) -> None:
    (installed.folder / "small.yaml").write_text(SMALL_PIPELINE)
    known = installed.run("status", "-p", "small.yaml")
    assert (known.code, known.json["slices"]) == (0, []), known.stderr
    assert known.json["state"]["home"] == str(installed.folder / "var")
    assert sorted(path.name for path in installed.folder.iterdir()) == ["small.yaml"]
