"""The lake of an earlier build goes on: it is scored, replayed, extended and trained on top."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.projects import SmallProject
from yesterday import answers, rows
from yesterday.archive import unpack
from yesterday.elsewhere import outdated_words
from yesterday.make import PIPELINES

import batchinfer
from batchinfer.command_reports import RunReport
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.replay import replay_slice

FIRST, UNSCORED, NEXT = rows.LATE[0], rows.UNSCORED, rows.NEXT
# How many of the day's rows are landed, of those that land a day later.
LANDED = {
    "loans": 24,
    "prices": 12,
    "reviews": 12,
    "readings": 22,
    "mended": 12,
    "shipments": 10,
    "orders": 6,
}


@dataclass
class Old(SmallProject):
    """A pipeline of a lake that was unpacked."""

    name: str = "loans"

    def context(self, *overrides: str) -> Context:
        return Context.open(
            answers.pipeline_file(self.root, self.name), "local", overrides, reads_source=True
        )

    def replay(self, slice_: str) -> RunReport:
        return replay_slice(self.context(), slice_, self.open_session)

    def published(self, *slices: str) -> list[dict[str, Any]]:
        return answers.predictions(self.root, self.name, slices)

    def landed(self) -> list[dict[str, Any]]:
        return answers.landed(self.root, self.name)


class Lake:
    """A lake that was unpacked, and what its build said of it."""

    def __init__(self, root: Path, spark: SparkSession) -> None:
        self.root, self.spark = root, spark
        self.said = unpack("format-1", root)

    def pipeline(self, name: str) -> Old:
        return Old(self.root, lambda: self.spark, name=name)


@pytest.fixture
def lake(tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    for name, value in answers.variables(tmp_path).items():
        monkeypatch.setenv(name, value)
    return Lake(tmp_path, spark)


def extracted(old: Old, slice_: str | None = None) -> tuple[str, int, int]:
    report = old.extract(slice_)
    return report.status, report.rows_in, report.rows_landed


def states(old: Old) -> dict[str, str]:
    return {one["slice"]: one["status"] for one in answers.status(old.root, old.name)}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_slice_that_had_landed_is_scored_as_it_was(lake: Lake, name: str) -> None:
    old, expected = lake.pipeline(name), lake.said["scored"][name]
    before = old.published(FIRST)
    report = old.score(UNSCORED)
    assert (report.status, report.rows_in, report.rows_quarantined) == (
        "published", len(expected) + report.rows_removed, report.rows_removed,
    )  # fmt: skip
    # It says what it said, and that this can be wrong.
    warned = outdated_words(name, old.context().loaded.file)
    assert [one for one in report.warnings if "registers it anew" in one] == warned
    found = old.published(UNSCORED)
    assert len(found) == len(expected)
    for row, former in zip(found, expected, strict=True):
        assert answers.are_close(row, former), row
    # The other slices are as they were: the next score has nothing to do, and lookups find both.
    assert old.published(FIRST) == before
    again = old.score(FIRST)
    assert (again.status, old.published(FIRST)) == ("unchanged", before)
    assert again.warnings == warned, "at every run"
    assert states(old)[UNSCORED] == "published"
    file = answers.pipeline_file(lake.root, name)
    for key, row in lake.said["lookups"][name].items():
        assert batchinfer.lookup(file, answers.parsed(key)) == row


def test_rows_in_quarantine_join_their_slice(lake: Lake) -> None:
    """The model refused them for a fault beside it, which is mended."""
    old = lake.pipeline("mended")
    before = old.published(FIRST)
    report = old.replay(FIRST)
    assert (report.status, report.rows_in, report.rows_scored, report.warnings) == (
        "published",
        3,
        3,
        [],
    )
    after = old.published(FIRST)
    assert [row for row in after if row in before] == before and len(after) == 12
    assert [
        row for row in answers.quarantined(lake.root, "mended") if row["stage"] == "score"
    ] == []
    joined = {row["id"]: row for row in after if row not in before}
    assert set(joined) == {2009, 2010, 2011}
    assert {row["bundle_digest"] for row in after} == {before[0]["bundle_digest"]}
    for id_, row in joined.items():
        found = batchinfer.lookup(
            answers.pipeline_file(lake.root, "mended"), {"day": FIRST, "id": id_}
        )
        assert found is not None and found["prediction"] == row["prediction"]
    # The next day has rows of the same sizes.
    old.score(UNSCORED)
    later = {row["id"] % 100: row["prediction"] for row in old.published(UNSCORED)}
    assert {id_ % 100: row["prediction"] for id_, row in joined.items()} == pytest.approx(
        {number: later[number] for number in (9, 10, 11)}, rel=1e-5
    )
    assert old.replay(FIRST).status == "unchanged"
    assert states(old) == {FIRST: "published", UNSCORED: "published"}


def test_a_backfill_and_a_replay_warn_too(lake: Lake) -> None:
    old = lake.pipeline("flowers_skops")
    done = old.backfill(rows.DAYS[0], UNSCORED)
    told = outdated_words("flowers_skops", old.context().loaded.file)
    assert (done.exit_code, done.to_json()["warnings"]) == (0, told)
    assert old.replay(FIRST).warnings == told


def test_removed_rows_stay_in_quarantine(lake: Lake) -> None:
    old = lake.pipeline("readings")
    report = old.replay(FIRST)
    assert (report.status, report.rows_in) == ("unchanged", 0)
    said = lake.said["quarantined"]["readings"]
    assert [
        row for row in answers.quarantined(lake.root, "readings") if row["slice"] == FIRST
    ] == said


@pytest.mark.parametrize("name", LANDED)
def test_what_has_landed_is_known_and_what_came_since_lands(lake: Lake, name: str) -> None:
    old, slice_ = lake.pipeline(name), NEXT if name in ("loans", "orders") else None
    before = old.landed()
    assert len(before) == lake.said["landed_rows"][name]
    assert extracted(old, UNSCORED if slice_ else None)[0] == "unchanged"
    rows.WRITERS[name](lake.root, NEXT)
    count = LANDED[name]
    report = old.extract(slice_)
    assert (report.status, report.rows_landed, report.slices) == ("landed", count, [NEXT])
    if name == "shipments":
        assert {row["slice"]: row["rows"] for row in old.landed() if row["slice"]} == dict.fromkeys(
            (*rows.LATE, NEXT), 10
        )
    else:
        after = old.landed()
        assert len(after) == len(before) + count
        assert [row for row in after if row["slice"] != NEXT] == before
    # And the night goes on: days that are published and up to date are left, all others are scored.
    assert states(old)[NEXT] == "missing"
    done = old.backfill(rows.DAYS[0], NEXT)
    assert done.exit_code == 0, done.errors
    assert [run.slice for run in done.runs if run.status == "published"] == [
        *([rows.DAYS[0]] if name == "loans" else []), UNSCORED, NEXT,
    ]  # fmt: skip
    assert set(states(old).values()) == {"published"}
    assert len(old.published(NEXT)) == count - (2 if name == "readings" else 0)
    assert extracted(old, slice_)[0] == "unchanged"


def test_only_the_new_lines_of_a_log_land(lake: Lake) -> None:
    """What had landed is known from a checkpoint, what was put aside from the quarantine itself."""
    old = lake.pipeline("weblog")
    before, aside = old.landed(), answers.quarantined(lake.root, "weblog")
    assert extracted(old)[0] == "unchanged"
    rows.append_log(lake.root, UNSCORED, (12, 13))
    rows.append_log(lake.root, NEXT, (0, 1, 2, 3))
    report = old.extract(None)
    assert (report.rows_in, report.rows_landed, report.rows_quarantined) == (6, 5, 1)
    after = old.landed()
    assert [row for row in after if row in before] == before
    assert sorted(row["source_line"] for row in after if row not in before) == [25, 26, 27, 28, 29]
    assert len(answers.quarantined(lake.root, "weblog")) == len(aside) + 1 == 3
    assert states(old) == {FIRST: "published", UNSCORED: "missing", NEXT: "missing"}
    assert old.score(UNSCORED).rows_in == 13
    assert states(old)[UNSCORED] == "published"


def test_a_file_that_changed_is_found_out(lake: Lake) -> None:
    """The fingerprint that was recorded then is the one that is taken now."""
    old = lake.pipeline("reviews")
    rows.write_reviews(lake.root, FIRST, 13)
    with pytest.raises(batchinfer.errors.InputError, match="changed after it was landed"):
        old.extract(None)
    report = old.extract(None, "source.on_changed=replace")
    assert (report.rows_in, report.files_read, report.slices) == (13, 1, [FIRST])
    assert states(old)[FIRST] == "stale"


def test_a_row_that_changed_in_a_table_that_is_read_in_place_makes_its_slice_stale(
    lake: Lake,
) -> None:
    from deltalake import DeltaTable

    old = lake.pipeline("shipments")
    table = DeltaTable(str(lake.root / "in" / "shipments"))
    table.update(updates={"weight": "1.5"}, predicate="id = 2003")
    report = old.extract(None)
    assert (report.status, report.slices) == ("landed", [FIRST])
    assert {slice_ for slice_, state in states(old).items() if state == "stale"} == {FIRST}
    assert old.score(FIRST).status == "published"


@pytest.mark.parametrize(("name", "version"), [("loans", "4"), ("prices", "2")])
def test_a_next_version_is_trained_on_top(lake: Lake, name: str, version: str) -> None:
    old = lake.pipeline(name)
    report = old.train("train.params.seed=9")
    assert (report.status, report.model_version, report.alias) == (
        "registered",
        version,
        "champion",
    )
    told = model_versions(old.context())
    said = lake.said["models"][name]
    assert [one["digest"] for one in told["versions"][:-1]] == [
        one["digest"] for one in said["versions"]
    ]
    assert told["history"][: len(said["history"])] == said["history"]
    assert set(states(old).values()) == {"stale", "missing"}
    assert old.score(UNSCORED).model_version == version
    assert {row["model_version"] for row in old.published(UNSCORED)} == {version}
    # And back: the version of then scores as it did.
    assert (
        model_versions(old.context(), rollback=True)["version"]
        == said["versions"][-2 if name == "loans" else -1]["version"]
    )
    assert old.score(UNSCORED).status == "published"
    for row, former in zip(old.published(UNSCORED), lake.said["scored"][name], strict=True):
        assert answers.are_close(row, former), row
