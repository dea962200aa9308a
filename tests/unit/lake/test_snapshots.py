"""Files of one partition, out of a table of many, and what becomes of a column that is no
partition.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batchinfer.lake import delta
from batchinfer.lake.snapshots import open_table, snapshot_files, table_files


def make_table(folder: Path) -> str:
    uri = str(folder / "table")
    rows = {"k": [1, 2, 3, 4, 5], "slice": ["a", "b", "a", None, "b"], "n": [1, 1, 2, 2, 2]}
    write_deltalake(
        uri,
        pa.table(rows, pa.schema({"k": pa.int64(), "slice": pa.string(), "n": pa.int64()})),
        partition_by=["slice", "n"],
    )
    return uri


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"slice": "a"},
        {"slice": None},
        {"n": "2"},
        {"slice": "b", "n": "2"},
        {"slice": "z"},
        {"k": "1"},
        {"k": None},
    ],
)
def test_files_of_a_partition_are_those_that_a_whole_listing_has(
    tmp_path: Path, wanted: dict[str, str | None]
) -> None:
    uri = make_table(tmp_path)
    whole = table_files(open_table(uri))
    assert len(whole) == 5
    expected = [
        file
        for file in whole
        if all(file.partition.get(name) == value for name, value in wanted.items())
    ]
    assert table_files(open_table(uri), wanted) == snapshot_files(uri, wanted) == expected


def test_a_commit_lists_only_the_partition_that_it_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = make_table(tmp_path)
    asked = []

    def listed(table: object, partition: object = None) -> list[dict[str, object]]:
        asked.append(partition)
        return table_files(table, partition)  # type: ignore[arg-type]

    monkeypatch.setattr(delta, "table_files", listed)
    delta.commit(uri, [], replace={"slice": "b"})
    assert asked == [{"slice": "b"}] and sorted(
        file.partition["slice"] or "" for file in table_files(open_table(uri))
    ) == [
        "",
        "a",
        "a",
    ]
    delta.commit(uri, [], replace=[{"slice": "a", "n": "1"}, {"slice": None}])
    assert asked[1:] == [None] and [file.partition for file in table_files(open_table(uri))] == [
        {"slice": "a", "n": "2"}
    ]
    with pytest.raises(KeyError, match="day"):
        delta.commit(uri, [], replace={"day": "b"})
