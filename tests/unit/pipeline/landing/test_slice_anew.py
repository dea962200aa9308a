"""`extract --slice S --force`: the slice holds what its source gives, without the files of the
landed table that it held; everything else stays.
"""

from __future__ import annotations

import gzip
from collections import Counter
from operator import itemgetter
from pathlib import Path

import pytest
from spark.projects import DAY, SmallProject, csv_of, rows_of

from batchinfer.errors import ConfigError, DamagedFile, InputError, InputMissing
from batchinfer.lake.snapshots import snapshot_files, table_version
from batchinfer.pipeline.damaged_files import look_deep
from batchinfer.pipeline.extract import extract_source

NEXT = "2026-11-22"
REPLACE, APPEND = "source.on_changed=replace", "source.on_changed=append"


def destroy(project: SmallProject, slice_: str) -> None:
    """Makes the files of a landed slice unreadable."""
    table = project.context().landed
    for file in snapshot_files(table, {"slice": slice_}):
        Path(table, file.path).write_bytes(b"PAR1 is all that is left PAR1")


def ids(project: SmallProject, slice_: str = DAY) -> list[int]:
    return sorted(
        row["id"] for row in project.table("landed").to_pylist() if row["slice"] == slice_
    )


def bad_lines(project: SmallProject) -> Counter[str]:
    return Counter(row["raw"].decode() for row in project.table("quarantine").to_pylist())


@pytest.fixture
def landed(local: SmallProject) -> SmallProject:
    """Two slices by the day of landing, with a bad line each."""
    local.write("in/a.csv", csv_of(range(10)) + "bad line\n")
    local.extract(DAY)
    local.extract(NEXT)
    return local


@pytest.fixture
def cut(local: SmallProject) -> SmallProject:
    """Slices by a column, of a file with ten rows and a bad line: red has 0, 3, 6 and 9."""
    local.edit("slice: ingest_date", "slice: {column: color}")
    local.write("in/a.csv", csv_of(range(10)) + "bad line\n")
    local.extract(None)
    return local


def test_a_destroyed_slice_is_landed_anew_by_one_commit(landed: SmallProject) -> None:
    before = landed.table("landed").to_pylist()
    version = table_version(landed.context().landed)
    destroy(landed, DAY)
    [damage] = look_deep(landed.context()).damaged
    command = f"batchinfer extract {landed.named} --slice {DAY} --force"
    assert damage.hint == f"{command} lands it anew from its source"
    report = landed.extract(DAY, force=True)
    assert (report.status, report.rows_in, report.rows_landed, report.rows_quarantined) == (
        "landed", 11, 10, 1,
    )  # fmt: skip
    assert (report.slices, report.warnings, report.version) == ([DAY], [], version + 1)
    rows = landed.table("landed").to_pylist()
    by_slice = itemgetter("slice", "id")
    assert sorted(rows, key=by_slice) == sorted(before, key=by_slice)
    assert bad_lines(landed) == {"bad line": 2}, "one a slice, as before"
    assert look_deep(landed.context()).damaged == []
    assert landed.extract(DAY).status == "unchanged"


def test_a_published_slice_is_scored_again_once_it_was_landed_anew(ready: SmallProject) -> None:
    ready.score()
    destroy(ready, DAY)
    with pytest.raises(DamagedFile, match=r"\.parquet") as caught:
        ready.score(force=True)
    assert f"batchinfer extract {ready.named} --slice {DAY} --force" in str(caught.value.hint)
    ready.extract(force=True)
    again = ready.score()
    assert (again.rows_in, again.rows_carried) == (40, 40), "each row has the inputs that it had"
    assert ready.states() == {DAY: "published"}


def test_a_slice_that_never_landed_lands(local: SmallProject) -> None:
    local.write("in/a.csv", csv_of(range(3)))
    assert local.extract(force=True).rows_landed == 3
    assert ids(local) == [0, 1, 2]


def test_a_source_that_changed_is_asked_about(landed: SmallProject) -> None:
    destroy(landed, DAY)
    landed.write("in/a.csv", csv_of(range(5, 20)))
    with pytest.raises(InputError, match=r"a\.csv: it changed after it was landed"):
        landed.extract(DAY, force=True)
    report = landed.extract(DAY, REPLACE, force=True)
    assert report.warnings == [
        f"a.csv: slice {DAY} is landed from what it holds now, which is not what landed",
        f"slice {DAY} had 10 rows before it was landed anew, and has 15 now",
    ]
    assert ids(landed) == list(range(5, 20))
    assert ids(landed, NEXT) == list(range(10))
    assert bad_lines(landed) == {"bad line": 1}, "the line that the file no longer has is gone"
    assert landed.extract(DAY).status == "unchanged"


def test_a_file_that_is_gone_is_asked_about(landed: SmallProject) -> None:
    landed.write("in/b.csv", csv_of(range(10, 12)))
    landed.extract(DAY)
    destroy(landed, DAY)
    (landed.root / "in/b.csv").unlink()
    with pytest.raises(InputError, match=r"b\.csv: it landed in slice .* no longer") as caught:
        landed.extract(DAY, force=True)
    assert "put the files back" in str(caught.value.hint)
    [told] = landed.extract(DAY, REPLACE, force=True).warnings
    assert told == f"slice {DAY} had 12 rows before it was landed anew, and has 10 now"


def test_rows_that_no_longer_fit_the_schema_are_not_lost(landed: SmallProject) -> None:
    destroy(landed, DAY)
    landed.edit("size: double", "size: int")
    with pytest.raises(InputError, match=f"slice {DAY} has 10 rows in .* gives 0 of them"):
        landed.extract(DAY, "checks.max_quarantine_rate=1", force=True)
    assert bad_lines(landed) == {"bad line": 2}


def test_only_the_rows_of_the_slice_are_landed_where_a_column_names_it(cut: SmallProject) -> None:
    destroy(cut, "red")
    cut.write("in/b.csv", csv_of(range(10, 13)))
    report = cut.extract("red", force=True)
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (5, 4, 1)
    assert (report.slices, report.warnings) == (["red"], [])
    assert (ids(cut, "red"), ids(cut, "blue")) == ([0, 3, 6, 9], [1, 4, 7])
    assert bad_lines(cut) == {"bad line": 1}
    assert cut.extract(None).rows_landed == 3, "the file that came since is still new"
    assert ids(cut, "red") == [0, 3, 6, 9, 12]


def test_a_file_that_grew_is_read_as_far_as_it_had_landed(cut: SmallProject) -> None:
    destroy(cut, "red")
    with (cut.root / "in/a.csv").open("a") as file:
        file.write(rows_of(range(10, 20)))
    assert cut.extract("red", APPEND, force=True).warnings == []
    assert ids(cut, "red") == [0, 3, 6, 9]
    assert cut.extract(None, APPEND).rows_landed == 10
    assert sorted(cut.table("landed")["id"].to_pylist()) == list(range(20))
    assert bad_lines(cut) == {"bad line": 1}


def test_a_compressed_file_that_grew_cannot_be_read_so_far(local: SmallProject) -> None:
    local.edit("slice: ingest_date", "slice: {column: color}")
    local.edit("in/*.csv", "in/*.csv.gz")
    place = local.write("in/a.csv.gz", "")
    place.write_bytes(gzip.compress(csv_of(range(10)).encode()))
    local.extract(None)
    place.write_bytes(place.read_bytes() + gzip.compress(rows_of(range(10, 20)).encode()))
    with pytest.raises(InputError, match="only lines of plain text can be read"):
        local.extract("red", APPEND, force=True)


def test_fewer_rows_than_stood_there_land_nothing(cut: SmallProject) -> None:
    cut.write("in/b.csv", csv_of(range(10, 13)))
    cut.extract(None)
    destroy(cut, "red")
    (cut.root / "in/b.csv").unlink()
    with pytest.raises(InputError, match=r"slice red has 5 rows in .* gives 4 of them now") as told:
        cut.extract("red", force=True)
    assert "put the files back" in str(told.value.hint)
    assert not [
        path for path in (cut.root / "var/lake").rglob("*.parquet")
        if path.stat().st_mtime > (cut.root / "in").stat().st_mtime and "landed" in path.parts
    ], "what was staged is gone"  # fmt: skip
    (cut.root / "in/a.csv").rename(cut.root / "in/c.csv")
    with pytest.raises(
        InputError, match=r"of the files that have landed in .*, the source has none"
    ):
        cut.extract("red", force=True)


@pytest.mark.parametrize(
    ("edited", "slice_", "said"),
    [
        ("", None, "--force: got no --slice"),
        ("", "yesterday", "yesterday"),
        ("kind: delta", DAY, "can be landed anew: its Delta table is read in place"),
        ("kind: jdbc", DAY, "can be landed anew: the source is read on from a position"),
        ("kind: http", DAY, "can be landed anew: the source is read on from a position"),
    ],
)
def test_what_cannot_be_landed_anew_is_told_from_the_file(
    local: SmallProject, edited: str, slice_: str | None, said: str
) -> None:
    if edited == "kind: delta":
        local.edit("kind: csv\n  path: in/*.csv", "kind: delta\n  path: in/table\n  key: id")
    if edited == "kind: jdbc":
        options = "{url_env: SHOP, table: orders, watermark: id}"
        local.edit("kind: csv\n  path: in/*.csv", f"kind: jdbc\n  options: {options}\n  key: id")
    if edited == "kind: http":
        options = "{url: 'http://127.0.0.1:1/', pagination: {kind: page, size: 10}}"
        local.edit("kind: csv\n  path: in/*.csv", f"kind: http\n  options: {options}\n  key: id")
    with pytest.raises(ConfigError, match=said):
        extract_source(local.context(), slice_, lambda: None, force=True)  # type: ignore[arg-type,return-value]
    assert [path.name for path in (local.root / "var/lake").iterdir()] == ["runs"], (
        "but for the record of the run"
    )


def test_a_slice_of_a_column_must_have_landed(cut: SmallProject) -> None:
    with pytest.raises(InputMissing, match="slice violet of pipeline small has never landed"):
        cut.extract("violet", force=True)
