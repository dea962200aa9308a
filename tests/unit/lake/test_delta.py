"""Commits: all or nothing, whoever else writes, and readable by everyone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction

from batchinfer.contracts import KEY_PROPERTY
from batchinfer.errors import InputError, SliceHeld, StorageError
from batchinfer.lake import delta, snapshots
from batchinfer.lake.staged_files import remove_staged

from .delta_tables import SCHEMA, make_table, read, stage


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
    first = [file.path for file in delta.snapshot_files(uri)]
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
    assert facts == {
        "reachable": True,
        "deletion_vectors": False,
        "column_mapping": False,
        "char_inside": False,
    }


def test_ids_written_by_others_are_read(tmp_path: Path) -> None:
    uri = make_table(tmp_path)
    table = DeltaTable(uri)
    properties = CommitProperties(app_transactions=[Transaction("spark", 7)])
    table.create_write_transaction(
        [], "append", table.schema(), ["slice"], commit_properties=properties
    )
    assert delta.transaction_versions(uri, ["spark"]) == {"spark": 7}
