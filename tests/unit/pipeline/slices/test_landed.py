"""What has landed: slices, their rows and versions, what of them is read, and slices before them
that steps look back into.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from spark.projects import DAY, IN_PLACE, SmallProject, csv_of

from batchinfer.errors import ConfigError, InputError, InputMissing
from batchinfer.pipeline.slices.landed import find_slice, read_data, read_landed
from batchinfer.pipeline.slices.slice_splits import splits_of

NEXT = "2026-11-22"
LOOKS_BACK = "features:\n", "prepare:\n  - lag: {columns: size, order: id}\nfeatures:\n"


@pytest.fixture
def days(local: SmallProject) -> SmallProject:
    """Three rows landed on one day, and once more with two others on the next: a slice is the
    source as it was that day.
    """
    local.write("in/a.csv", csv_of(range(3)))
    local.extract(DAY)
    local.write("in/b.csv", csv_of(range(3, 5)))
    local.extract(NEXT)
    return local


def test_nothing_has_landed(local: SmallProject) -> None:
    context = local.context()
    assert read_landed(context) == {}
    with pytest.raises(InputMissing, match="nothing has landed; allowed: extract first") as caught:
        read_data(context, None)
    assert str(caught.value.hint).startswith(f"batchinfer extract {local.named} --slice 20")
    with pytest.raises(InputMissing, match=r"has never landed .*; landed: none"):
        find_slice(context, DAY)


def test_slices_have_the_rows_and_the_version_of_their_own_last_change(days: SmallProject) -> None:
    context = days.context()
    first, second = read_landed(context)[DAY], read_landed(context)[NEXT]
    assert (first.rows, second.rows) == (3, 5) and first.changed_at < second.changed_at
    version = days.extract(DAY).version
    found = read_landed(context)
    assert (found[DAY].rows, found[DAY].changed_at) == (5, version), "b.csv of today came along"
    assert found[NEXT] == second


def test_the_files_of_a_slice_are_read_and_no_others(days: SmallProject) -> None:
    context = days.context()
    data = read_data(context, [NEXT])
    assert (data.slice, data.rows, data.version) == (NEXT, 5, 2)
    assert {file.partition["slice"] for file in data.files} == {NEXT}
    assert not data.rows_of_others and data.size == sum(file.size for file in data.files)
    every = read_data(context, None)
    assert (every.rows, every.slices) == (8, ())
    splits = splits_of(every, 2)
    assert sum(each.split.rows for each in splits) == 8
    assert all(split.within is None for split in splits), "its files are the slice's alone"


def test_a_slice_that_never_landed_is_told_with_those_that_did(days: SmallProject) -> None:
    with pytest.raises(InputMissing, match=f"landed: {DAY}, {NEXT}") as caught:
        find_slice(days.context(), "2026-11-23")
    assert caught.value.exit_code == 3
    assert caught.value.hint == f"batchinfer extract {days.named} --slice 2026-11-23"
    with pytest.raises(ConfigError, match="yesterday"):
        find_slice(days.context(), "yesterday")
    assert find_slice(days.context(), DAY).rows == 3


def test_a_slice_changes_with_those_before_it_where_steps_look_back(days: SmallProject) -> None:
    days.edit(*LOOKS_BACK)
    version = days.extract(DAY).version
    context = days.context()
    assert {name: one.changed_at for name, one in read_landed(context).items()} == {
        DAY: version,
        NEXT: version,
    }
    later = read_data(context, [NEXT])
    assert (later.history, later.changed_at, later.rows) == ((DAY,), version, 5)
    assert read_data(context, [DAY]).history == ()


@pytest.fixture
def in_place(local: SmallProject) -> Callable[[range], None]:
    """Writes rows into a Delta table, even numbers of one day and odd ones of the next, and
    records it.
    """
    local.write("conf/pipelines/small.yaml", IN_PLACE)

    def write(numbers: range) -> None:
        days = [dt.date.fromisoformat((DAY, NEXT)[number % 2]) for number in numbers]
        table = pa.table({"id": pa.array(numbers, pa.int32()), "day": days})
        write_deltalake(str(local.root / "in/table"), table, mode="append")
        local.extract(None)

    return write


def test_a_table_that_is_read_in_place_is_read_as_it_was_recorded(
    local: SmallProject, in_place: Callable[[range], None]
) -> None:
    in_place(range(5))
    context = local.context()
    assert {name: one.rows for name, one in read_landed(context).items()} == {DAY: 3, NEXT: 2}
    data = read_data(context, [DAY])
    assert (data.table, data.rows) == (str(local.root / "in/table"), 3)
    assert data.rows_of_others, "the file holds both days"
    assert [split.slices for split in splits_of(data, 1) if split.within] == [(DAY,)]
    write_deltalake(data.table, pa.table({"id": pa.array([8], pa.int32()), "day": [
        dt.date.fromisoformat(DAY)]}), mode="append")  # fmt: skip
    assert read_data(context, [DAY]).rows == 3, "what came since has not been recorded"


def test_another_table_in_the_same_place_is_not_read(
    local: SmallProject, in_place: Callable[[range], None]
) -> None:
    in_place(range(5))
    place = Path(local.root / "in/table")
    shutil.rmtree(place)
    with pytest.raises(InputMissing, match="no longer there"):
        read_data(local.context(), [DAY])
    write_deltalake(str(place), pa.table({"id": pa.array([8], pa.int32()), "day": [
        dt.date.fromisoformat(DAY)]}))  # fmt: skip
    with pytest.raises(InputError, match=f"another table lies there now.*: {DAY}"):
        read_data(local.context(), [DAY])
