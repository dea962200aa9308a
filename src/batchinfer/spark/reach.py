"""Whether executors on other machines reach the places that the driver writes to, found out before
a run.

A folder that only the driver's machine has seems to work: each machine then makes one of its own,
and what executors write there is lost. A bucket is one and the same for all, but a machine may have
no way to it, or no credentials.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from batchinfer.errors import ConfigError, StorageError, listed_some
from batchinfer.lake.parquet import delete_quietly, make_folder
from batchinfer.lake.table_places import is_reachable, local_path, open_filesystem, storage_faults
from batchinfer.spark.capacity import executors
from batchinfer.spark.shipping import is_local
from batchinfer.spark.tasks import Work, run_tasks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# As many are asked as there are executors, up to this many.
_MOST_ASKED = 64


def check_reach(spark: SparkSession, places: Mapping[str, str]) -> None:
    """Asks executors on other machines for the folders and buckets among these places; raises as
    `ask_executors` does.
    """
    if not is_local(spark.sparkContext.master):
        ask_executors(spark, {name: place for name, place in places.items() if is_reachable(place)})


def ask_executors(spark: SparkSession, places: Mapping[str, str]) -> None:
    """Lets executors see a file of the driver's in each place, and write one beside it; nothing is
    left behind.

    Args:
        places: by the name of their setting.

    Runs on: driver.

    Raises:
        ConfigError: a folder that an executor cannot see, cannot write to, or has a folder of its
            own in place of.
        StorageError: the driver itself cannot write there; what a store told an executor.
    """
    probe = f".probe-{uuid.uuid4().hex}"
    tasks = [
        ReachQuestion(dict(places), probe, f"{probe}-{number}")
        for number in range(min(_MOST_ASKED, executors(spark)))
    ]
    try:
        for name, place in places.items():
            with storage_faults(place, f"write to {name}"):
                _put(place, probe)
        work = Work(look, ReachQuestion, ReachAnswer)
        answers = [
            answer
            for of_task in run_tasks(spark, work, tasks, "asking executors for the lake")
            for answer in of_task
        ]
        # A store is one and the same for all; a folder that an executor wrote to may be another one
        # of that name.
        answers = [_seen(answer, places) for answer in answers]
    finally:
        for place in places.values():
            filesystem, root = open_filesystem(place)
            for file in (probe, *(task.own for task in tasks)):
                # One of an executor's user that may not be removed says nothing about the places.
                delete_quietly(filesystem, f"{root}/{file}")
    _raise([answer for answer in answers if answer.fault], places)


@dataclass(frozen=True)
class ReachQuestion:
    """What an executor is asked: the places by their names, the name of the driver's file in each,
    and of the one that it shall write.
    """

    places: Mapping[str, str]
    probe: str
    own: str


@dataclass(frozen=True)
class ReachAnswer:
    """What an executor found in one place; `fault` is None where all was well."""

    name: str
    own: str
    host: str
    fault: str | None
    hint: str | None


def _seen(answer: ReachAnswer, places: Mapping[str, str]) -> ReachAnswer:
    folder = local_path(places[answer.name])
    if folder is None or answer.fault is not None or (folder / answer.own).exists():
        return answer
    return replace(answer, fault="wrote a file there that the driver does not see")


def _raise(faults: Sequence[ReachAnswer], places: Mapping[str, str]) -> None:
    folders = {
        f"{each.name}: got {places[each.name]}; an executor on {each.host} "
        f"{each.fault}; allowed: a place that all machines reach"
        for each in faults
        if local_path(places[each.name]) is not None
    }
    if folders:
        hint = (
            "all machines have to reach these places: a mounted folder (NFS, EFS), hdfs:// or "
            "s3a://"
        )
        raise ConfigError(sorted(folders), hint)
    if faults:
        told = {f"{each.name}: an executor on {each.host}: {each.fault}" for each in faults}
        raise StorageError(
            listed_some(sorted(told)), next((each.hint for each in faults if each.hint), None)
        )


def _put(place: str, name: str) -> None:
    filesystem, root = open_filesystem(place)
    make_folder(filesystem, root)
    with filesystem.open_output_stream(f"{root}/{name}") as sink:
        sink.write(b"\0")


def look(task: ReachQuestion) -> Iterator[ReachAnswer]:
    """What an executor sees of the driver's files; writes one of its own beside each.

    Runs on: executor.
    """
    for name, place in task.places.items():
        folder = local_path(place)
        fault, hint = _in_store(place, task) if folder is None else (_in_folder(folder, task), None)
        yield ReachAnswer(name, task.own, socket.gethostname(), fault, hint)


def _in_folder(folder: Path, task: ReachQuestion) -> str | None:
    if not (folder / task.probe).exists():
        return "sees a folder of its own there" if folder.is_dir() else "has no such folder"
    try:
        (folder / task.own).touch()
    except OSError as error:
        return f"cannot write there ({error.strerror})"
    return None


def _in_store(place: str, task: ReachQuestion) -> tuple[str | None, str | None]:
    """(what the store answered, what helps); None where all went well."""
    try:
        with storage_faults(place, "read what the driver wrote"):
            filesystem, root = open_filesystem(place)
            with filesystem.open_input_file(f"{root}/{task.probe}") as source:
                source.read()
        with storage_faults(place, "write"):
            _put(place, task.own)
    except StorageError as error:
        return "; ".join(error.problems), error.hint
    return None, None
