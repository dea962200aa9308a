"""The ledger outlives checkpoints and log clean-up; the log reader agrees with deltalake."""

from __future__ import annotations

import datetime
import json
import shutil
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError, StorageError
from batchinfer.lake import delta, ledger, log, runs

SCHEMA = pa.schema([("k", pa.int64()), ("slice", pa.string())])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def make_table(folder: Path, interval: int = 10) -> str:
    uri = str(folder / "table")
    delta.ensure_table(
        uri, SCHEMA, ["slice"], configuration={"delta.checkpointInterval": str(interval)}
    )
    return uri


def test_ledger_survives_checkpoint_and_clean_up(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    delta.commit(
        uri,
        [],
        transactions=lambda at: (
            ledger.file_transactions("p", {"a.csv": 11, "b.csv": 2**63 - 1})
            | {ledger.slice_id("s"): at}
        ),
    )
    table = DeltaTable(uri)
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    table = DeltaTable(uri)
    table.create_checkpoint()
    delta.commit(
        uri,
        [],
        transactions=lambda at: (
            ledger.file_transactions("p", {"a.csv": 12}) | {ledger.slice_id(None): at}
        ),
    )
    time.sleep(0.05)
    DeltaTable(uri).cleanup_metadata()
    assert not (Path(uri) / "_delta_log" / f"{1:020}.json").exists()
    assert ledger.landed_files(uri, "p", ["a.csv", "b.csv", "c.csv"]) == {
        "a.csv": 12,
        "b.csv": 2**63 - 1,
        "c.csv": None,
    }
    assert ledger.landed_slices(uri) == {"s": 1, None: 3}


def test_ten_thousand_files_are_read_in_one_go(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    names = [f"day={number}/part.csv" for number in range(10_000)]
    delta.commit(
        uri,
        [],
        transactions=ledger.file_transactions(
            "p", {name: number for number, name in enumerate(names)}
        ),
    )
    for _ in range(2):
        assert ledger.landed_files(uri, "p", names) == {
            name: number for number, name in enumerate(names)
        }
        DeltaTable(uri).create_checkpoint()


@settings(max_examples=15, deadline=None)
@given(
    commits=st.lists(
        st.dictionaries(TEXT.filter(bool), st.integers(0, 2**63 - 1), max_size=4),
        min_size=1,
        max_size=7,
    )
)
def test_log_reader_agrees_with_deltalake(
    tmp_path_factory: pytest.TempPathFactory, commits: list[dict[str, int]]
) -> None:
    uri = make_table(tmp_path_factory.mktemp("log"), interval=3)
    for transactions in commits:
        delta.commit(uri, [], transactions=transactions)
        table = DeltaTable(uri)
        known = log.read_transactions(uri)
        assert known == {app_id: table.transaction_version(app_id) for app_id in known}
        assert set(transactions) <= set(known)
    assert set(known) == {app_id for transactions in commits for app_id in transactions}


@given(TEXT, TEXT, TEXT, TEXT)
@example("a", "b:c", "a:b", "c")
def test_ids_of_files_are_told_apart(scope: str, name: str, other_scope: str, other: str) -> None:
    same = ledger.file_id(scope, name) == ledger.file_id(other_scope, other)
    assert same == ((scope, name) == (other_scope, other))
    assert ledger.slice_id(scope) != ledger.slice_id(None)


def test_fingerprints_have_63_bits() -> None:
    assert ledger.fingerprint63(b"\xff" * 16) == 2**63 - 1
    with pytest.raises(InputError):
        ledger.fingerprint63(b"short")
    with pytest.raises(InputError):
        ledger.file_transactions("p", {"a": 2**63})


def split_checkpoint(log_folder: Path, kind: str) -> None:
    """Rewrites the classic checkpoint of version 3 as one in parts, or as a v2 checkpoint."""
    classic = log_folder / f"{3:020}.checkpoint.parquet"
    rows = pq.read_table(classic)
    classic.unlink()
    if kind == "parts":
        half = rows.num_rows // 2
        pq.write_table(
            rows.slice(0, half), log_folder / f"{3:020}.checkpoint.{1:010}.{2:010}.parquet"
        )
        pq.write_table(rows.slice(half), log_folder / f"{3:020}.checkpoint.{2:010}.{2:010}.parquet")
    elif kind == "v2 parquet":
        pq.write_table(rows, log_folder / f"{3:020}.checkpoint.{uuid.uuid4()}.parquet")
    else:
        actions = [{"txn": row["txn"]} for row in rows.select(["txn"]).to_pylist() if row["txn"]]
        text = "\n".join(
            json.dumps(action) for action in [{"checkpointMetadata": {"version": 3}}, *actions]
        )
        (log_folder / f"{3:020}.checkpoint.{uuid.uuid4()}.json").write_text(text)


@pytest.mark.parametrize("kind", ["classic", "parts", "v2 parquet", "v2 json"])
def test_every_kind_of_checkpoint_is_read(tmp_path: Path, kind: str) -> None:
    uri = make_table(tmp_path, interval=100)
    for number in range(3):
        delta.commit(uri, [], transactions={f"a{number}": number, "last": number})
    DeltaTable(uri).create_checkpoint()
    delta.commit(uri, [], transactions={"last": 9})
    folder = Path(uri) / "_delta_log"
    for version in range(3):
        (folder / f"{version:020}.json").unlink()
    if kind != "classic":
        split_checkpoint(folder, kind)
    assert log.read_transactions(uri) == {"a0": 0, "a1": 1, "a2": 2, "last": 9}
    assert log.read_transactions(uri, 3)["last"] == 2


def test_checkpoint_that_lacks_a_part_is_no_checkpoint(tmp_path: Path) -> None:
    uri = make_table(tmp_path, interval=100)
    for number in range(3):
        delta.commit(uri, [], transactions={f"a{number}": number})
    DeltaTable(uri).create_checkpoint()
    folder = Path(uri) / "_delta_log"
    shutil.copytree(folder, tmp_path / "whole")
    split_checkpoint(folder, "parts")
    next(folder.glob("*.checkpoint.*.parquet")).unlink()
    assert len(log.read_transactions(uri)) == 3
    (folder / f"{1:020}.json").unlink()
    with pytest.raises(StorageError, match="lacks version 1"):
        log.read_transactions(uri)


def test_corrupt_checkpoint_is_a_storage_error(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    DeltaTable(uri).create_checkpoint()
    (Path(uri) / "_delta_log" / f"{0:020}.checkpoint.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(StorageError, match="checkpoint cannot be read"):
        log.read_transactions(uri)


def test_runs_are_appended_and_the_latest_of_each_slice_is_found(tmp_path: Path) -> None:
    uri = str(tmp_path / "runs")
    assert runs.latest_runs(uri, "p") == {}
    start = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)
    rows = [
        ("r1", "p", "a", 0, "score"),
        ("r2", "p", "a", 2, "score"),
        ("r3", "p", "b", 1, "score"),
        ("r4", "q", "a", 3, "score"),
    ]
    for run_id, pipeline, slice_, minute, command in [
        *rows,
        ("r5", "p", None, 9, "train"),
        ("r6", "p", "a", 5, "extract"),
    ]:
        at = start + datetime.timedelta(minutes=minute)
        runs.append_run(
            uri,
            {
                "run_id": run_id,
                "pipeline": pipeline,
                "slice": slice_,
                "started_at": at,
                "command": command,
            },
        )
    latest = runs.latest_runs(uri, "p", command="score")
    assert {slice_: row.run_id for slice_, row in latest.items()} == {"a": "r2", "b": "r3"}
    assert (
        latest["a"].started_at == start + datetime.timedelta(minutes=2)
        and latest["a"].seconds is None
    )
    assert {slice_: row.run_id for slice_, row in runs.latest_runs(uri, "p").items()} == {
        "a": "r6",
        "b": "r3",
    }
    assert {slice_: row.run_id for slice_, row in runs.latest_runs(uri, "p", newest=1).items()} == {
        "a": "r6"
    }
    assert {
        slice_: row.run_id for slice_, row in runs.latest_runs(uri, "p", "score", newest=2).items()
    } == {
        "a": "r2",
        "b": "r3",
    }
    assert runs.latest_runs(uri, "q", newest=9).keys() == {"a"} and runs.latest_runs(
        uri, "p", "score", newest=9
    ).keys() == {
        "a",
        "b",
    }
    with pytest.raises(InputError, match="colour"):
        runs.append_run(uri, {"colour": "red"})
    with pytest.raises(InputError):
        runs.append_run(uri, {"seconds": "long"})
    with pytest.raises(InputError, match="started_at: got the text '2026-01-01'"):
        runs.append_run(uri, {"started_at": "2026-01-01"})
    assert delta.table_version(uri) == 6


def test_a_run_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    uri = str(tmp_path / "runs")
    east = datetime.timezone(datetime.timedelta(hours=9))
    at = datetime.datetime(2026, 11, 21, 3, 4, 5, 678901, tzinfo=east)
    report = {"pipeline": "größe \u2028 \0 '\"", "rows_in": 2**53 + 1, "cost": None}
    runs.append_run(
        uri,
        {
            "run_id": "r1", "pipeline": "p", "slice": "ü", "command": "score", "started_at": at,
            "seconds": 0.1 + 0.2, "rows_in": 2**53 + 1, "exit_code": 0,
            "report": json.dumps(report, ensure_ascii=False),
        },
    )  # fmt: skip
    [run] = runs.latest_runs(uri, "p").values()
    assert (run.started_at, run.seconds, run.rows_in) == (at, 0.1 + 0.2, 2**53 + 1)
    assert run.report == report and run.status is None


def test_of_many_runs_only_the_newest_files_are_opened(tmp_path: Path) -> None:
    uri = str(tmp_path / "runs")
    start = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)
    # Appended in another order than they started.
    for number in (3, 1, 4, 0, 5, 2):
        at = start + datetime.timedelta(minutes=number)
        runs.append_run(
            uri, {"run_id": f"r{number}", "pipeline": "p", "slice": f"s{number}", "started_at": at}
        )
    by_start = DeltaTable(uri).to_pyarrow_table().sort_by("started_at")
    for action in pa.table(DeltaTable(uri).get_add_actions(flatten=True)).to_pylist():
        if action["max.started_at"] < start + datetime.timedelta(minutes=3):
            Path(uri, action["path"]).unlink()
    assert [row.run_id for row in runs.latest_runs(uri, "p", newest=2).values()] == by_start[
        "run_id"
    ].to_pylist()[-2:]
    with pytest.raises(StorageError):
        runs.latest_runs(uri, "p")


@pytest.mark.parametrize(
    "text", ["", "7", "2026-11-21T00:00:00.123456", "ü" * 100, "a" * 7, "\0" * 15]
)
def test_marks_come_back_and_the_last_one_counts(tmp_path: Path, text: str) -> None:
    uri = make_table(tmp_path)
    assert ledger.read_mark(uri, "jdbc:orders") is None
    for mark in ("an earlier and much longer position than the next one", text):
        delta.commit(
            uri, [], transactions=ledger.mark_transactions({"jdbc:orders": mark, "jdbc:other": "x"})
        )
    DeltaTable(uri).create_checkpoint()
    assert (ledger.read_mark(uri, "jdbc:orders"), ledger.read_mark(uri, "jdbc:other")) == (
        text,
        "x",
    )


def test_a_mark_has_a_limit() -> None:
    with pytest.raises(InputError, match="8193 bytes"):
        ledger.mark_transactions({"http": "x" * 8193})
