"""Rows that earlier tasks have done are read by no task, and all others by exactly one."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchinfer.contracts import DataFile
from batchinfer.inference.covered_rows import CoveredRows
from batchinfer.inference.split_reading import Part, Split, read_split
from batchinfer.inference.splits import plan_splits


def _write(folder: Path, sizes: list[int], group: int) -> list[DataFile]:
    files, start = [], 0
    for number, size in enumerate(sizes):
        path = folder / f"part-{number}-{size}-{group}.parquet"
        pq.write_table(pa.table({"id": range(start, start + size)}), path, row_group_size=group)
        files.append(DataFile(str(path), path.stat().st_size, size))
        start += size
    return files


def _ids(tasks: list[Split]) -> list[int]:
    return [
        i
        for task in tasks
        for batch in read_split(task, ["id"])
        for i in batch.column("id").to_pylist()
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(0, 300), max_size=5),
    group=st.integers(1, 120),
    workers=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    task_rows=st.tuples(*[st.one_of(st.none(), st.integers(5, 400))] * 2),
    seed=st.integers(0, 1000),
)
def test_what_one_plan_has_done_in_part_another_plan_does_the_rest_of(
    tmp_path: Path,
    sizes: list[int],
    group: int,
    workers: tuple[int, int],
    task_rows: tuple[int | None, int | None],
    seed: int,
) -> None:
    files = _write(tmp_path, sizes, group)
    before = plan_splits(files, workers[0], 2_000, 1, task_rows=task_rows[0])
    assert sorted(_ids(before)) == list(range(sum(sizes)))
    done = random.Random(seed).sample(before, k=len(before) // 2)
    covered = CoveredRows()
    for task in done:
        assert not covered.overlaps(task.parts)
        covered.add(task.parts)
        assert not task.rows or covered.overlaps(task.parts)
    rest = plan_splits(files, workers[1], 2_000, 1, task_rows=task_rows[1], covered=covered)
    assert sorted(_ids(done) + _ids(rest)) == list(range(sum(sizes)))
    assert sum(task.rows for task in rest) == len(_ids(rest))
    assert not any(covered.overlaps(task.parts) for task in rest)


@pytest.mark.parametrize(
    "part, meets",
    [
        (Part("a"), True),
        (Part("a", (0,)), False),
        (Part("a", (1,)), True),
        (Part("a", (2,)), True),
        (Part("a", (2,), rows=(0, 10)), False),
        (Part("a", (2,), rows=(19, 30)), True),
        (Part("a", (2,), rows=(20, 30)), False),
        (Part("b", (7,)), True),
        (Part("c"), False),
    ],
)
def test_parts_meet_where_they_have_a_row_in_common(part: Part, meets: bool) -> None:
    covered = CoveredRows()
    covered.add([Part("a", (1,)), Part("a", (2,), rows=(10, 20)), Part("b")])
    assert covered.overlaps([part]) == meets
    assert (covered.is_whole("b"), covered.is_partly("a"), covered.is_whole("a")) == (
        True,
        True,
        False,
    )


def test_the_rest_of_a_file_is_told_in_few_parts() -> None:
    covered = CoveredRows()
    covered.add([Part("a", (1,)), Part("a", (2,), rows=(10, 20))])
    assert covered.rest(Part("a"), [50, 50, 50, 50]) == [
        (Part("a", (0, 3)), 100),
        (Part("a", (2,), rows=(0, 10)), 10),
        (Part("a", (2,), rows=(20, 50)), 30),
    ]


def test_many_rows_are_cut_at_files(tmp_path: Path) -> None:
    files = [DataFile(str(tmp_path / f"absent-{n}"), 2**20, 333_000) for n in range(30)]
    tasks = plan_splits(files, 2, task_rows=400_000)
    assert [len(task.parts) for task in tasks] == [1] * 30
    small = [DataFile(str(tmp_path / f"small-{n}"), 2**18, 100_000) for n in range(100)]
    tasks = plan_splits(small, 2, task_rows=400_000)
    assert 20 <= len(tasks) <= 30
    # More rows make no more files than lookups bear.
    huge = [DataFile(str(tmp_path / f"huge-{n}"), 2**20, 10**7) for n in range(100)]
    assert len(plan_splits(huge, 2, task_rows=400_000)) == 48


def test_one_file_of_ten_million_rows_gives_twenty_tasks(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": range(80_000)}), path, row_group_size=1_000)
    files = [DataFile(str(path), 2_500 * 2**20, 80_000)]
    tasks = plan_splits(files, 2, task_rows=3_200, target_bytes=2**30)
    assert 20 <= len(tasks) <= 30
    assert sorted(_ids(tasks)) == list(range(80_000))
    assert max(task.rows for task in tasks) <= 1.5 * 3_200
