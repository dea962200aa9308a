"""Increments of files: what is new lands once, whatever happened to the file or to the run before.

The tables are real, and so are the commands; only the tasks run in this process (see conftest).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from spark.projects import DAY, SmallProject, csv_of, rows_of

from batchinfer.errors import InputError, TooManyQuarantined

NEXT_DAY = "2026-11-22"
BAD = "no row\n"


def landed(project: SmallProject) -> list[tuple[str, int, int]]:
    rows = project.table("landed").to_pylist()
    return sorted((row["source_file"], row["source_line"], row["id"]) for row in rows)


def aside(project: SmallProject) -> list[tuple[str, int, bytes, bool]]:
    rows = project.table("quarantine").to_pylist()
    return sorted(
        (row["source_file"], row["source_line"], row["raw"], row["published"]) for row in rows
    )


def ids(project: SmallProject) -> list[int]:
    return sorted(id_ for _, _, id_ in landed(project))


@pytest.fixture
def dated(local: SmallProject) -> SmallProject:
    """Slices come from a column of the data, so that a file is landed once, whatever day it is."""
    local.edit("slice: ingest_date", "slice: color")
    return local


def test_only_what_is_new_is_read(local: SmallProject) -> None:
    local.write("in/a.csv", csv_of(range(5)) + BAD)
    first = local.extract()
    assert (
        first.status,
        first.files_read,
        first.rows_in,
        first.rows_landed,
        first.rows_quarantined,
    ) == ("landed", 1, 6, 5, 1)
    again = local.extract()
    assert (again.status, again.files_read, again.rows_in, again.version) == (
        "unchanged",
        0,
        0,
        first.version,
    )
    assert "nothing new" in again.warnings[0]
    local.write("in/b.csv", csv_of(range(5, 9)))
    more = local.extract()
    assert (more.status, more.files_read, more.rows_in) == ("landed", 1, 4)
    assert ids(local) == list(range(9))
    assert aside(local) == [("a.csv", 7, b"no row", True)]


def test_an_ingest_date_holds_the_source_as_it_was_that_day(local: SmallProject) -> None:
    local.write("in/a.csv", csv_of(range(3)))
    local.extract(DAY)
    local.write("in/a.csv", csv_of(range(10, 12)))
    assert local.extract(NEXT_DAY).rows_landed == 2
    assert ids(local) == [0, 1, 2, 10, 11]
    with pytest.raises(InputError, match=r"a\.csv: it changed after it was landed"):
        local.extract(DAY)
    assert local.extract(DAY, "source.on_changed=replace").rows_landed == 2
    assert ids(local) == [10, 10, 11, 11]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("grown", lambda text: text + rows_of(range(6, 8))),
        ("shrunk", lambda text: "".join(text.splitlines(keepends=True)[:3])),
        ("same size", lambda text: text.replace("1,blue", "1,gold")),
        ("emptied", lambda text: ""),
    ],
)
@pytest.mark.parametrize("kind", ["ingest_date", "column"])
def test_a_file_that_changed(
    local: SmallProject,
    name: str,
    change: Callable[[str], str],
    kind: str,
    request: pytest.FixtureRequest,
) -> None:
    slice_ = DAY if kind == "ingest_date" else None
    if kind == "column":
        request.getfixturevalue("dated")
    text = csv_of(range(6))
    path = local.write("in/a.csv", text)
    local.write("in/b.csv", csv_of(range(100, 103)))
    local.extract(slice_)
    before = landed(local)
    os.utime(path, (1, 1))
    assert local.extract(slice_).status == "unchanged", "it was only touched"
    local.write("in/a.csv", change(text))
    with pytest.raises(InputError, match=r"a\.csv: it changed after it was landed") as caught:
        local.extract(slice_)
    assert caught.value.exit_code == 3 and "source.on_changed" in str(caught.value.hint)
    assert landed(local) == before
    if name == "grown":
        report = local.extract(slice_, "source.on_changed=append")
        assert (report.rows_in, report.rows_landed) == (2, 2)
    else:
        with pytest.raises(
            InputError, match=r"a\.csv: it had .* bytes when it was landed, and is no longer that"
        ):
            local.extract(slice_, "source.on_changed=append")
        assert landed(local) == before
        report = local.extract(slice_, "source.on_changed=replace")
    lines = change(text).splitlines()[1:]
    expected = [("a.csv", line, int(row.split(",")[0])) for line, row in enumerate(lines, 2)]
    assert [row for row in landed(local) if row[0] == "a.csv"] == expected
    assert [row for row in landed(local) if row[0] == "b.csv"] == [
        row for row in before if row[0] == "b.csv"
    ]
    assert local.extract(slice_).status == "unchanged"


def test_a_file_that_goes_and_comes_back(dated: SmallProject) -> None:
    path = dated.write("in/a.csv", csv_of(range(4)))
    dated.write("in/b.csv", csv_of(range(4, 6)))
    dated.extract(None)
    path.unlink()
    assert dated.extract(None).status == "unchanged"
    assert ids(dated) == list(range(6)), "what has landed stays"
    path.write_text(csv_of(range(4)))
    assert dated.extract(None).status == "unchanged"
    path.write_text(csv_of(range(3)))
    with pytest.raises(InputError, match="it changed"):
        dated.extract(None)


def test_a_line_that_was_landed_before_it_was_whole_is_told(local: SmallProject) -> None:
    local.write("in/a.csv", csv_of(range(3)) + "3,red,1.5,n")
    local.extract()
    local.write("in/a.csv", csv_of(range(3)) + "3,red,1.5,no\n" + rows_of(range(4, 6)))
    with pytest.raises(InputError, match=r"its last line .* was landed before it was whole"):
        local.extract(DAY, "source.on_changed=append")
    assert local.extract(DAY, "source.on_changed=replace").rows_landed == 6
    assert {row["big"] for row in local.table("landed").to_pylist()} == {"no", "yes"}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_last_line_without_its_end_may_get_it_later(local: SmallProject, line_end: str) -> None:
    local.write("in/a.csv", csv_of(range(3)) + "3,red,1.5,no")
    assert local.extract().rows_landed == 4
    (local.root / "in/a.csv").write_bytes(
        (csv_of(range(3)) + "3,red,1.5,no" + line_end + "4,red,1.5,no").encode()
    )
    assert local.extract(DAY, "source.on_changed=append").rows_landed == 1
    assert ids(local) == [0, 1, 2, 3, 4]


class PowerCut(Exception):
    """Ends a run where a test says; nothing in the code catches it."""


def cut_power(patch: pytest.MonkeyPatch, place: str, after: bool = False) -> None:
    """The named commit never happens, or is the last thing that does."""
    import importlib

    module, name = place.rsplit(".", 1)
    real = getattr(importlib.import_module(module), name)

    def cut(*arguments: object, **named: object) -> None:
        if after:
            real(*arguments, **named)
        raise PowerCut

    patch.setattr(place, cut)


QUARANTINE, LANDED = "batchinfer.lake.quarantine.commit", "batchinfer.lake.delta.commit"


@pytest.mark.parametrize(
    ("place", "after"), [(QUARANTINE, False), (QUARANTINE, True), (LANDED, False), (LANDED, True)]
)
@pytest.mark.parametrize("change", ["new", "replace", "append"])
def test_a_run_cut_off_at_a_commit_lands_each_row_once(
    local: SmallProject, monkeypatch: pytest.MonkeyPatch, place: str, after: bool, change: str
) -> None:
    text = csv_of(range(3)) + BAD
    if change != "new":
        local.write("in/a.csv", text)
        local.extract()
    # The bad record comes last: no landed line stands behind it.
    new = {
        "new": text,
        "replace": csv_of(range(10, 14)) + BAD,
        "append": text + rows_of(range(3, 6)) + "another\n",
    }[change]
    local.write("in/a.csv", new)
    setting = "source.on_changed=append" if change == "append" else "source.on_changed=replace"
    with monkeypatch.context() as patch:
        cut_power(patch, place, after)
        with pytest.raises(PowerCut):
            local.extract(DAY, setting)
    again = local.extract(DAY, setting)
    assert again.status == ("unchanged" if (place, after) == (LANDED, True) else "landed")
    lines = list(enumerate(new.splitlines(), 1))[1:]
    assert landed(local) == [
        ("a.csv", line, int(text.split(",")[0])) for line, text in lines if "," in text
    ]
    assert aside(local) == [
        ("a.csv", line, text.encode(), True) for line, text in lines if "," not in text
    ]
    assert local.extract(DAY, setting).status == "unchanged"


@pytest.mark.parametrize(
    "setting", ["source.on_changed=fail", "source.on_changed=replace", "source.on_changed=append"]
)
def test_a_file_mended_after_a_run_was_cut_off_leaves_nothing_of_the_old_one(
    local: SmallProject, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    local.write("in/a.csv", csv_of(range(3)) + BAD)
    with monkeypatch.context() as patch:
        cut_power(patch, LANDED)
        with pytest.raises(PowerCut):
            local.extract(DAY, setting)
    local.write("in/a.csv", csv_of(range(4)))
    report = local.extract(DAY, setting)
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (4, 4, 0)
    assert ids(local) == [0, 1, 2, 3]
    assert aside(local) == []


def test_a_file_that_grew_again_after_its_append_was_cut_off(
    local: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.edit("schema:", "on_changed: append\n  schema:")
    text = csv_of(range(2)) + BAD
    local.write("in/a.csv", text)
    local.extract()
    text += rows_of(range(2, 4)) + BAD
    local.write("in/a.csv", text)
    with monkeypatch.context() as patch:
        cut_power(patch, LANDED)
        with pytest.raises(PowerCut):
            local.extract()
    text += rows_of(range(4, 6)) + BAD
    local.write("in/a.csv", text)
    local.extract()
    assert ids(local) == list(range(6))
    assert [line for _, line, _, _ in aside(local)] == [4, 7, 10]


def test_a_run_with_too_many_bad_records_changes_nothing_that_has_landed(
    local: SmallProject,
) -> None:
    local.write("in/a.csv", csv_of(range(4)))
    local.extract()
    before = landed(local)
    local.write("in/a.csv", csv_of(range(2)) + BAD * 8)
    for _ in range(2):
        with pytest.raises(
            TooManyQuarantined, match=r"8 of 10 records.*First: a\.csv:4:.*published = false"
        ):
            local.extract(DAY, "source.on_changed=replace")
        assert landed(local) == before
        assert [(line, published) for _, line, _, published in aside(local)] == [
            (line, False) for line in range(4, 12)
        ]
    local.write("in/a.csv", csv_of(range(2)) + BAD)
    assert local.extract(DAY, "source.on_changed=replace").rows_landed == 2
    assert aside(local) == [("a.csv", 4, b"no row", True)]


def forget_the_past(table: Path) -> None:
    """A checkpoint, and then log clean-up of all that stands before it: what the retention of a
    month does in a month.
    """
    from deltalake import DeltaTable

    opened = DeltaTable(str(table))
    opened.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    opened = DeltaTable(str(table))
    opened.create_checkpoint()
    for commit in (table / "_delta_log").glob("*.json"):
        os.utime(commit, (1, 1))
    opened.cleanup_metadata()
    assert not (table / "_delta_log" / f"{0:020}.json").exists(), (
        "the log still reaches back to the table's beginning"
    )


def test_what_has_landed_is_known_after_log_clean_up(local: SmallProject) -> None:
    local.edit("schema:", "on_changed: append\n  schema:")
    for number in range(3):
        local.write(f"in/{number}.csv", csv_of(range(number, number + 1)) + BAD)
        local.extract()
    for kind in ("landed", "quarantine"):
        forget_the_past(local.root / "var/lake" / kind / "small")
    assert local.extract().status == "unchanged"
    local.write("in/new.csv", csv_of(range(3, 4)) + BAD)
    local.write("in/0.csv", csv_of(range(1)) + BAD + rows_of(range(7, 8)))
    report = local.extract()
    assert (report.files_read, report.rows_in, report.rows_landed, report.rows_quarantined) == (
        2,
        3,
        2,
        1,
    )
    assert ids(local) == [0, 1, 2, 3, 7]
    assert [(name, line) for name, line, _, _ in aside(local)] == [
        ("0.csv", 3),
        ("1.csv", 3),
        ("2.csv", 3),
        ("new.csv", 3),
    ]
    local.write("in/0.csv", csv_of(range(1)))
    with pytest.raises(InputError, match=r"0\.csv: it had"):
        local.extract()
