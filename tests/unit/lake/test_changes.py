"""What commits of a Delta log come to: rows that came, rows that went, and what OPTIMIZE only
moved.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.errors import StorageError
from batchinfer.lake.changes import Commit, CommitFile, last_versions, net_changes, read_commits


def rows(*numbers: int) -> pa.Table:
    return pa.table({"id": list(numbers), "day": [f"d{n % 2}" for n in numbers]})


def names(files: list[CommitFile]) -> set[str]:
    return {file.path for file in files}


def live(table: DeltaTable) -> set[str]:
    return set(pa.table(table.get_add_actions())["path"].to_pylist())


def test_files_that_an_append_added_and_a_delete_removed(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    write_deltalake(place, rows(0, 1), partition_by=["day"])
    before = live(DeltaTable(place))
    write_deltalake(place, rows(2), mode="append")
    DeltaTable(place).delete("id = 1")
    commits = read_commits(place, 0, 2)
    assert commits is not None
    changes = net_changes(commits)
    assert names(changes.added) == live(DeltaTable(place)) - before
    assert {file.partition["day"] for file in changes.removed if file.partition} == {"d1"}
    undone = net_changes(commits, backwards=True)
    assert (undone.added, undone.removed) == (changes.removed, changes.added)


def test_optimize_changes_nothing_and_a_file_that_came_and_went_is_in_neither(
    tmp_path: Path,
) -> None:
    place = str(tmp_path / "t")
    write_deltalake(place, rows(0))
    write_deltalake(place, rows(1), mode="append")
    DeltaTable(place).optimize.compact()
    commits = read_commits(place, 1, 2)
    assert commits is not None
    assert not net_changes(commits)
    assert len(commits[0].rewritten_from) == 2
    assert names(commits[0].rewritten_to) == live(DeltaTable(place))
    write_deltalake(place, rows(2), mode="append")
    DeltaTable(place).delete("id = 2")
    later = read_commits(place, 2, 4)
    assert later is not None
    assert not net_changes(later)


def test_the_version_that_had_a_file_is_the_one_before_it_went(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    for number in (0, 2):
        write_deltalake(place, rows(number), mode="append")
    gone = dict.fromkeys(live(DeltaTable(place)), 1)
    DeltaTable(place).optimize.compact()
    write_deltalake(place, rows(4), mode="append")
    before = live(DeltaTable(place))
    DeltaTable(place).delete("id = 4")
    gone |= dict.fromkeys(before - live(DeltaTable(place)), 3)
    assert len(gone) == 3
    assert last_versions(place, gone, 4) == gone
    assert last_versions(place, [*live(DeltaTable(place)), "never.parquet"], 4) == {}
    (tmp_path / f"t/_delta_log/{2:020}.json").unlink()
    assert list(last_versions(place, gone, 4).values()) == [3], "the log no longer tells of two"


def test_a_commit_that_clean_up_took_is_told(tmp_path: Path) -> None:
    place = str(tmp_path / "t")
    for number in range(3):
        write_deltalake(place, rows(number), mode="append")
    (tmp_path / "t/_delta_log/00000000000000000001.json").unlink()
    assert read_commits(place, 0, 2) is None
    assert [commit.version for commit in read_commits(place, 1, 2) or ()] == [2]
    assert read_commits(place, 2, 2) == []


@pytest.mark.parametrize("line", ["{", "[1]", '"add"'])
def test_a_log_that_is_none_is_told(tmp_path: Path, line: str) -> None:
    log = tmp_path / "t/_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000001.json").write_text(line)
    with pytest.raises(StorageError, match="version 1 of the log is no Delta commit"):
        read_commits(str(tmp_path / "t"), 0, 1)


def test_actions_as_other_writers_leave_them(tmp_path: Path) -> None:
    """No dataChange counts as a change; paths are encoded; a deletion vector makes another file of
    the same path.
    """
    log = tmp_path / "t/_delta_log"
    log.mkdir(parents=True)
    vector = {
        "storageType": "u",
        "pathOrInlineDv": "ab",
        "offset": 1,
        "sizeInBytes": 3,
        "cardinality": 2,
    }
    actions: list[dict[str, Any]] = [
        {"commitInfo": {}},
        {"metaData": {"configuration": {"delta.enableChangeDataFeed": "true"}}},
        {"remove": {"path": "day=a%20b/x.parquet"}},
        {
            "add": {
                "path": "day=a%20b/x.parquet",
                "partitionValues": {"day": "a b"},
                "size": 7,
                "deletionVector": vector,
            }
        },
    ]
    (log / "00000000000000000001.json").write_text(
        "\n".join(json.dumps(action) for action in actions) + "\n"
    )
    [commit] = read_commits(str(tmp_path / "t"), 0, 1) or []
    assert commit.properties == [{"delta.enableChangeDataFeed": "true"}]
    changes = net_changes([commit])
    assert changes.removed == [CommitFile("day=a b/x.parquet", None, None, None)]
    assert changes.added == [CommitFile("day=a b/x.parquet", "uab@1", {"day": "a b"}, 7)]


@given(st.lists(st.sets(st.integers(0, 6)), max_size=8))
def test_the_net_change_is_the_difference_of_the_states(states: list[set[int]]) -> None:
    """Whatever happens in between, what came and went is what the last state has more and less than
    the first.
    """
    files = {number: CommitFile(str(number), None, {}, 1) for number in range(7)}
    commits, before = [], set[int]()
    for version, after in enumerate(states):
        commits.append(
            Commit(version, [files[n] for n in after - before], [files[n] for n in before - after])
        )
        before = after
    first: set[int] = states[0] if states else set()
    changes = net_changes(commits[1:])
    assert names(changes.added) == {str(n) for n in before - first}
    assert names(changes.removed) == {str(n) for n in first - before}
