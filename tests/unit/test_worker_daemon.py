"""The path of Python workers: without Spark's archives, where PySpark is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pyspark
import pytest

from batchinfer.worker_daemon import hand_over, read_at_import, without_archives

_ARCHIVES = [
    "/spark/python/lib/pyspark.zip",
    "/spark/python/lib/py4j-0.10.9.9-src.zip",
    "/spark/jars/spark-core_2.13-4.1.1.jar",
]


def test_sparks_own_archives_go_and_those_of_users_stay() -> None:
    installed = str(Path(pyspark.__file__).parents[1])
    path = ["", *_ARCHIVES, "/home/me/my_code.zip", installed]
    assert without_archives(path) == ["", "/home/me/my_code.zip", installed]


def test_where_pyspark_is_not_installed_the_archives_stay(tmp_path: Path) -> None:
    path = [*_ARCHIVES, str(tmp_path)]
    assert without_archives(path) == path


def test_variables_that_libraries_read_while_they_are_loaded_are_compared() -> None:
    environment = {
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "1",
        "LD_PRELOAD": "/lib/libjemalloc.so",
        "PYTHONPATH": "/spark/python/lib/pyspark.zip",
        "SPARK_LOCAL_DIRS": "/tmp",
        "HOME": "/root",
    }
    names = ["OMP_NUM_THREADS", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES", "LD_PRELOAD"]
    assert read_at_import(environment) == {name: environment[name] for name in names}


def test_a_process_with_other_variables_is_not_the_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "daemon.sock")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with subprocess.Popen(
        [sys.executable, "-m", "batchinfer.worker_daemon", "--early", place],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as waiting:
        until = time.monotonic() + 60
        while not Path(place).exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        # The driver's end of the pipe stays open, so that nothing but the refusal ends it.
        assert not hand_over(place)
        assert waiting.wait(60) == 0
        assert waiting.stdout is not None
        assert waiting.stdout.read() == b"", "it has told nobody of a port"


def test_where_nobody_waits_the_daemon_is_the_process_that_spark_started(tmp_path: Path) -> None:
    assert not hand_over(str(tmp_path / "nobody.sock"))
