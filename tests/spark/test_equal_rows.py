"""Rows of equal inputs: scored once, counted as reused, and put aside together."""

from __future__ import annotations

from pathlib import Path

import pytest
from spark.projects import DAY, SmallProject, csv_of

from batchinfer import errors


@pytest.fixture
def trained(small: SmallProject) -> SmallProject:
    small.extract()
    small.train()
    return small


def test_equal_inputs_are_scored_once_and_counted_as_reused(small: SmallProject) -> None:
    small.write(
        "in/a.csv",
        "id,color,size,big\n"
        + "".join(f"{n},red,{n % 4}.5,{('no', 'yes')[n % 4 > 1]}\n" for n in range(40)),
    )
    small.extract()
    small.train()
    report = small.score(DAY, "model.batch.rows=40")
    assert (report.rows_in, report.rows_scored, report.rows_reused, report.rows_quarantined) == (
        40,
        4,
        36,
        0,
    )
    found = small.predictions()
    assert len(found) == 40
    assert all(found[key] == found[key % 4] for key in found)


def test_equal_rows_of_the_whole_run_are_scored_once_with_the_same_result(
    trained: SmallProject,
) -> None:
    """Rows with a key of their own and equal inputs, in two files; some of them cannot be
    scored.
    """
    lines = csv_of(range(40, 400)).splitlines()
    copies = [
        f"{number},{line.split(',', 1)[1]}" for number, line in enumerate(lines[1:] * 5, 1000)
    ]
    trained.write("in/b.csv", "\n".join([*lines, *copies]) + "\n")
    trained.extract()
    plain = trained.score(DAY, "model.deduplicate=never", "checks.max_quarantine_rate=0.9")
    assert (plain.rows_reused, plain.equal_rows) == (
        0,
        "the pipeline file says model.deduplicate: never",
    )
    expected = trained.table("predictions").sort_by("id")
    once = trained.score(
        DAY, "model.deduplicate=always", "checks.max_quarantine_rate=0.9", force=True
    )
    found = trained.table("predictions").sort_by("id")
    assert (once.rows_in, once.rows_quarantined) == (plain.rows_in, plain.rows_quarantined)
    assert once.rows_scored + once.rows_reused == plain.rows_scored
    inputs = expected.column("input_fingerprint").to_pylist()
    assert once.rows_scored == len(set(inputs)) < len(inputs) / 5
    assert found.column("id") == expected.column("id")
    assert found.column("input_fingerprint").to_pylist() == inputs
    assert found.column("label") == expected.column("label")
    for one, other in zip(
        found.column("score").to_pylist(), expected.column("score").to_pylist(), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
    assert {"exchange", "forward", "write"} <= {
        stage for stage, seconds in once.stage_seconds.items() if seconds
    }
    assert list(meeting_place(trained).iterdir()) == [], "what was shared out is gone"


def meeting_place(project: SmallProject) -> Path:
    """Where rows that are shared out lie while a run needs them."""
    place = project.context().looked_up
    assert place is not None
    return Path(place)


def test_where_rows_cannot_be_shared_out_nothing_is_published(trained: SmallProject) -> None:
    place = meeting_place(trained)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("in the way")
    with pytest.raises(errors.StorageError, match=str(place)):
        trained.score(DAY, "model.deduplicate=always")
    assert trained.states() == {DAY: "failed"}
    assert place.read_text() == "in the way"
    place.unlink()
    assert trained.score(DAY, "model.deduplicate=always").status == "published"


def test_copies_of_a_row_that_fails_are_all_put_aside(small: SmallProject) -> None:
    small.edit("train:\n", "train:\n  model: {python: 'spark.poison:RaisesOnLargeSizes'}\n")
    small.edit("hidden: [4], ", "")
    small.extract()
    small.train()
    lines = csv_of(range(40)).splitlines()
    small.write(
        "in/b.csv",
        "\n".join(
            [
                lines[0],
                *(f"{n},{line.split(',', 1)[1]}" for n, line in enumerate(lines[1:] * 3, 100)),
            ]
        ),
    )
    small.extract()
    aside = {}
    for way in ("never", "always"):
        report = small.score(DAY, f"model.deduplicate={way}", force=True)
        assert (
            report.rows_in
            == 160
            == report.rows_scored + report.rows_reused + report.rows_quarantined
        )
        rows = [row for row in small.table("quarantine").to_pylist() if row["stage"] == "score"]
        facts = ("key", "raw", "reason", "message", "source_file", "source_line", "slice")
        aside[way] = sorted(tuple(row[name] for name in facts) for row in rows)
    assert aside["always"] == aside["never"] and len(aside["always"]) >= 4
