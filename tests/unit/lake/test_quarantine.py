"""Quarantine: each bad record is there once, whatever was tried before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from batchinfer.contracts import BadRecord, StagedFile
from batchinfer.lake.quarantine import (
    commit_extract_quarantine,
    commit_quarantine,
    first_record,
    write_quarantine,
)

RUN: dict[str, Any] = {"pipeline": "p", "run_id": "r1", "published": True}


def bad(
    file: str | None, line: int | None, slice_: str | None = None, raw: bytes = b"\xff"
) -> BadRecord:
    return BadRecord(file, line, raw, "not_utf8", "message", None, slice_)


def read(uri: Path) -> list[tuple[Any, ...]]:
    rows = DeltaTable(str(uri)).to_pyarrow_table().to_pylist()
    return sorted(
        (
            (row["source_file"], row["source_line"], row["slice"], row["stage"], row["published"])
            for row in rows
        ),
        key=str,
    )


def stage(
    uri: Path, *records: BadRecord, slice_: str | None = "s", stage: str = "extract", **changes: Any
) -> list[StagedFile]:
    return write_quarantine(str(uri), records, stage=stage, slice=slice_, **RUN | changes)


def extract(
    uri: Path, staged: list[StagedFile], files: dict[str, int], published: bool = True, **more: Any
) -> int | None:
    options = {"scope": "landed|s", "slice": "s"} | more
    return commit_extract_quarantine(str(uri), staged, published=published, files=files, **options)


def parquet(uri: Path) -> list[Path]:
    return [path for path in uri.rglob("*.parquet") if path.parent.name != "_delta_log"]


def test_columns_and_partitions(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    extract(
        uri,
        stage(uri, bad("a.csv", 3), bad("a.csv", 4, "2015-05-18"), bad(None, None)),
        {"a.csv": 1},
    )
    [row] = [
        row
        for row in DeltaTable(str(uri)).to_pyarrow_table().to_pylist()
        if row["source_line"] == 3
    ]
    assert row.pop("at").tzinfo is not None
    assert row == {
        "pipeline": "p",
        "slice": "s",
        "stage": "extract",
        "source_file": "a.csv",
        "source_line": 3,
        "key": None,
        "raw": b"\xff",
        "reason": "not_utf8",
        "message": "message",
        "run_id": "r1",
        "published": True,
    }
    assert sorted(entry[2] for entry in read(uri)) == ["2015-05-18", "s", "s"]


def test_polars_reads_it_too(tmp_path: Path) -> None:
    import polars

    uri = tmp_path / "q"
    extract(
        uri, stage(uri, bad("a b.csv", 3), bad("a/b.csv", 4, "x y")), {"a b.csv": 1, "a/b.csv": 1}
    )
    rows = polars.read_delta(str(uri)).select("source_line", "slice", "stage", "published").rows()
    assert sorted(rows) == [(3, "s", "extract", True), (4, "x y", "extract", True)]


def test_nothing_bad_makes_no_table(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    assert stage(uri) == []
    assert extract(uri, [], {"a.csv": 1}) is None
    assert commit_quarantine(str(uri), [], slice="s", published=True, run_id="r") is None
    assert first_record(str(uri), "r1") is None and not uri.exists()


def test_crash_before_the_main_commit_adds_nothing_twice(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    files = {"a.csv": 1, "b.csv": 2}
    extract(uri, stage(uri, bad("a.csv", 1), bad("b.csv", 2)), files)
    once = read(uri)
    extract(uri, stage(uri, bad("a.csv", 1), bad("b.csv", 2)), files)
    assert read(uri) == once and len(parquet(uri)) == 2
    extract(
        uri, stage(uri, bad("a.csv", 1), bad("b.csv", 2), bad("c.csv", 3)), files | {"c.csv": 3}
    )
    assert len(read(uri)) == 3


def test_records_of_very_many_source_files_share_staged_files_and_are_still_there_once(
    tmp_path: Path,
) -> None:
    uri = tmp_path / "q"
    names = [f"{number}.csv" for number in range(100)]
    extract(uri, stage(uri, *(bad(name, 1) for name in names[:40])), dict.fromkeys(names[:40], 7))
    assert len(parquet(uri)) == 1
    extract(uri, stage(uri, *(bad(name, 1, name[0]) for name in names)), dict.fromkeys(names, 7))
    assert sorted(entry[0] for entry in read(uri)) == sorted(names)
    assert len(parquet(uri)) < 20, "what was copied without the records that were there is gone"
    extract(uri, stage(uri, bad(names[0], 2)), {names[0]: 8}, replaced=[names[0]])
    assert [entry[1] for entry in read(uri) if entry[0] == names[0]] == [2]
    assert len(read(uri)) == 100


def test_same_name_in_another_scope_is_another_file(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    extract(uri, stage(uri, bad("a.csv", 1)), {"a.csv": 1})
    extract(uri, stage(uri, bad("a.csv", 1), slice_="t"), {"a.csv": 1}, scope="landed|t", slice="t")
    assert [row[2] for row in read(uri)] == ["s", "t"]


def test_unpublished_records_give_way_to_later_runs_on_the_same_files(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    files = {"a.csv": 1}
    for _ in range(2):
        extract(uri, stage(uri, bad("a.csv", 1), bad("a.csv", 2)), files, published=False)
        assert [row[4] for row in read(uri)] == [False, False]
    extract(uri, stage(uri, bad("b.csv", 7)), {"b.csv": 1}, published=False)
    extract(uri, stage(uri, bad("a.csv", 1), bad("a.csv", 2)), files)
    assert [(row[0], row[1], row[4]) for row in read(uri)] == [
        ("a.csv", 1, True),
        ("a.csv", 2, True),
        ("b.csv", 7, False),
    ]


@pytest.mark.parametrize(("replaced", "left"), [(["a.csv"], [9]), ([], [1, 9])])
def test_changed_file_replaces_its_records_where_asked(
    tmp_path: Path, replaced: list[str], left: list[int]
) -> None:
    uri = tmp_path / "q"
    extract(uri, stage(uri, bad("a.csv", 1), bad("b.csv", 5)), {"a.csv": 1, "b.csv": 1})
    for _ in range(2):
        extract(uri, stage(uri, bad("a.csv", 9)), {"a.csv": 2}, replaced=replaced)
        assert [row[1] for row in read(uri) if row[0] == "a.csv"] == left
    assert len([row for row in read(uri) if row[0] == "b.csv"]) == 1


def test_score_replaces_what_earlier_runs_of_the_slice_put_aside(tmp_path: Path) -> None:
    uri = tmp_path / "q"

    def score(*lines: int, published: bool, slice_: str = "s") -> list[tuple[int, bool]]:
        staged = stage(uri, *(bad("a.csv", line) for line in lines), slice_=slice_, stage="score")
        commit_quarantine(str(uri), staged, slice=slice_, published=published, run_id="r")
        return sorted(
            (row[1], row[4]) for row in read(uri) if row[2] == slice_ and row[3] == "score"
        )

    extract(uri, stage(uri, bad("a.csv", 99)), {"a.csv": 1})
    assert score(1, published=False) == [(1, False)]
    assert score(2, published=False) == [(2, False)]
    assert score(3, 4, published=True) == [(3, True), (4, True)]
    assert score(5, published=False) == [(3, True), (4, True), (5, False)]
    assert score(6, published=True, slice_="t") == [(6, True)]
    assert score(published=True) == []
    assert [row[1] for row in read(uri)] == [6, 99]


def test_same_staged_files_committed_twice_change_nothing(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    staged = stage(uri, bad("a.csv", 1), stage="score")
    for _ in range(2):
        commit_quarantine(str(uri), staged, slice="s", published=True, run_id="r")
        assert len(read(uri)) == 1


def test_first_record_is_the_one_with_the_lowest_line(tmp_path: Path) -> None:
    uri = tmp_path / "q"
    extract(
        uri,
        stage(uri, bad("b.csv", 1), bad("a.csv", 9), bad("a.csv", 4, "z")),
        {"a.csv": 1},
        published=False,
    )
    extract(uri, stage(uri, bad("0.csv", 1), run_id="r2"), {"0.csv": 1}, published=False)
    found = first_record(str(uri), "r1")
    assert found == {
        "source_file": "a.csv",
        "source_line": 4,
        "reason": "not_utf8",
        "message": "message",
    }
    assert first_record(str(uri), "r3") is None
