"""What is packed for executors, and the settings that send it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from batchinfer.config.environment import SparkSettings
from batchinfer.errors import SetupError
from batchinfer.spark import shipping
from batchinfer.spark.shipping import (
    environment_archive,
    is_local,
    modules_zip,
    needed_distributions,
    package_zip,
    shipment,
)


@pytest.mark.parametrize(
    ("master", "local"),
    [
        ("local", True),
        ("local[*,4]", True),
        ("local-cluster[2,1,1024]", True),
        ("spark://h:7077", False),
        ("localhost", False),
        (None, False),
    ],
)
def test_which_masters_are_this_machine(master: str | None, local: bool) -> None:
    assert is_local(master) is local


def test_the_package_is_imported_from_its_zip(tmp_path: Path) -> None:
    packed = package_zip(tmp_path)
    code = (
        "import batchinfer, batchinfer.worker_daemon, batchinfer.errors; print(batchinfer.__file__)"
    )
    site = next(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(packed)!r}]; "
                                     f"sys.path.append({site!r}); {code}"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == f"{packed}/batchinfer/__init__.py"


def test_modules_beside_conf_are_packed_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for name in (
        "net.py",
        "own/__init__.py",
        "own/deep/layer.py",
        "tests/__init__.py",
        "jobs/score.py",
        "conf/a.yaml",
        "data.csv",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    packed = modules_zip(root, tmp_path)
    assert packed is not None
    assert sorted(zipfile.ZipFile(packed).namelist()) == [
        "net.py",
        "own/__init__.py",
        "own/deep/layer.py",
    ]
    assert modules_zip(root / "conf", tmp_path) is None


def test_needed_packages_are_those_of_the_package_and_theirs() -> None:
    found = needed_distributions()
    assert {"torch", "deltalake", "pyspark", "py4j", "onnxruntime"} <= found.keys(), (
        "onnxruntime comes with an extra"
    )
    assert not {"pytest", "ruff", "ipykernel", "batchinfer"} & found.keys()


@pytest.fixture
def two_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: metadata.distribution(name) for name in ("py4j", "click")}
    monkeypatch.setattr(shipping, "needed_distributions", lambda: few)


@pytest.mark.usefixtures("two_packages")
def test_the_packed_environment_runs_where_it_is_unpacked(tmp_path: Path) -> None:
    archive = environment_archive(tmp_path / "packed")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "environment")
        # Python's own reader does not give files their modes; Spark's does.
        modes = {entry.filename: entry.external_attr >> 16 for entry in packed.infolist()}
    assert modes["bin/python"] & 0o111
    (tmp_path / "environment" / "bin" / "python").chmod(modes["bin/python"])
    code = "import click, py4j, sys; print(click.__file__, sys.prefix)"
    done = subprocess.run(
        ["./environment/bin/python", "-c", code],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    where, prefix = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path / "environment") and prefix == str(
        tmp_path / "environment"
    )
    assert list((tmp_path / "environment").rglob("click/__pycache__/*.pyc")), (
        "byte code travels too"
    )


@pytest.mark.usefixtures("two_packages")
def test_an_environment_is_packed_once_until_a_package_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = environment_archive(tmp_path)
    made = first.stat().st_mtime_ns
    assert environment_archive(tmp_path).stat().st_mtime_ns == made
    monkeypatch.setattr(
        shipping, "needed_distributions", lambda: {"py4j": metadata.distribution("py4j")}
    )
    second = environment_archive(tmp_path)
    assert second != first and not first.exists(), "an old one would fill the disk"


def test_without_a_virtual_environment_there_is_none_to_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(
        SetupError, match=r"spark\.ship: environment: this Python is in no virtual environment"
    ):
        environment_archive(tmp_path)


@pytest.mark.usefixtures("two_packages")
def test_settings_of_a_shipment_go_beside_those_of_the_environment(tmp_path: Path) -> None:
    conf = {
        "spark.submit.pyFiles": "mine.zip",
        "spark.executorEnv.PYTHONPATH": "/opt/mine",
        "spark.archives": "data.zip#data",
    }
    settings = SparkSettings(master="spark://h:7077", conf=conf, ship="environment")
    sent = shipment(settings, tmp_path)
    assert sent.python == "./environment/bin/python"
    assert sent.conf["spark.submit.pyFiles"] == f"mine.zip,{tmp_path / 'batchinfer.zip'}"
    assert sent.conf["spark.executorEnv.PYTHONPATH"] == "/opt/mine:batchinfer.zip"
    first, second = sent.conf["spark.archives"].split(",")
    assert first == "data.zip#data" and second.endswith(".zip#environment")
    assert shipment(settings.model_copy(update={"ship": "package"}), tmp_path).python is None
    for other in ({"ship": "nothing"}, {"master": "local[2]"}):
        assert not shipment(settings.model_copy(update=other), tmp_path).conf
