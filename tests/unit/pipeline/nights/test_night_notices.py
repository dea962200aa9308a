"""What a night tells by `notify:`, and that the commands it names, run as they are printed, show or
mend what it tells: nights of a real project, and a real HTTP server.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from webhook import Hook, hooked

from batchinfer.command_reports import RunReport
from batchinfer.nights.nightly import run_nights
from batchinfer.nights.quarantine_counts import count_of_run

from ..conftest import HUGE
from .conftest import TODAY, NightProject, rows_on

OLD, SEEN = "2024-02-29", "2026-11-18"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hooked(Hook()) as served:
        yield served


@pytest.fixture
def told(nights: NightProject, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> NightProject:
    """A project whose nights tell everything, after a first night that went well."""
    monkeypatch.setenv("ALERT_URL", hook.url)
    monkeypatch.setenv("COLUMNS", "200")
    nights.edit("checks: {max_quarantine_rate: 0.5}", "checks: {max_quarantine_rate: 0.3}")
    nights.edit(
        "sink:", "notify: [{webhook_env: ALERT_URL, on: [failed, quarantine, late]}]\nsink:"
    )
    assert nights.night() == 0 and hook.bodies == []
    return nights


def run(command: str, project: NightProject) -> dict[str, Any]:
    """The JSON line of a command that a message names; one of nights runs in this process."""
    program, name, *words = shlex.split(command)
    assert program == "batchinfer"
    if name == "nightly":
        given = dict(zip(words[::2], words[1::2], strict=True))
        return {"exit_code": run_nights([given["-p"]], given["--slice"])}
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", name, *words],
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_records_that_cannot_be_landed_are_counted_and_shown(
    told: NightProject, hook: Hook
) -> None:
    bad = rows_on(OLD, range(5)).replace(",0.37,", ",many,").replace(",0.74,", ",more,")
    told.write("in/bad.csv", bad)
    assert told.night() == 5
    [body] = hook.bodies
    assert body["events"] == ["failed", "quarantine"]
    [count] = body["quarantine"]
    assert (count["step"], count["slice"], count["records"], count["of"]) == ("extract", None, 2, 5)
    assert (count["rate"], count["allowed"], count["is_refused"]) == (0.4, 0.3, True)
    assert (
        "Quarantine: extract put 2 of 5 records aside, a rate of 0.4000; allowed: "
        "checks.max_quarantine_rate 0.3, so nothing was landed (run "
    ) in body["text"]
    first, again = body["next"]
    shown = run(first, told)
    assert shown["records"] == 2
    [reason] = shown["reasons"]
    assert {one["run_id"] for one in reason["examples"]} == {count["run_id"]}
    told.write("in/bad.csv", rows_on(OLD, range(5)))
    assert run(again, told) == {"exit_code": 0}
    assert told.states()[OLD] == "published"


def test_rows_that_cannot_be_scored_are_counted_with_their_slices(
    told: NightProject, hook: Hook
) -> None:
    model = "train:\n  model: {python: 'unit.pipeline.fragile:RefusesHugeSizes'}\n"
    told.edit("train:\n", model)
    told.edit("hidden: [4], ", "")
    told.edit("@champion", '@champion", road: "direct')
    told.train()
    told.land(OLD, size=HUGE)
    told.land("2026-11-19", size=HUGE)
    assert told.night() == 5
    [body] = hook.bodies
    assert body["slices"] == [OLD, "2026-11-19"] and body["events"][:2] == ["failed", "quarantine"]
    by_slice = {one["slice"]: one for one in body["quarantine"]}
    assert {(one["step"], one["records"], one["of"]) for one in by_slice.values()} == {
        ("score", 5, 5)
    }
    for day in (OLD, "2026-11-19"):
        assert f"score of slice {day} put 5 of 5 records aside" in body["text"]
        [command] = [each for each in body["next"] if each.endswith(f"--slice {day}")]
        [reason] = run(command, told)["reasons"]
        assert (reason["slice"], reason["records"]) == (day, 5)
        assert reason["examples"][0]["run_id"] == by_slice[day]["run_id"]
    assert told.night() == 5
    assert hook.bodies[1]["since"] == body["since"], "since the first night that failed of it"


def test_a_rate_of_a_notice_is_told_once_by_the_night_that_meets_it(
    told: NightProject, hook: Hook
) -> None:
    bad = rows_on("2026-11-19", range(5)).replace(",0.37,", ",many,")
    told.write("in/bad.csv", bad)
    assert told.night() == 0 and hook.bodies == [], "so many are allowed"
    told.edit("on: [failed, quarantine, late]", "on: quarantine, rate: 0.1")
    told.write("in/bad2.csv", bad.replace("2026-11-19", "2026-11-20"))
    assert told.night() == 0
    [body] = hook.bodies
    [count] = body["quarantine"]
    assert (count["records"], count["of"], count["is_refused"]) == (1, 5, False)
    assert "a rate of 0.2000; more than the rate 0.1 of notify (run " in body["text"]
    [command] = body["next"]
    examples = [one for each in run(command, told)["reasons"] for one in each["examples"]]
    assert count["run_id"] in {one["run_id"] for one in examples}
    assert told.night() == 0 and len(hook.bodies) == 1, "what is up to date is told no more"


def test_late_slices_are_told_with_what_became_of_them_and_what_scores_the_rest(
    told: NightProject, hook: Hook
) -> None:
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        told.land(day)
    assert told.night(most=1) == 0
    assert told.night(most=1) == 0
    first, second = hook.bodies
    assert first["events"] == ["late"] and first["exit_code"] == 0
    assert first["slices"] == ["2024-01-01", "2024-01-02", "2024-01-03"]
    backfill, status = first["next"]
    assert "backfill" in backfill and "--from 2024-01-01 --to 2024-01-02" in backfill
    [scored] = run(status, told)["slices"]
    assert (scored["slice"], scored["status"]) == ("2024-01-03", "published")
    assert second["slices"] == ["2024-01-01"] and second["since"] == first["since"]


def test_a_night_that_fails_says_the_hints_of_its_errors(told: NightProject, hook: Hook) -> None:
    told.write("in/other.csv", "id,colour,size,big,at\n1,red,0.5,no,2026-11-19T10:00:00\n")
    assert told.night() == 3
    [body] = hook.bodies
    assert (body["events"], body["slices"]) == (["failed"], []), "no slice is known to be wrong"
    assert "Where: table " in body["text"] and ", slice" not in body["text"].split("Where: ")[1]
    (told.root / "in/other.csv").unlink()
    again = f"batchinfer nightly -p {body['file']} --slice {TODAY}"
    assert body["next"][-1] == again and f"Next: {again} is that night again" in body["text"]
    assert run(again, told) == {"exit_code": 0}


def test_a_slice_whose_model_is_gone_is_told_with_what_the_registry_has(
    told: NightProject, hook: Hook
) -> None:
    told.land("2026-11-19")
    told.edit("models:/small@champion", "models:/small/9")
    assert told.night() == 7
    [body] = hook.bodies
    assert body["slices"] == [SEEN, "2026-11-19"]
    assert body["next"][0].startswith("batchinfer train"), "the hint of the slice's own error"
    [versions] = [each for each in body["next"] if each.startswith("batchinfer models")]
    assert [one["version"] for one in run(versions, told)["versions"]] == ["1"]


def test_rows_that_the_pipeline_file_removes_are_no_rows_in_quarantine() -> None:
    report = RunReport("r", "p", "published", rows_in=100, rows_quarantined=41, rows_removed=40)
    count = count_of_run("score", TODAY, report.to_json(), 0)
    assert count is not None and (count.records, count.of) == (1, 60)
    report.status = "unchanged"
    assert count_of_run("score", TODAY, report.to_json(), 0) is None
