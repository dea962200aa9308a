"""A session of one process: what commands ask of Spark where tasks read and write files themselves.

Tasks run one after another in this process. The work is pickled as Spark would, so that what cannot
travel fails here too; rows, frames and SQL there are none.
"""

# ruff: noqa: N802, N815 - the names are those of Spark
from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pyspark import SparkFiles, cloudpickle


class OneProcess:
    """What a command asks of a session."""

    def __init__(self) -> None:
        self.sparkContext = _Context()  # Spark's own name


class _Context:
    master = "local[2]"
    defaultParallelism = 2
    listFiles: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.listArchives: list[str] = []

    def getConf(self) -> Any:
        return SimpleNamespace(getAll=lambda: [("spark.master", self.master)])

    def setJobGroup(self, *_: object, **__: object) -> None:
        """Nothing is shown of jobs that end at once."""

    def statusTracker(self) -> Any:
        return SimpleNamespace(getJobIdsForGroup=lambda _: [])

    def addArchive(self, path: str) -> None:
        self.listArchives.append(path)
        packed, _, name = path.rpartition("#")
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(Path(SparkFiles.getRootDirectory()) / name)

    def parallelize(self, items: Iterable[Any], _: int) -> _Items:
        return _Items(items)


class _Items:
    def __init__(self, items: Iterable[Any]) -> None:
        self.items = list(items)

    def flatMap(self, work: Callable[[Any], Iterable[Any]]) -> _Items:
        travelled = cloudpickle.loads(cloudpickle.dumps(work))
        return _Items(one for item in self.items for one in travelled(item))

    def collect(self) -> list[Any]:
        return self.items
