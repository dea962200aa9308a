"""Rows that did not change are carried over from the published slice: what is published is what a
run that scores all of them publishes.
"""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from spark.lakes import DAYS, LakeProject
from spark.projects import SmallProject

from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.replay import replay_slice

OWN = ("id", "slice", "input_fingerprint", "bundle_digest", "variant", "served", "size")
MADE = ("run_id", "scored_at", "model_version", "source_version", "source_table", "model_name")
ALONE = "model.deduplicate=never"
# What makes a row: color, size, day.
Row = tuple[str, float, str]
ROADS = (
    ("model.road=direct",),
    ("model.road=direct", "model.deduplicate=always"),
    ("model.road=arrow",),
    ("model.road=pandas",),
)


@pytest.fixture
def reusing(lake: LakeProject) -> LakeProject:
    lake.edit_lake("sink: {", "sink: {carry: [size], ")
    return lake


def write(project: LakeProject, rows: dict[int, Row]) -> None:
    """Makes the source these rows, in several files, and lands what changed."""
    days = [dt.date.fromisoformat(day) for _, _, day in rows.values()]
    table = pa.table(
        {
            "id": pa.array(list(rows), pa.int32()),
            "color": [color for color, _, _ in rows.values()],
            "size": pa.array([size for _, size, _ in rows.values()], pa.float64()),
            "big": pa.nulls(len(rows), pa.string()),
            "day": pa.array(days, pa.date32()),
        }
    )
    half = len(rows) // 2
    write_deltalake(project.place, table.slice(0, half), partition_by=["day"], mode="overwrite")
    write_deltalake(project.place, table.slice(half), mode="append")
    project.extract(None)


def some_rows(numbers: range, day: str = DAYS[0]) -> dict[int, Row]:
    return {n: (("red", "blue")[n % 2], n / 4, day) for n in numbers}


def published(project: LakeProject, day: str, names: tuple[str, ...] = OWN) -> list[Any]:
    rows = project.table_of("predictions").select(["id", "slice", *names]).to_pylist()
    kept = sorted((row for row in rows if row["slice"] == day), key=lambda row: row["id"])
    return [tuple(row[name] for name in names) for row in kept]


def assert_as_forced(project: LakeProject, day: str, *overrides: str) -> None:
    """What is published is what a run that scores all rows publishes."""
    own, answers = published(project, day), published(project, day, ("score", "label"))
    forced = project.score(day, *overrides, force=True)
    assert forced.rows_carried == 0 and forced.reuse == "no: --force scores all rows"
    assert published(project, day) == own
    again = published(project, day, ("score", "label"))
    assert [label for _, label in again] == [label for _, label in answers]
    assert [score for score, _ in again] == pytest.approx(
        [score for score, _ in answers], rel=1e-5, abs=1e-6
    )


def changed(rows: dict[int, Row], dice: random.Random) -> dict[int, Row]:
    """Some rows gone, changed, of the other day, with the inputs of another, and new ones."""
    after = dict(rows)
    for n in dice.sample(sorted(after), len(after) // 3):
        color, size, day = after[n]
        other = DAYS[day == DAYS[0]]
        twin = rows[dice.choice(sorted(rows))]
        ways = [None, (color, size + 1000, day), (color, size, other), (*twin[:2], day)]
        after[n] = way if (way := dice.choice(ways)) else after.pop(n)
        if way is None:
            del after[n]
    start = max(rows) + 1
    new = {n: ("green", n / 4, dice.choice(DAYS)) for n in range(start, start + dice.randrange(9))}
    copies = {n + 500: (*rows[dice.choice(sorted(rows))][:2], DAYS[0]) for n in new}
    return after | new | copies


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_any_changes_the_slice_is_that_of_a_full_run(reusing: LakeProject, seed: int) -> None:
    dice = random.Random(seed)
    rows = some_rows(range(60)) | some_rows(range(60, 90), DAYS[1])
    write(reusing, rows)
    for day in DAYS:
        assert reusing.score(day, ALONE).rows_carried == 0
    for _ in range(2):
        before, rows = rows, changed(rows, dice)
        write(reusing, rows)
        for day in DAYS:
            known = {row[:2] for row in before.values() if row[2] == day}
            now = [row[:2] for row in rows.values() if row[2] == day]
            made = set(published(reusing, day, ("run_id",)))
            run = reusing.score(day, ALONE)
            assert run.rows_in == len(now) == run.rows_scored + run.rows_reused
            if run.status == "unchanged":
                assert set(now) <= known
                continue
            carried = sum(inputs in known for inputs in now)
            assert (run.rows_scored, run.rows_carried) == (len(now) - carried, carried)
            assert run.reuse.startswith("yes: ")
            runs = set(published(reusing, day, ("run_id",)))
            assert runs <= made | {(run.run_id,)}
            assert reusing.states()[day] == "published"
            assert reusing.score(day, ALONE).status == "unchanged"
    for day in DAYS:
        assert_as_forced(reusing, day, ALONE)


@pytest.mark.parametrize("way", ROADS, ids=" ".join)
def test_every_road_carries_over_and_says_what_made_a_row(
    reusing: LakeProject, way: tuple[str, ...]
) -> None:
    """The answers and what made them are those of the row that was published; key, carried columns
    and slice are the row's own.
    """
    write(reusing, some_rows(range(40)))
    first = reusing.score(DAYS[0], *way)
    rows = some_rows(range(40))
    rows[3] = ("red", 3000.0, DAYS[0])
    rows |= {n + 100: rows[n] for n in (0, 1, 3)}  # other keys with the inputs of some
    write(reusing, rows)
    second = reusing.score(DAYS[0], *way)
    assert (second.rows_in, second.rows_carried, second.rows_quarantined) == (43, 41, 0)
    assert second.rows_scored + second.rows_reused == 43
    assert second.rows_scored == 1 or "always" not in str(way)
    made = published(reusing, DAYS[0], ("id", *MADE))
    for number, run_id, scored_at, version, source_version, table, name in made:
        run = second if number in (3, 103) else first
        assert run_id == run.run_id, number
        assert (version, source_version, table, name) == (
            run.model_version,
            run.source_version,
            run.source_table,
            run.model_name,
        )
        assert scored_at.tzinfo is not None
    assert (second.source_version or 0) > (first.source_version or 0)
    assert_as_forced(reusing, DAYS[0], *way)


def test_another_model_scores_all_rows(reusing: LakeProject) -> None:
    write(reusing, some_rows(range(40)))
    reusing.score(DAYS[0])
    csv = SmallProject(reusing.root, reusing.open_session)
    csv.edit("seed: 1", "seed: 2")
    csv.train()
    run = reusing.score(DAYS[0], ALONE)
    assert (run.rows_scored, run.rows_carried) == (40, 0)
    assert run.reuse == "no: nothing is published that this model has scored"


def test_another_precision_scores_all_rows(reusing: LakeProject) -> None:
    write(reusing, some_rows(range(40)))
    reusing.score(DAYS[0])
    lowered = reusing.score(DAYS[0], ALONE, "model.precision=bf16", "model.reuse=always")
    assert (lowered.rows_scored, lowered.rows_carried, lowered.precision) == (40, 0, "bf16")
    rows = some_rows(range(41))
    write(reusing, rows)
    again = reusing.score(DAYS[0], ALONE, "model.precision=bf16")
    assert (again.rows_scored, again.rows_carried) == (1, 40)


def test_never_scores_all_rows(reusing: LakeProject) -> None:
    write(reusing, some_rows(range(40)))
    reusing.score(DAYS[0])
    write(reusing, some_rows(range(41)))
    run = reusing.score(DAYS[0], ALONE, "model.reuse=never")
    assert (run.rows_scored, run.rows_carried) == (41, 0)
    assert run.reuse == "no: the pipeline file says model.reuse: never"


def test_rows_of_the_slices_before_are_carried_over_where_that_is_asked_for(
    reusing: LakeProject,
) -> None:
    sizes = {  # of each day's rows, the slices that are looked at, and how many rows they have
        "2026-11-17": ([*range(20)], 0, 0),
        "2026-11-18": ([*range(20, 40)], 9, 0),
        "2026-11-19": ([*range(10, 30)], 1, 10),
        "2026-11-20": ([*range(10), *range(40, 50)], 2, 0),
        "2026-11-21": ([*range(20)], 2, 20),
        "2026-11-22": ([*range(20)], 0, 0),
    }
    rows = {
        100 * at + n: ("red", float(size), day)
        for at, (day, (of_day, _, _)) in enumerate(sizes.items())
        for n, size in enumerate(of_day)
    }
    write(reusing, rows)
    for day, (_, slices, carried) in sizes.items():
        back = f"model.reuse_slices={slices}"
        plan = plan_slice(reusing.context(back), day)
        run = reusing.score(day, ALONE, back)
        assert (run.rows_in, run.rows_carried) == (20, carried), day
        assert plan["reuse"] == run.reuse
        assert reusing.states()[day] == "published"
    last = "2026-11-21"
    assert len(set(published(reusing, last, ("run_id",)))) == 2
    assert_as_forced(reusing, last, ALONE, "model.reuse_slices=2")


def damage_fingerprints(file: Path) -> int:
    """Flips a bit of a file's fingerprints; how many rows it has."""
    group = pq.read_metadata(file).row_group(0)
    column = next(
        group.column(at)
        for at in range(group.num_columns)
        if group.column(at).path_in_schema == "input_fingerprint"
    )
    content = bytearray(file.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    file.write_bytes(content)
    return group.num_rows


def test_rows_of_a_damaged_file_are_scored_with_a_warning(reusing: LakeProject) -> None:
    rows = some_rows(range(40))
    write(reusing, rows)
    reusing.score(DAYS[0])
    table = DeltaTable(str(reusing.root / "var/lake/predictions/lake"))
    file = Path(table.file_uris()[0].removeprefix("file://"))
    lost = damage_fingerprints(file)
    write(reusing, rows | some_rows(range(40, 42)))
    run = reusing.score(DAYS[0], ALONE)
    assert (run.status, run.rows_scored, run.rows_carried) == ("published", 2 + lost, 40 - lost)
    [warning] = run.warnings
    assert file.name in warning and "none of them is carried over" in warning
    assert_as_forced(reusing, DAYS[0], ALONE)


def test_rows_that_failed_before_are_scored_and_a_replay_goes_on(reusing: LakeProject) -> None:
    rows = some_rows(range(30))
    rows[7] = ("red", 1e308, DAYS[0])
    write(reusing, rows)
    first = reusing.score(DAYS[0], ALONE)
    rows[40] = ("blue", 5.5, DAYS[0])
    write(reusing, rows)
    second = reusing.score(DAYS[0], ALONE)
    assert second.rows_quarantined == first.rows_quarantined
    assert second.rows_scored == 1 and second.rows_in == 31
    replayed = replay_slice(reusing.context(), DAYS[0], reusing.open_session)
    assert replayed.rows_carried == 0
    assert reusing.states()[DAYS[0]] == "published"


def test_nothing_is_left_of_what_was_looked_up(reusing: LakeProject) -> None:
    write(reusing, some_rows(range(40)))
    reusing.score(DAYS[0])
    write(reusing, some_rows(range(41)))
    assert reusing.score(DAYS[0], ALONE).rows_carried == 40
    place = Path(reusing.context().looked_up)
    assert place.is_dir() and not list(place.iterdir())
