"""Commits of several processes, one of them killed or without disk: all or nothing."""

from __future__ import annotations

import json
import multiprocessing
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

from batchinfer.lake import delta
from batchinfer.lake.locks import table_lock

from .delta_tables import make_table, read, stage


def test_commit_waits_for_the_lock_of_the_table(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    staged = stage(uri, [1], "s")
    thread = threading.Thread(target=delta.commit, args=(uri, staged))
    with table_lock(uri):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive() and delta.table_version(uri) == 0
    thread.join()
    assert delta.table_version(uri) == 1


def commit_many(uri: str, worker: int, count: int) -> None:
    for turn in range(count):
        slice_ = f"{worker}-{turn % 3}"
        delta.commit(
            uri,
            stage(uri, [worker * 1000 + turn], slice_),
            replace={"slice": slice_},
            transactions=lambda version, slice_=slice_: {f"slice:{slice_}": version},
        )


def test_three_processes_lose_nothing(tmp_path: Path) -> None:
    uri = str(tmp_path / "table")
    context = multiprocessing.get_context("spawn")
    make_table(tmp_path)
    workers = [context.Process(target=commit_many, args=(uri, worker, 12)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert delta.table_version(uri) == 36
    last = [
        (worker * 1000 + turn, f"{worker}-{turn % 3}")
        for worker in range(3)
        for turn in (9, 10, 11)
    ]
    assert read(uri) == sorted(last, key=str)
    recorded = delta.transaction_versions(uri, [f"slice:{slice_}" for _, slice_ in last])
    for path, version in files_with_versions(uri).items():
        assert recorded[f"slice:{path}"] == version


def files_with_versions(uri: str) -> dict[str, int]:
    """The commit that added the current file of each slice."""
    found = {}
    for log in sorted((Path(uri) / "_delta_log").glob("*.json")):
        for line in log.read_text().splitlines():
            if added := json.loads(line).get("add"):
                found[added["partitionValues"]["slice"]] = int(log.stem)
    return found


KILLED = """
    import sys, time
    sys.path.insert(0, {tests!r})
    import delta_tables as here
    files = here.stage({uri!r}, [2], "s")
    print("staged", flush=True)
    time.sleep(60)
    here.delta.commit({uri!r}, files, replace={{"slice": "s"}})
"""


def test_kill_between_staging_and_commit_leaves_the_table_as_it_was(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, stage(uri, [1], "s"), transactions={"slice:s": 1})
    code = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent), uri=uri)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"staged\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(list(Path(uri).rglob("*.parquet"))) == 2
    assert read(uri) == [(1, "s")] and delta.table_version(uri) == 1
    delta.commit(uri, stage(uri, [3], "s"), replace={"slice": "s"})
    assert read(uri) == [(3, "s")]


FULL = """
    import resource, sys
    sys.path.insert(0, {tests!r})
    import delta_tables as here
    from batchinfer.errors import StorageError
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        here.stage({uri!r}, list(range(200_000)), "s")
    except StorageError as error:
        print(error.exit_code, error)
"""


def test_full_disk_is_a_storage_error_and_leaves_no_file(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    code = textwrap.dedent(FULL).format(tests=str(Path(__file__).parent), uri=uri)
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("8 ") and uri in said and "too large" in said
    assert not list(Path(uri).rglob("*.parquet"))
