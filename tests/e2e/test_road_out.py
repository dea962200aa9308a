"""The road out of the tables by real commands: a night that loads a store, fallbacks, a row now,
and a load that is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e.commands import BATCHINFER, CHECKOUT, DAY, SMALL_PIPELINE, SMALL_ROWS, Project

ROAD_OUT = """\
load: [{kind: embedded, after: score}]
fallback:
  levels:
    - name: color
      by: [color]
      sql: >
        select color, avg(score) as score from predictions
        join features using (source_file, source_line) group by color
    - {name: all, sql: "select avg(score) as score from predictions"}
"""
KEY = "source_file=a.csv,source_line={}"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose night has landed, scored and loaded."""
    project = Project(tmp_path_factory.mktemp("night"))
    project.write("conf/pipelines/small.yaml", SMALL_PIPELINE + ROAD_OUT)
    project.write("in/a.csv", SMALL_ROWS)
    for arguments in (
        ("extract", "-p", "small", "--slice", DAY),
        ("train", "-p", "small"),
    ):
        result = project.run(*arguments)
        assert result.code == 0, result.stderr
    return project


def test_a_night_loads_the_store_that_wants_it(night: Project) -> None:
    done = night.run("nightly", "-p", "small", "--slice", DAY)
    assert done.code == 0, done.stderr
    (store,) = done.json["stores"]
    assert (store["store"], store["status"], store["rows"]) == ("embedded", "loaded", 20)
    # Two colors, and all.
    assert store["fallback_rows"] == 3
    again = night.run("nightly", "-p", "small", "--slice", DAY)
    assert [one["status"] for one in again.json["stores"]] == ["unchanged"]
    verified = night.run("load", "-p", "small", "--verify")
    assert verified.json["stores"][0]["rows_verified"] == 20, verified.stderr


def test_fallbacks_answer_where_they_are_asked(night: Project) -> None:
    assert night.run("score", "-p", "small", "--slice", DAY).code == 0
    absent = night.run("lookup", "-p", "small", "--key", KEY.format(999))
    assert (absent.code, absent.json["found"]) == (3, False)
    asked = ["lookup", "-p", "small", "--key", KEY.format(999), "--fallback"]
    of_all = night.run(*asked)
    assert (of_all.code, of_all.json["fallback"]) == (0, "all")
    of_color = night.run(*asked, "--attribute", "color=red")
    assert (of_color.json["found"], of_color.json["fallback"]) == (False, "color")
    assert of_color.json["prediction"]["color"] == "red"
    wrong = night.run(*asked, "--attribute", "size=3")
    assert wrong.code == 2 and "allowed: color" in wrong.json["errors"][0]
    alone = night.run("lookup", "-p", "small", "--key", KEY.format(2), "--attribute", "color=red")
    assert alone.code == 2 and "--fallback" in alone.json["errors"][0]


def test_a_row_now_is_the_row_of_the_batch(night: Project) -> None:
    assert night.run("score", "-p", "small", "--slice", DAY).code == 0
    stored = night.run("lookup", "-p", "small", "--key", KEY.format(5)).json["prediction"]
    now = night.run("predict", "-p", "small", "--key", KEY.format(5))
    assert now.code == 0, now.stderr
    assert now.json["prediction"]["score"] == pytest.approx(stored["score"], abs=1e-6)
    given = night.run("predict", "-p", "small", "--row", '{"color": "red", "size": 3.5}')
    assert given.json["prediction"].keys() == now.json["prediction"].keys()
    both = night.run("predict", "-p", "small", "--key", KEY.format(5), "--row", "{}")
    assert both.code == 2 and "one of them" in both.json["errors"][0]


def test_loads_that_are_killed_leave_the_store_as_it_was(night: Project) -> None:
    assert night.run("score", "-p", "small", "--slice", DAY).code == 0
    first = night.run("load", "-p", "small")
    assert first.code == 0, first.stderr
    pointer = night.root / "var/online/small/pointer.json"
    begun = 0
    for _ in range(3):
        before = pointer.read_bytes()
        process = subprocess.Popen(
            [str(BATCHINFER), "load", "-p", "small", "--full"],
            cwd=night.root,
            env=night.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        layers = _layers(night.root)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            # As soon as it writes, it is killed.
            if _layers(night.root) != layers:
                break
            time.sleep(0.005)
        running = process.poll() is None
        if running:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if running and _layers(night.root) != layers and pointer.read_bytes() == before:
            begun += 1
            break
    assert begun, "none was killed between its first row and its switch"
    done = night.run("load", "-p", "small", "--verify")
    assert done.code == 0, done.stderr
    assert done.json["stores"][0]["rows_verified"] == 20
    full = night.run("load", "-p", "small", "--full", "--verify")
    assert full.json["status"] == "loaded", full.stderr
    kept = 2
    assert len(_layers(night.root)) <= kept, "what the killed ones left was swept"


def test_spark_submit_loads_as_the_command_does(night: Project) -> None:
    assert night.run("score", "-p", "small", "--slice", DAY).code == 0
    job = ["bash", str(CHECKOUT / "spark-submit.sh"), "jobs/load.py", "-p", "small", "--full"]
    loaded = night.execute(job)
    assert loaded.code == 0, loaded.stderr
    assert (loaded.json["status"], loaded.json["rows"]) == ("loaded", 20)


def test_what_a_load_cannot_do_is_told(night: Project, tmp_path: Path) -> None:
    other = night.run("load", "-p", "small", "--to", "redis")
    assert other.code == 2 and "allowed: embedded" in other.json["errors"][0]
    both = night.run("load", "-p", "small", "--rollback", "--full")
    assert both.code == 2 and "--rollback" in both.json["errors"][0]
    nothing = Project(tmp_path)
    nothing.write("conf/pipelines/small.yaml", SMALL_PIPELINE)
    absent = nothing.run("load", "-p", "small")
    assert absent.code == 3 and "have been published" in absent.json["errors"][0]
    assert "batchinfer score -p small" in absent.json["next"][0]


def _layers(root: Path) -> set[str]:
    return {path.name for path in (root / "var/online/small/layers").glob("*")}
