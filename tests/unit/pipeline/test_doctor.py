"""The doctor's findings on real folders, files, sockets and environments."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from batchinfer import machine
from batchinfer.config.environment import Environment
from batchinfer.config.loader import resolve_places
from batchinfer.pipeline.doctor import Check, run_doctor
from batchinfer.show import show_doctor


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, and an environment that names no Spark, Python or Java of its own."""
    for name in (
        "JAVA_HOME",
        "SPARK_HOME",
        "BATCHINFER_SPARK_HOME",
        "PYSPARK_PYTHON",
        "SPARK_LOCAL_IP",
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "var"
    folder.mkdir()
    return folder


def diagnose(home: Path, **places: Any) -> dict[str, Check]:
    report = run_doctor(resolve_places(Environment(**places), home), home)
    body = json.loads(json.dumps(report.to_json()))
    faults = [check for check in report.checks if not check.ok]
    assert report.exit_code == (2 if faults else 0)
    assert body["status"] == ("faulty" if faults else "ok") and len(body["errors"]) == len(faults)
    assert all(check.hint for check in faults), "every fault needs a hint"
    assert len({check.name for check in report.checks}) == len(report.checks)
    return {check.name: check for check in report.checks}


def test_every_check_is_made_and_nothing_is_left_behind(home: Path) -> None:
    found = diagnose(home)
    assert {
        "java",
        "delta jars",
        "class-data archive",
        "host name",
        "cores and memory",
        "temporary files",
    } <= set(found)
    for name in (
        "python",
        "pyspark",
        "deltalake",
        "mlflow",
        "registry",
        "lake",
        "reports",
        "disk",
        "gpu",
    ):
        assert found[name].ok, found[name]
    assert list(home.iterdir()) == []


def test_a_broken_java_home_is_one_fault_and_the_rest_is_still_told(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(home / "gone"))
    found = diagnose(home)
    assert not found["java"].ok and "is not a folder" in found["java"].detail
    assert found["pyspark"].ok and found["lake"].ok


def test_a_java_that_spark_is_not_made_for_is_a_warning(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jdk = tmp_path / "jdk"
    (jdk / "bin").mkdir(parents=True)
    (jdk / "bin" / "java").write_text("#!/bin/sh\n")
    (jdk / "bin" / "java").chmod(0o755)
    (jdk / "release").write_text('JAVA_VERSION="25"\n')
    monkeypatch.setenv("JAVA_HOME", str(jdk))
    java = diagnose(home)["java"]
    assert java.ok and "Java 25" in java.detail and "17 and 21" in str(java.hint)


@pytest.mark.parametrize("place", ["lake", "reports", "staging"])
def test_a_file_where_the_folder_should_be(home: Path, place: str) -> None:
    (home / place).write_text("in the way")
    found = diagnose(home)
    assert not found[place].ok and "is a file; allowed: a folder" in found[place].detail
    assert (home / place).read_text() == "in the way"
    assert [name for name in ("lake", "reports", "staging") if not found[name].ok] == [place]


def test_a_file_above_the_folder(home: Path) -> None:
    (home / "data").write_text("in the way")
    assert not diagnose(home, lake="data/deep/lake")["lake"].ok


def test_places_that_are_no_folders_are_not_touched(home: Path) -> None:
    found = diagnose(home, lake="s3a://bucket/lake", artifacts="mlflow-artifacts:/")
    assert found["lake"].ok and "not checked" in found["lake"].detail
    assert found["artifacts"].ok


def test_a_registry_file_that_is_no_database(home: Path) -> None:
    (home / "mlflow.db").write_text("not a database" * 100)
    registry = diagnose(home)["registry"]
    assert not registry.ok and "cannot be opened" in registry.detail


def test_a_registry_that_works_and_one_that_is_being_written(home: Path) -> None:
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        connection.execute("create table t (a int)")
        connection.commit()
        assert diagnose(home)["registry"] == Check("registry", True, str(home / "mlflow.db"))
        connection.execute("BEGIN IMMEDIATE")
        registry = diagnose(home)["registry"]
        assert registry.ok and "is writing to it right now" in registry.detail


def test_a_registry_folder_that_is_a_file(home: Path) -> None:
    (home / "db").write_text("")
    registry = diagnose(home, registry="sqlite:///db/mlflow.db")["registry"]
    assert not registry.ok


def test_a_registry_server_that_answers_and_one_that_is_not_there(home: Path) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        registry = diagnose(home, registry=f"http://127.0.0.1:{server.server_port}")["registry"]
        assert registry.ok and "answers" in registry.detail
    finally:
        server.shutdown()
        server.server_close()
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        registry = diagnose(home, registry=f"http://user:secret@127.0.0.1:{dead.getsockname()[1]}")[
            "registry"
        ]
    assert (
        not registry.ok and "does not answer" in registry.detail and "secret" not in registry.detail
    )


def test_a_registry_database_that_answers_is_told_without_its_password(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}/mlflow"
        registry = diagnose(home, registry=f"postgresql://user:secret@{address}")["registry"]
    assert registry == Check("registry", True, f"{address} answers")


def test_another_spark(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_HOME", str(home))
    spark = diagnose(home)["SPARK_HOME"]
    assert spark.ok and "another Spark" in spark.detail and "unset SPARK_HOME" in str(spark.hint)
    monkeypatch.setenv("BATCHINFER_SPARK_HOME", str(home))
    found = diagnose(home)
    assert not found["SPARK_HOME"].ok and not found["delta jars"].ok
    assert "delta-storage" in found["delta jars"].detail


def test_another_python_for_the_workers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSPARK_PYTHON", "/bin/sh")
    assert "workers run /bin/sh" in diagnose(home)["PYSPARK_PYTHON"].detail
    monkeypatch.setenv("PYSPARK_PYTHON", str(home / "python"))
    assert not diagnose(home)["PYSPARK_PYTHON"].ok
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    assert diagnose(home)["PYSPARK_PYTHON"].hint is None


@pytest.mark.parametrize(
    ("free_gib", "ok", "hinted"), [(0.5, False, True), (3, True, True), (50, True, False)]
)
def test_disk_space(
    home: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, ok: bool, hinted: bool
) -> None:
    monkeypatch.setattr(machine, "free_bytes", lambda path: int(free_gib * 2**30))
    disk = diagnose(home)["disk"]
    assert (disk.ok, disk.hint is not None) == (ok, hinted)
    assert f"{free_gib:.1f} GiB free" in disk.detail


def test_a_gpu_is_told_by_the_drivers_tool(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'NVIDIA H100'\necho 'NVIDIA H100'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
    assert "2 x NVIDIA H100" in diagnose(home)["gpu"].detail


def test_the_doctor_says_where_the_state_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {"home": str(home), "lake": "/a/lake", "registry": "sqlite:////a/m.db"}
    environment = Environment(lake=state["lake"], registry=state["registry"])
    report = show_doctor(run_doctor(environment, home))
    assert report.to_json()["state"] == state
    shown = capsys.readouterr().err.replace("\n", "")
    assert str(home) in shown and "/a/lake" in shown


def test_the_doctor_is_light() -> None:
    """In a process of its own, because other tests of this one may have imported anything."""
    code = (
        "import sys; from batchinfer.config.loader import load_state; from "
        "batchinfer.pipeline.doctor import run_doctor;"
        "run_doctor(*load_state('local')); print(sorted({'torch', 'mlflow', 'pyspark', "
        "'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_collectors_are_asked_where_the_environment_names_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    names = [f"observability.{name}" for name in ("prometheus", "otlp", "openlineage")]
    assert not set(names) & set(diagnose(home))
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = {"prometheus": {"folder": str(home)}, "openlineage": {"url": there}}
        found = diagnose(home, observability={**settings, "otlp": {}})
        assert found[names[0]] == Check(names[0], True, str(home))
        assert found[names[2]] == Check(names[2], True, "takes connections")
        assert not found[names[1]].ok, "commands would end: its variable is not set"
        assert "OTEL_EXPORTER_OTLP_ENDPOINT is not set" in found[names[1]].detail
    settings["prometheus"] = {"folder": str(home / "none")}
    found = diagnose(home, observability=settings)
    assert found[names[0]].ok and found[names[0]].hint == f"mkdir -p {home / 'none'}"
    assert found[names[2]].ok and found[names[2]].detail.startswith("no connection: ")
