"""Masters that Spark does not know, and standalone ones that do not answer, told before a JVM is
started.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator

import pytest

from batchinfer import submit
from batchinfer.errors import ConfigError, StorageError
from batchinfer.spark.session import check_master

NEVER_ASKED = [
    "local",
    "local[2]",
    "local[*]",
    "local[2,4]",
    "local-cluster[2,1,1024]",
    "yarn",
    "k8s://https://h:6443",
]


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.parametrize("master", NEVER_ASKED)
def test_masters_that_are_not_asked(master: str) -> None:
    check_master(master)


@pytest.mark.parametrize(
    "master", ["sprak://h:7077", "spark://h", "spark://h:port", "h:7077", "yarn-client", ""]
)
def test_what_spark_does_not_know_says_what_it_does(master: str) -> None:
    with pytest.raises(
        ConfigError,
        match=r"spark\.master: got .*; allowed: local\[N\], spark://host:port, yarn, k8s://",
    ):
        check_master(master)


def test_a_master_has_to_answer(port: int) -> None:
    dead = free_port()
    check_master(f"spark://127.0.0.1:{port}")
    check_master(f"spark://127.0.0.1:{dead},127.0.0.1:{port}")
    with pytest.raises(
        StorageError,
        match=f"no master answers at spark://127.0.0.1:{dead} .127.0.0.1:{dead}: .*refused",
    ):
        check_master(f"spark://127.0.0.1:{dead}")


@pytest.mark.parametrize(
    ("wrong", "code"), [("sprak://h:7077", 2), ("spark://127.0.0.1:{port}", 8)]
)
@pytest.mark.parametrize("how", ["variable", "option", "setting"])
def test_spark_submit_is_not_started_for_it(
    wrong: str,
    code: int,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    master = wrong.format(port=free_port())
    more = {
        "variable": [],
        "option": ["--spark", "--master", master],
        "setting": ["--spark", "--conf", f"spark.master={master}"],
    }
    monkeypatch.setenv("SPARK_MASTER", master if how == "variable" else "spark://never.asked:1")
    monkeypatch.setattr(
        sys,
        "argv",
        ["submit", "jobs/score.py", "-p", "income", "--slice", "2026-11-21", *more[how]],
    )
    monkeypatch.setattr(
        "batchinfer.submit.shipment", lambda *_: pytest.fail("something was packed")
    )
    monkeypatch.setattr(
        "subprocess.Popen", lambda *_, **__: pytest.fail("spark-submit was started")
    )
    assert submit.main() == code
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (said["status"], said["exit_code"], master in said["errors"][0]) == (
        "failed",
        code,
        True,
    )
