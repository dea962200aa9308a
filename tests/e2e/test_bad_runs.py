"""Runs that cannot be: models, checks, leases, interruptions; nothing is published and nothing is
half-written.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from e2e.commands import BATCHINFER, DAY, Project, as_result, extract_small, tables
from spark.refusing import NET


def test_a_model_that_is_not_there(small: Project) -> None:
    assert extract_small(small).code == 0
    result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 7
    assert "small" in result.json["errors"][0]


def test_one_flipped_byte_in_a_bundle_stops_the_run(small: Project) -> None:
    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    missing = small.run(
        "score", "-p", "small", "--slice", DAY, "--set", "model.uri=models:/small@champoin"
    )
    assert missing.code == 7
    assert "champoin" in missing.json["errors"][0]
    for weights in (small.root / "var").glob("**/weights.safetensors"):
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.chmod(0o644)
        weights.write_bytes(bytes(data))
    result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 7, result.stderr
    assert "weights.safetensors" in result.json["errors"][0]
    assert "predictions/small" not in tables(small)


def test_a_failed_suite_publishes_nothing(small: Project) -> None:
    small.write(
        "conf/expectations/never.yaml",
        "- expect_column_values_to_be_between: {column: score, min_value: 2, max_value: 3}\n",
    )
    small.edit(
        "conf/pipelines/small.yaml",
        "{max_quarantine_rate: 0.5}",
        "{predictions: conf/expectations/never.yaml}",
    )
    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 4, result.stderr
    assert "score" in result.json["errors"][0]
    assert "predictions/small" not in tables(small)
    assert not list((small.lake / "predictions").glob("**/*.parquet"))
    [row] = small.run("status", "-p", "small").json["slices"]
    assert row["status"] == "failed"


def test_rows_that_could_not_be_scored_are_replayed(small: Project) -> None:
    small.write("refusing_net.py", NET)
    small.edit(
        "conf/pipelines/small.yaml", "train:\n", "train:\n  model: {python: 'refusing_net:Net'}\n"
    )
    small.edit("conf/pipelines/small.yaml", "hidden: [4], ", "")
    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    never = small.run("replay", "-p", "small", "--slice", DAY)
    assert (never.code, never.json["status"]) == (3, "failed")
    assert "was never published" in never.json["errors"][0]
    small.write("refused", "1")
    scored = small.run("score", "-p", "small", "--slice", DAY)
    assert (scored.code, scored.json["rows_quarantined"]) == (0, 4), scored.stderr
    small.write("refused", "9")
    replayed = small.run("replay", "-p", "small", "--slice", DAY)
    assert (replayed.code, replayed.json["status"], replayed.json["rows_scored"]) == (
        0,
        "published",
        4,
    ), replayed.stderr
    [row] = small.run("status", "-p", "small").json["slices"]
    assert (row["status"], row["rows_landed"], row["rows_published"]) == ("published", 20, 20)
    nothing = small.run("replay", "-p", "small", "--slice", DAY)
    assert (nothing.code, nothing.json["status"], nothing.json["rows_in"]) == (0, "unchanged", 0)


@pytest.mark.parametrize(("env", "after_s"), [("local", 0.3), ("session", 2.5)])
def test_ctrl_c_in_the_middle_of_a_run_leaves_nothing_half_written(
    small: Project, env: str, after_s: float
) -> None:
    small.write(
        "in/a.csv", "id,color,size,big\n" + "".join(f"{n},red,{n}.5,no\n" for n in range(400_000))
    )
    command = [str(BATCHINFER), "extract", "-p", "small", "--slice", DAY, "--env", env]
    running = subprocess.Popen(
        command,
        cwd=small.root,
        env=small.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    held = small.lake / "_leases" / "small"
    deadline = time.monotonic() + 60
    while not list(held.glob("**/*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(after_s)
    os.killpg(running.pid, signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    result = as_result(running.returncode, stdout, stderr)
    assert result.code == 130, stderr
    assert result.json["status"] == "interrupted"
    assert "Traceback" not in stderr
    assert "landed/small" not in tables(small)
    after = extract_small(small)
    assert after.code == 0, after.stderr
    assert after.json["rows_landed"] == 400_000


def test_two_runs_of_one_slice_do_not_meet(small: Project) -> None:
    from batchinfer.lake.leases import hold

    assert extract_small(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    with hold(str(small.lake), "small", DAY, "other-run"):
        result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 6
    assert "other-run" in result.json["errors"][0]
