"""Whether executors on other machines reach the places that the driver writes to, found out before a run.

A folder that only the driver's machine has seems to work: each machine then makes one of its own, and what executors write
there is lost. A bucket is one and the same for all, but a machine may have no way to it, or no credentials.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batchinfer.errors import ConfigError, StorageError, listed_some
from batchinfer.pipeline.capacity import executors
from batchinfer.pipeline.tasks import run_tasks
from batchinfer.shipping import is_local
from batchinfer.sinks.parquet import delete_quietly
from batchinfer.sinks.places import local_path, open_filesystem, storage_faults
from batchinfer.stores import is_on_store

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# As many are asked as there are executors, up to this many.
_MOST_ASKED = 64


def check_reach(spark: SparkSession, places: Mapping[str, str]) -> None:
    """Lets executors see a file of the driver's in each place, and write one of theirs.

    Args:
        places: by the name of their setting.

    Runs on: driver.

    Raises:
        ConfigError: a folder that an executor cannot see, cannot write to, or has a folder of its own in place of.
        StorageError: the driver itself cannot write there; a store that an executor cannot read or write.
    """
    if is_local(spark.sparkContext.master):
        return
    _check_folders(spark, places)
    check_stores(spark, {name: place for name, place in places.items() if is_on_store(place)})


def _check_folders(spark: SparkSession, places: Mapping[str, str]) -> None:
    folders = {name: folder for name, place in places.items() if (folder := local_path(place)) is not None}
    if not folders:
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


def check_stores(spark: SparkSession, places: Mapping[str, str]) -> None:
    """Lets executors read an object of the driver's in each bucket, and write one beside it; nothing is left behind.

    Runs on: driver.

    Raises:
        StorageError: of the driver, or what the store told an executor.
    """
    if not places:
        return
    probe_name = f".probe-{uuid.uuid4().hex}"
    asked = min(_MOST_ASKED, executors(spark))
    tasks = [{"places": dict(places), "probe": probe_name, "number": number} for number in range(asked)]
    try:
        for name, place in places.items():
            with storage_faults(place, f"write to {name}"):
                _put(place, probe_name)
        found = run_tasks(spark, ask_store, tasks, "asking executors for the store")
    finally:
        for place in places.values():
            filesystem, root = open_filesystem(place)
            for probe in (probe_name, *(f"{probe_name}-{task['number']}" for task in tasks)):
                delete_quietly(filesystem, f"{root}/{probe}")
    faults = [answer for answers in found for answer in answers if answer["fault"]]
    if faults:
        told = {f"{each['name']}: an executor on {each['host']}: {each['fault']}" for each in faults}
        raise StorageError(listed_some(sorted(told)), next((each["hint"] for each in faults if each["hint"]), None))


def _put(place: str, name: str) -> None:
    filesystem, root = open_filesystem(place)
    with filesystem.open_output_stream(f"{root}/{name}") as sink:
        sink.write(b"\0")


def ask_store(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What an executor is told by the stores: reads the driver's object in each place, and writes one beside it.

    Runs on: executor.
    """
    for name, place in task["places"].items():
        answer: dict[str, Any] = {"name": name, "host": socket.gethostname(), "fault": None, "hint": None}
        try:
            with storage_faults(place, "read what the driver wrote"):
                filesystem, root = open_filesystem(place)
                with filesystem.open_input_file(f"{root}/{task['probe']}") as source:
                    source.read()
            with storage_faults(place, "write"):
                _put(place, f"{task['probe']}-{task['number']}")
        except StorageError as error:
            answer |= {"fault": "; ".join(error.problems), "hint": error.hint}
        yield answer


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
