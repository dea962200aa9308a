"""Whether executors on other machines reach the places that the driver writes to, found out before a run.

A folder that only the driver's machine has seems to work: each machine then makes one of its own, and what executors write
there is lost.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.errors import ConfigError
from batchinfer.pipeline.capacity import executors
from batchinfer.pipeline.tasks import run_tasks
from batchinfer.shipping import is_local
from batchinfer.sinks.places import local_path, storage_faults

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# As many are asked as there are executors, up to this many.
_MOST_ASKED = 64


def check_reach(spark: SparkSession, places: Mapping[str, str]) -> None:
    """Lets executors see a file of the driver's in each place, and the driver one of theirs.

    Args:
        places: by the name of their setting; those that are no folders are not asked for.

    Runs on: driver.

    Raises:
        ConfigError: a place that an executor cannot see, cannot write to, or has a folder of its own in place of.
        StorageError: the driver itself cannot write there.
    """
    folders = {name: folder for name, place in places.items() if (folder := local_path(place)) is not None}
    if is_local(spark.sparkContext.master) or not folders:
        return
    probe = f".probe-{uuid.uuid4().hex}"
    asked = {name: str(folder / probe) for name, folder in folders.items()}
    tasks = [{"files": asked, "number": number} for number in range(min(_MOST_ASKED, executors(spark)))]
    try:
        for name, folder in folders.items():
            with storage_faults(str(folder), f"write to {name}"):
                folder.mkdir(parents=True, exist_ok=True)
                Path(asked[name]).touch()
        answers = [answer for of_task in run_tasks(spark, look, tasks, "asking executors for the lake") for answer in of_task]
        problems = [_problem(answer, folders, _is_written(answer, asked)) for answer in answers]
    finally:
        for file in asked.values():
            for path in Path(file).parent.glob(f"{probe}*"):
                with suppress(OSError):  # a file of an executor's user that may not be removed says nothing about the places
                    path.unlink()
    if found := sorted({problem for problem in problems if problem}):
        raise ConfigError(found, hint="all machines have to reach these places: a mounted folder (NFS, EFS), hdfs:// or s3a://")


def look(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What an executor sees of the driver's files; writes one beside each.

    Runs on: executor.
    """
    for name, file in task["files"].items():
        answer: dict[str, Any] = {"name": name, "number": task["number"], "host": socket.gethostname(), "fault": None}
        if not os.path.exists(file):
            answer["fault"] = (
                "has no such folder" if not os.path.isdir(os.path.dirname(file)) else "sees a folder of its own there"
            )
        else:
            try:
                Path(f"{file}-{task['number']}").touch()
            except OSError as error:
                answer["fault"] = f"cannot write there ({error.strerror})"
        yield answer


def _is_written(answer: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    return os.path.exists(f"{asked[answer['name']]}-{answer['number']}")


def _problem(answer: Mapping[str, Any], folders: Mapping[str, Path], is_written: bool) -> str | None:
    fault = answer["fault"] or (None if is_written else "wrote a file there that the driver does not see")
    if fault is None:
        return None
    place = folders[answer["name"]]
    return f"{answer['name']}: got {place}; an executor on {answer['host']} {fault}; allowed: a place that all machines reach"
