"""Splits: every row is read exactly once, by tasks of about equal size, with flat memory."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchinfer.contracts import DataFile
from batchinfer.errors import InputError, InputMissing
from batchinfer.inference import splits
from batchinfer.inference.split_reading import Split, read_split, whole_file
from batchinfer.inference.splits import _balance, plan_splits
from batchinfer.json_values import from_json, to_json


def _write(
    folder: Path, sizes: Sequence[int], group: int, slice_: str | None = "2026-11-21"
) -> list[DataFile]:
    files, start = [], 0
    for number, size in enumerate(sizes):
        path = folder / f"part-{number}-{size}-{group}.parquet"
        table = pa.table(
            {
                "id": pa.array(range(start, start + size), pa.int64()),
                "text": [f"{i:05d}" for i in range(start, start + size)],
            }
        )
        pq.write_table(table, path, row_group_size=group, compression="none")
        files.append(DataFile(str(path), path.stat().st_size, size, {"slice": slice_}))
        start += size
    return files


def _ids(tasks: list[Split], **options: Any) -> list[int]:
    return [
        i
        for task in tasks
        for batch in read_split(task, ["id"], **options)
        for i in batch.column("id").to_pylist()
    ]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.integers(0, 300), max_size=5),
    st.integers(1, 120),
    st.integers(1, 4),
    st.integers(1, 20_000),
)
def test_every_row_exactly_once(
    tmp_path: Path, sizes: list[int], group: int, workers: int, target: int
) -> None:
    files = _write(tmp_path, sizes, group)
    tasks = plan_splits(files, workers, target, 1000)
    assert from_json(list[Split], to_json(tasks)) == tasks
    assert plan_splits(files, workers, target, 1000) == tasks
    assert sorted(_ids(tasks, batch_rows=64)) == list(range(sum(sizes)))
    assert sum(task.rows for task in tasks) == sum(sizes)


def test_large_files_are_opened_side_by_side_and_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = _write(tmp_path, [900, 800, 700], 100)
    alone = plan_splits(files, 2, smallest_bytes=1)
    together, opened, real = threading.Barrier(2, timeout=10), [], splits.group_rows

    def meet(path: str) -> list[int]:
        opened.append(path)
        if len(opened) <= 2:
            together.wait()
        return real(path)

    monkeypatch.setattr(splits, "group_rows", meet)
    assert plan_splits(files, 2, smallest_bytes=1) == alone
    assert sorted(opened) == sorted(file.path for file in files)


def test_one_large_file_gives_work_to_all(tmp_path: Path) -> None:
    tasks = plan_splits(_write(tmp_path, [8000], 100), workers=3, smallest_bytes=1)
    assert len(tasks) == 6
    rows = [task.rows for task in tasks]
    assert max(rows) - min(rows) <= 200


def test_one_row_group_is_shared_where_workers_would_idle(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"x": range(100_001), "y": [0.5] * 100_001}), path, row_group_size=200_000
    )
    files = [DataFile(str(path), 10 * 2**20, 100_001)]
    tasks = plan_splits(files, 3)
    assert [task.rows for task in tasks] == [33_333, 33_334, 33_334]
    read = [
        [
            x
            for batch in read_split(task, ["x"], batch_rows=7_000)
            for x in batch.column("x").to_pylist()
        ]
        for task in tasks
    ]
    assert [len(rows) for rows in read] == [task.rows for task in tasks]
    assert sorted(x for rows in read for x in rows) == list(range(100_001))
    assert (
        len(plan_splits([replace(files[0], size=300_000)], 3, smallest_bytes=256 * 2**10)) == 1
    ), "too little to share"


def test_few_large_tasks_of_many_small_files(tmp_path: Path) -> None:
    tasks = plan_splits(_write(tmp_path, [50] * 40, 100), workers=2, smallest_bytes=1)
    assert len(tasks) == 4
    assert [task.rows for task in tasks] == [500] * 4


def test_the_largest_tasks_come_first_and_each_worker_s_last_ones_are_smaller(
    tmp_path: Path,
) -> None:
    files = [DataFile(str(tmp_path / f"absent-{i}"), 40 * 2**20, 10) for i in range(12)]
    tasks = plan_splits(files, 2, target_bytes=2**30)
    assert [task.bytes // 2**20 for task in tasks] == [120, 120, 80, 80, 40, 40]
    assert [task.bytes for task in plan_splits(files[:1] * 5, 1, target_bytes=2**30)] == [
        2**20 * n for n in (120, 40, 40)
    ]
    assert _balance([3, 2, 2], [1.0, 1.0]) == [[1, 2], [0]]
    assert [task.bytes for task in plan_splits(files, 2, target_bytes=2**30, rounds=1)] == [
        240 * 2**20
    ] * 2
    few = [replace(file, size=file.size // 10) for file in files[:1] * 8]
    assert [task.bytes for task in plan_splits(few, 2, smallest_bytes=1)] == [8 * 2**20] * 4, (
        "too small to be worth it"
    )


def test_where_row_groups_are_coarse_only_as_many_are_halved_as_the_last_tasks_need(
    tmp_path: Path,
) -> None:
    path = tmp_path / "coarse.parquet"
    pq.write_table(pa.table({"id": range(5_000)}), path, row_group_size=1_000)
    files = [DataFile(str(path), 500 * 2**20, 5_000)]
    tasks = plan_splits(files, 2, target_bytes=2**30)
    assert [task.rows for task in tasks] == [1_500, 1_000, 1_000, 500, 500, 500]
    assert sorted(_ids(tasks, batch_rows=70)) == list(range(5_000))
    shares = [part.rows for task in tasks for part in task.parts if part.rows]
    assert sorted(shares) == [(0, 500), (0, 500), (500, 1_000), (500, 1_000)]


def test_little_data_is_one_task(tmp_path: Path) -> None:
    assert len(plan_splits(_write(tmp_path, [50] * 4, 10), workers=8)) == 1
    assert plan_splits([], workers=8) == []


def test_tasks_are_no_larger_than_the_target(tmp_path: Path) -> None:
    files = _write(tmp_path, [4000, 4000], 50)
    target = sum(file.size for file in files) // 10
    tasks = plan_splits(files, 2, target, 1)
    assert len(tasks) >= 10
    assert len(tasks) % 2 == 0
    assert all(task.bytes <= 1.15 * target for task in tasks)


def test_small_files_are_not_opened_to_plan(tmp_path: Path) -> None:
    files = [DataFile(str(tmp_path / f"absent-{i}.parquet"), 100, 10) for i in range(8)]
    assert len(plan_splits(files, 2, smallest_bytes=1)) == 4
    with pytest.raises(InputMissing, match="absent-0"):
        list(read_split(plan_splits(files, 2, smallest_bytes=1)[0], ["id"]))


def test_columns_in_the_order_asked_for_with_the_partition_column(tmp_path: Path) -> None:
    (task,) = plan_splits(_write(tmp_path, [3], 2), workers=1)
    batches = list(read_split(task, ["slice", "text", "id"]))
    assert [batch.schema.names for batch in batches] == [["slice", "text", "id"]] * 2
    assert pa.Table.from_batches(batches).column("slice").to_pylist() == ["2026-11-21"] * 3
    assert [batch.num_rows for batch in read_split(task, ["slice"])] == [2, 1]


def test_the_table_s_types_win(tmp_path: Path) -> None:
    files = _write(tmp_path, [3], 5) + _write(tmp_path, [2], 4, None)
    schema = pa.schema([("slice", pa.date32()), ("id", pa.int32()), ("later", pa.string())])
    tasks = plan_splits(files, 1)
    batches = [
        batch for task in tasks for batch in read_split(task, ["slice", "id", "later"], schema)
    ]
    assert all(batch.schema == schema for batch in batches)
    found = pa.Table.from_batches(batches).to_pydict()
    assert found["later"] == [None] * 5
    assert sorted(found["slice"], key=str) == [dt.date(2026, 11, 21)] * 3 + [None] * 2


def test_says_which_file_is_wrong(tmp_path: Path) -> None:
    (file,) = _write(tmp_path, [500], 100)
    (task,) = plan_splits([file], 1, 10**9)[:1]
    with pytest.raises(InputError, match="no column 'x'; it has id"):
        list(read_split(task, ["id", "x"]))
    whole = Path(file.path).read_bytes()
    Path(file.path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"part-0-500-100\.parquet is damaged: it cannot be decoded"
    ):
        list(read_split(whole_file(file.path), ["id"]))
    with pytest.raises(InputMissing, match=r"no such file: .*gone"):
        list(read_split(whole_file(str(tmp_path / "gone")), ["id"]))


def test_a_uri_is_a_path_too(tmp_path: Path) -> None:
    (file,) = _write(tmp_path, [5], 5)
    by_uri = replace(file, path=Path(file.path).as_uri())
    assert _ids(plan_splits([by_uri], 1)) == [0, 1, 2, 3, 4]


def test_memory_stays_that_of_one_row_group(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    schema = pa.schema([(f"c{i}", pa.float64()) for i in range(8)])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for _ in range(40):
            writer.write_table(
                pa.table({name: pa.array(range(20_000), pa.float64()) for name in schema.names})
            )
    task = whole_file(str(path))
    before = pa.total_allocated_bytes()
    peak, rows = 0, 0
    for batch in read_split(task, schema.names):
        rows += batch.num_rows
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert rows == 800_000
    assert peak < 4 * 20_000 * 8 * 8
