"""The lake in a bucket, with the real commands: landed, trained, scored by every road, looked up,
killed, refused.
"""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

import pytest
from e2e.commands import BATCHINFER, DAY, SMALL_PIPELINE, SMALL_ROWS, Project
from s3.conftest import ACCESS_KEY, FIRST_S, SECRET_KEY, free_port, run, use_lake
from s3.test_s3a import counts, places_of
from s3.test_store_commits import keys
from spark.refusing import NET

pytestmark = pytest.mark.timeout(FIRST_S + 600)
CHECKS = "- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1}\n"
SCORE = ("score", "-p", "small", "--slice", DAY)


@pytest.fixture
def small(project: Project, lake: str) -> Project:
    use_lake(project, lake)
    project.write("conf/pipelines/small.yaml", SMALL_PIPELINE)
    project.write("in/a.csv", SMALL_ROWS + "x,red,1,no\n")
    return project


def rows_of(table: str) -> list[dict[str, Any]]:
    from batchinfer.lake.snapshots import open_table

    return open_table(table).to_pyarrow_table().to_pylist()


def scores(lake: str) -> dict[int, float]:
    rows = rows_of(f"{lake}/predictions/small")
    assert len({row["source_line"] for row in rows}) == len(rows)
    return {row["source_line"]: row["score"] for row in rows}


def learned(project: Project) -> None:
    result = run(project, "extract", "-p", "small", "--slice", DAY)
    assert counts(result) == (1, 21, 20, 1)
    result = run(project, "train", "-p", "small")
    assert result.code == 0, result.stderr


def test_everything_from_a_file_to_a_lookup_is_in_the_bucket(small: Project, lake: str) -> None:
    learned(small)
    [bad] = rows_of(f"{lake}/quarantine/small")
    assert (bad["source_line"], bad["raw"]) == (22, b"x,red,1,no")
    again = run(small, "extract", "-p", "small", "--slice", DAY)
    assert again.json["status"] == "unchanged", again.stderr
    result = run(small, *SCORE)
    assert (result.code, result.json["status"], result.json["rows_scored"]) == (
        0,
        "published",
        20,
    ), result.stderr
    assert result.json["table"] == f"{lake}/predictions/small"
    first = scores(lake)
    assert sorted(first) == list(range(2, 22))
    [told] = run(small, "status", "-p", "small").json["slices"]
    assert (told["slice"], told["status"], told["rows_landed"], told["rows_published"]) == (
        DAY,
        "published",
        20,
        20,
    )
    found = run(small, "lookup", "-p", "small", "--key", "source_file=a.csv,source_line=17")
    assert found.json["prediction"]["score"] == first[17], found.stderr
    assert (
        run(small, "lookup", "-p", "small", "--key", "source_file=a.csv,source_line=99").code == 3
    )
    report = run(small, "report", "--run", result.json["run_id"])
    assert (
        report.json["report"]
        == result.json["report"]
        == f"{lake}-reports/{result.json['run_id']}.html"
    )
    assert report.json["rows_scored"] == 20
    assert run(small, *SCORE).json["status"] == "unchanged"
    small.write("conf/expectations/small.yaml", CHECKS)
    small.edit(
        "conf/pipelines/small.yaml",
        "checks: {",
        "checks: {predictions: conf/expectations/small.yaml, ",
    )
    results = [result]
    for road in ("direct", "arrow", "pandas"):
        results.append(run(small, *SCORE, "--force", "--set", f"model.road={road}"))
        assert (results[-1].code, results[-1].json["road"]) == (0, road), results[-1].stderr
        assert results[-1].json["checks_passed"] == 1
        assert scores(lake) == pytest.approx(first)
    plan = run(small, "plan", "-p", "small", "--slice", DAY)
    assert plan.code == 0, plan.stderr
    backfill = run(small, "backfill", "-p", "small", "--from", DAY, "--to", DAY)
    assert backfill.code == 0, backfill.stderr
    assert not list(small.root.glob("var/lake/*"))
    for secret in (SECRET_KEY, ACCESS_KEY):
        assert places_of(small, secret) == []
        assert not [result for result in results if secret in result.stdout + result.stderr]
        assert not [key for key in keys(lake) if secret in key]


def test_rows_of_the_quarantine_join_the_slice(small: Project, lake: str) -> None:
    small.write("refusing_net.py", NET)
    small.edit(
        "conf/pipelines/small.yaml", "train:\n", "train:\n  model: {python: 'refusing_net:Net'}\n"
    )
    small.edit("conf/pipelines/small.yaml", "hidden: [4], ", "")
    learned(small)
    small.write("refused", "1")
    result = run(small, *SCORE)
    refused = result.json["rows_quarantined"]
    assert (result.code, 0 < refused < 10, len(scores(lake))) == (0, True, 20 - refused), (
        result.stderr
    )
    small.write("refused", "9")
    result = run(small, "replay", "-p", "small", "--slice", DAY)
    assert (result.code, result.json["status"], result.json["rows_scored"]) == (
        0,
        "published",
        refused,
    ), result.stderr
    assert sorted(scores(lake)) == list(range(2, 22))
    assert [row["stage"] for row in rows_of(f"{lake}/quarantine/small")] == ["extract"]
    assert run(small, "replay", "-p", "small", "--slice", DAY).json["status"] == "unchanged"


def written(lake: str) -> set[str]:
    return {key for key in keys(lake) if key.startswith("predictions/small/slice=")}


def test_a_run_that_is_killed_leaves_nothing_and_the_next_one_is_right(
    small: Project, lake: str
) -> None:
    learned(small)
    command = [str(BATCHINFER), *SCORE, "--set", "model.road=direct"]
    environment = small.environment()
    published = 0
    for seconds in (0.0, 0.4):
        before = written(lake)
        killed = subprocess.Popen(
            command,
            cwd=small.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Files of predictions lie there now, and no commit refers to them yet, or has just been
        # made.
        while written(lake) == before and killed.poll() is None:
            time.sleep(0.02)
        time.sleep(seconds)
        killed.send_signal(signal.SIGKILL)
        code = killed.wait(timeout=60)
        published = (
            len(scores(lake)) if f"predictions/small/_delta_log/{0:020d}.json" in keys(lake) else 0
        )
        # On a fast machine it may have ended by itself.
        assert (code, published) in ((-signal.SIGKILL, 0), (-signal.SIGKILL, 20), (0, 20))
    result = run(small, *SCORE, "--set", "model.road=direct")
    assert result.code == 0, result.stderr
    assert result.json["status"] == ("unchanged" if published else "published")
    assert sorted(scores(lake)) == list(range(2, 22))


def test_where_the_lake_cannot_be_is_told_before_spark_starts(small: Project, lake: str) -> None:
    def told(code: int, **environment: str) -> str:
        began = time.monotonic()
        result = run(small, *SCORE, **environment)
        assert result.code == code, result.stderr
        assert time.monotonic() - began < 45
        assert (
            SECRET_KEY not in result.stdout + result.stderr
            and ACCESS_KEY not in result.stdout + result.stderr
        )
        return " ".join([*result.json["errors"], result.json.get("hint") or ""])

    text = (small.root / "conf/environments/local.yaml").read_text()
    small.write(
        "conf/environments/local.yaml", text.replace(f"lake: {lake}\n", "lake: hdfs:///lake\n")
    )
    assert "lake" in told(2) and "s3a://bucket/folder" in told(2)
    small.write(
        "conf/environments/local.yaml",
        text.replace("  conf:\n", "  conf:\n    spark.hadoop.fs.s3a.access.key: x\n", 1),
    )
    assert "got spark.hadoop.fs.s3a.access.key" in told(2)
    small.write(
        "conf/environments/local.yaml",
        text.replace(f"lake: {lake}\n", "lake: s3a://no-such-bucket/lake\n"),
    )
    assert "no such bucket" in told(8)
    dead = [
        f"    spark.hadoop.fs.s3a.endpoint: http://127.0.0.1:{free_port()}"
        if "endpoint: " in line
        else line
        for line in text.splitlines()
    ]
    small.write("conf/environments/local.yaml", "\n".join(dead))
    assert "check the store's address" in told(8)
