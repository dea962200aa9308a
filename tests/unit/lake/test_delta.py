"""Commits: all or nothing, whoever else writes, and readable by everyone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction

from batchinfer.contracts import KEY_PROPERTY, StagedFile
from batchinfer.errors import InputError, SliceHeld, StorageError
from batchinfer.lake import delta, snapshots
from batchinfer.lake.locks import table_lock
from batchinfer.lake.staged_files import read_staged, remove_staged
from batchinfer.lake.staging import StagedWriter

SCHEMA = pa.schema(
    [
        pa.field("k", pa.int64(), metadata={"comment": "The key."}),
        pa.field("slice", pa.string(), metadata={"comment": "The slice."}),
        pa.field("name", pa.string()),
        pa.field("at", pa.timestamp("us", tz="UTC")),
    ]
)
ODD_SLICES = ["2015-05-18", "a b", "a/b", "50%", "ü", "..", "x=y:z", "a%20b", "é" * 40, None]


def make_table(folder: Path, **options: Any) -> str:
    uri = str(folder / "table")
    delta.ensure_table(
        uri,
        SCHEMA,
        ["slice"],
        "About.",
        {KEY_PROPERTY: "k"},
        stats_columns=["k", "slice"],
        **options,
    )
    return uri


def stage(
    uri: str, keys: list[int], slice_: str | None, names: list[str] | None = None
) -> list[StagedFile]:
    with StagedWriter(uri, SCHEMA, ["slice"], ["k"]) as writer:
        rows = {"k": keys, "name": names or ["n"] * len(keys), "at": [0] * len(keys)}
        schema = pa.schema([field for field in SCHEMA if field.name != "slice"])
        writer.write(
            pa.RecordBatch.from_pydict(
                {name: pa.array(rows[name], schema.field(name).type) for name in schema.names}
            ),
            {"slice": slice_},
        )
        return writer.close()


def read(uri: str) -> list[tuple[int, str | None]]:
    rows = DeltaTable(uri).to_pyarrow_table().to_pylist()
    return sorted(((row["k"], row["slice"]) for row in rows), key=str)


def test_table_has_comments_key_and_no_features(tmp_path: Path) -> None:
    uri = make_table(tmp_path, name="t")
    table = DeltaTable(uri)
    assert table.metadata().description == "About." and table.metadata().name == "t"
    assert table.metadata().configuration["delta.dataSkippingStatsColumns"] == "k"
    assert table.metadata().configuration[KEY_PROPERTY] == "k"
    assert (table.protocol().min_reader_version, table.protocol().reader_features) == (1, None)
    assert delta.table_schema(uri).field("slice").metadata == {b"comment": b"The slice."}
    assert (
        delta.exists(uri)
        and delta.table_version(uri) == 0
        and not delta.exists(str(tmp_path / "other"))
    )


def test_odd_slices_are_read_by_every_reader(tmp_path: Path) -> None:
    import duckdb
    import duckdb_extension_delta
    import polars

    uri = make_table(tmp_path)
    for number, slice_ in enumerate(ODD_SLICES):
        delta.commit(uri, stage(uri, [number], slice_), replace={"slice": slice_}, schema=SCHEMA)
    expected = sorted(((number, slice_) for number, slice_ in enumerate(ODD_SLICES)), key=str)
    assert read(uri) == expected
    assert sorted(DeltaTable(uri).to_pandas()["k"]) == list(range(len(ODD_SLICES)))
    assert sorted(polars.read_delta(uri).select("k", "slice").rows(), key=str) == expected
    [folder] = duckdb_extension_delta.__path__
    [extension] = Path(folder).glob("extensions/*/delta.duckdb_extension")
    with duckdb.connect() as connection:
        connection.load_extension(str(extension))
        assert (
            sorted(
                connection.execute(f"SELECT k, slice FROM delta_scan('{uri}')").fetchall(), key=str
            )
            == expected
        )


def test_replacing_odd_slices_touches_only_their_own_files(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    for number, slice_ in enumerate(ODD_SLICES):
        delta.commit(uri, stage(uri, [number], slice_))
    for number, slice_ in enumerate(ODD_SLICES):
        [before] = delta.snapshot_files(uri, {"slice": slice_})
        assert (
            (Path(uri) / before["path"]).is_file()
            and before["rows"] == 1
            and before["partition"] == {"slice": slice_}
        )
        delta.commit(uri, stage(uri, [100 + number], slice_), replace={"slice": slice_})
    assert read(uri) == sorted(
        ((100 + number, slice_) for number, slice_ in enumerate(ODD_SLICES)), key=str
    )


def test_file_uri_and_plain_path_are_one_table(tmp_path: Path) -> None:
    folder = tmp_path / "a b%"
    uri = make_table(folder)
    as_uri = (folder / "table").as_uri()
    delta.commit(as_uri, stage(as_uri, [1], "s"))
    assert delta.snapshot_files(uri) == delta.snapshot_files(as_uri) and read(uri) == [(1, "s")]


def test_commit_removes_files_by_path_and_refuses_unknown_ones(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, stage(uri, [1], "s"))
    delta.commit(uri, stage(uri, [2], "s"))
    first = [file["path"] for file in delta.snapshot_files(uri)]
    delta.commit(uri, stage(uri, [3], "s"), remove=first)
    assert read(uri) == [(3, "s")]
    with pytest.raises(StorageError, match="not in version 3"):
        delta.commit(uri, [], remove=first)
    assert delta.table_version(uri) == 3


def test_nothing_to_do_makes_no_commit(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    assert delta.commit(uri, []) == 0
    assert delta.commit(uri, [], replace={"slice": "none"}) == 0
    assert delta.table_version(uri) == 0


def test_rows_of_a_value_are_replaced_and_other_rows_of_their_files_stay(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(
        uri,
        stage(uri, [1, 2, 3], "s", ["a", "b", "a"])
        + stage(uri, [4], "t", ["a"])
        + stage(uri, [5], "t", ["b"]),
    )
    kept = [file["path"] for file in delta.snapshot_files(uri, {"slice": "t"}) if file["rows"] == 1]
    version = delta.commit(
        uri,
        stage(uri, [6], "u"),
        replace_rows={"name": ["a"], "slice": None},
        touch=lambda partition: f"slice:{partition['slice']}",
    )
    assert read(uri) == [(2, "s"), (5, "t"), (6, "u")]
    assert delta.transaction_versions(uri, ["slice:s", "slice:t", "slice:u", "slice:v"]) == {
        f"slice:{s}": version for s in "stu"
    }
    assert (
        len([file for file in delta.snapshot_files(uri, {"slice": "t"}) if file["path"] in kept])
        == 1
    )
    delta.commit(uri, [], replace_rows={"name": ["b"], "slice": "t"})
    assert read(uri) == [(2, "s"), (6, "u")]


def test_rows_of_a_key_of_several_columns_are_replaced(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(
        uri, stage(uri, [1, 2, 3], "s", ["a", "b", "a"]) + stage(uri, [1, 2], "t", ["a", "a"])
    )
    coming = stage(uri, [1, 3], "u", ["a", "b"])
    keys = read_staged(uri, coming, ["k", "name"])
    delta.commit(uri, coming, replace_rows={"k": keys["k"], "name": keys["name"], "slice": None})
    assert read(uri) == [(1, "u"), (2, "s"), (2, "t"), (3, "s"), (3, "u")]
    # Alone a number is a key too, whatever width the one who asks has for it.
    delta.commit(
        uri, [], replace_rows={"k": pa.chunked_array([pa.array([2], pa.int16())]), "slice": "t"}
    )
    assert read(uri) == [(1, "u"), (2, "s"), (3, "s"), (3, "u")]


def test_transactions_know_the_version_of_their_commit(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, stage(uri, [1], "s"))
    version = delta.commit(
        uri, stage(uri, [2], "s"), transactions=lambda version: {"slice:s": version, "x": 2**63 - 1}
    )
    assert version == 2 == delta.table_version(uri)
    assert delta.transaction_versions(uri, ["slice:s", "x", "y"]) == {"slice:s": 2, "x": 2**63 - 1}


def test_guard_refuses_a_commit_computed_from_an_older_state(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, [], transactions={"slice:s": 1}, guard={"slice:s": None})
    delta.commit(uri, [], transactions={"slice:s": 2}, guard={"slice:s": 1})
    with pytest.raises(SliceHeld, match="slice:s"):
        delta.commit(uri, stage(uri, [1], "s"), guard={"slice:s": 1})
    assert read(uri) == []


def test_conflict_is_tried_again_on_the_new_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, stage(uri, [1], "s"))
    opened = delta.open_table
    others = [stage(uri, [2], "s"), stage(uri, [3], "t")]

    def open_then_lose_the_race(place: str) -> DeltaTable:
        table = opened(place)
        if others:
            # A writer that does not take the lock, as Spark does not.
            [staged] = others.pop()
            from deltalake.transaction import AddAction

            action = AddAction(staged.path, staged.size, staged.partition, 0, True, staged.stats)
            opened(place).create_write_transaction([action], "append", table.schema(), ["slice"])
        return table

    monkeypatch.setattr(delta, "open_table", open_then_lose_the_race)
    version = delta.commit(
        uri, stage(uri, [9], "s"), replace={"slice": "s"}, transactions=lambda at: {"slice:s": at}
    )
    assert version == 4 and delta.transaction_versions(uri, ["slice:s"]) == {"slice:s": 4}
    assert read(uri) == [(3, "t"), (9, "s")]


def test_commit_that_stands_although_its_hook_failed_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = make_table(tmp_path)
    write = delta._write

    def write_then_fail(*arguments: Any) -> int:
        write(*arguments)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(delta, "_write", write_then_fail)
    assert delta.commit(uri, stage(uri, [1], "s")) == 1
    assert read(uri) == [(1, "s")]


def test_staged_file_that_is_gone_or_cut_short_is_never_committed(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    [staged] = stage(uri, [1], "s")
    os.truncate(Path(uri) / staged.path, 10)
    with pytest.raises(StorageError, match="found 10"):
        delta.commit(uri, [staged])
    (Path(uri) / staged.path).unlink()
    with pytest.raises(StorageError, match="no file"):
        delta.commit(uri, [staged])
    assert delta.table_version(uri) == 0


def test_existing_table_is_held_to_its_contract(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    other = pa.schema(
        [
            ("k", pa.string()),
            ("slice", pa.string()),
            ("at", pa.timestamp("us", tz="UTC")),
            ("new", pa.float64()),
        ]
    )
    with pytest.raises(InputError) as caught:
        delta.ensure_table(uri, other, [], configuration={KEY_PROPERTY: "k,new"})
    said = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 5
    assert all(
        word in said
        for word in (
            "column k is int64",
            "no column new",
            "column name",
            "partitioned by",
            "key is k;",
        )
    )
    with pytest.raises(InputError, match="no column new"):
        delta.commit(uri, stage(uri, [1], "s"), schema=SCHEMA.append(pa.field("new", pa.float64())))


def test_evolve_adds_nullable_columns_with_comments(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, stage(uri, [1], "s"))
    wider = SCHEMA.append(
        pa.field("new", pa.float64(), nullable=False, metadata={"comment": "New."})
    ).remove(2)
    with pytest.raises(InputError):
        delta.ensure_table(uri, wider, ["slice"])
    assert delta.ensure_table(uri, wider, ["slice"], evolve=True) == 2
    assert delta.ensure_table(uri, wider, ["slice"], evolve=True) == 2
    field = delta.table_schema(uri).field("new")
    assert field.nullable and field.metadata == {b"comment": b"New."}
    assert DeltaTable(uri).to_pyarrow_table().to_pylist()[0]["new"] is None


@pytest.mark.parametrize("damage", ["garbage", "gap", "none"])
def test_damaged_log_is_a_storage_error(tmp_path: Path, damage: str) -> None:
    uri = make_table(tmp_path)
    delta.commit(uri, stage(uri, [1], "s"), transactions={"a": 1})
    delta.commit(uri, stage(uri, [2], "s"), transactions={"a": 2})
    log = Path(uri) / "_delta_log"
    if damage == "garbage":
        (log / f"{2:020}.json").write_text('{"txn": no')
    elif damage == "gap":
        (log / f"{1:020}.json").unlink()
    else:
        for file in log.iterdir():
            file.unlink()
    with pytest.raises(StorageError) as caught:
        delta.transaction_versions(uri, ["a"])
    assert uri in str(caught.value) and caught.value.exit_code == 8
    with pytest.raises(StorageError, match="open the Delta table"):
        delta.snapshot_files(uri)


def test_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "table").write_text("")
    with pytest.raises(StorageError, match=str(tmp_path / "table")):
        make_table(tmp_path)


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


def test_staged_files_are_removed_unless_the_table_holds_them(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    committed, orphan = stage(uri, [1], "a/b"), stage(uri, [2], "s")
    delta.commit(uri, committed)
    assert remove_staged(uri, committed + orphan) == 1
    assert read(uri) == [(1, "a/b")]
    more = stage(uri, [3], "s")
    (Path(uri) / "_delta_log" / f"{1:020}.json").write_text("garbage")
    assert remove_staged(uri, committed + more) == 0


def test_facts_of_a_table_that_plain_readers_can_read(tmp_path: Path) -> None:
    facts = snapshots.reading_facts(make_table(tmp_path))
    assert facts == {"reachable": True, "deletion_vectors": False, "column_mapping": False}


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
    import test_delta as here
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
    import test_delta as here
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


def test_ids_written_by_others_are_read(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    table = DeltaTable(uri)
    properties = CommitProperties(app_transactions=[Transaction("spark", 7)])
    table.create_write_transaction(
        [], "append", table.schema(), ["slice"], commit_properties=properties
    )
    assert delta.transaction_versions(uri, ["spark"]) == {"spark": 7}
