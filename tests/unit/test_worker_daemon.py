"""The path of Python workers: without Spark's archives, where PySpark is installed."""

from __future__ import annotations

from pathlib import Path

import pyspark

from batchinfer.worker_daemon import without_archives

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
