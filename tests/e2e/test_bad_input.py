"""Bad input: one clear message, the exit code of the contract, the JSON line with `errors`, nothing lost or half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from e2e.commands import BATCHINFER, Project, as_result

PIPELINE = """\
name: small
source:
  kind: csv
  path: in/*.csv
  schema: {id: int, color: string, size: double, big: string}
  slice: ingest_date
features:
  - standardize: {columns: size}
  - one_hot: {columns: color}
train:
  target: {column: big, positive: ["yes"]}
  params: {hidden: [4], epochs: 2, seed: 1}
model: {uri: "models:/small@champion"}
checks: {max_quarantine_rate: 0.5}
sink: {table: predictions/small}
"""
GOOD = "id,color,size,big\n" + "".join(f"{n},{('red', 'blue')[n % 2]},{n}.5,{('no', 'yes')[n > 10]}\n" for n in range(20))
DAY = "2026-11-21"


@pytest.fixture
def small(project: Project) -> Project:
    project.write("conf/pipelines/small.yaml", PIPELINE)
    project.write("in/a.csv", GOOD)
    return project


def extract(project: Project, *more: str, slice_: str = DAY):
    return project.run("extract", "-p", "small", "--slice", slice_, *more)


def tables(project: Project) -> set[str]:
    return {str(path.parent.relative_to(project.lake)) for path in project.lake.glob("**/_delta_log")}


def quarantined(project: Project) -> list[dict]:
    from deltalake import DeltaTable

    return DeltaTable(str(project.lake / "quarantine" / "small")).to_pyarrow_table().to_pylist()


def test_five_configuration_errors_are_reported_at_once_before_any_jvm(small: Project) -> None:
    text = PIPELINE.replace("  slice: ingest_date", "  slize: ingest_date")
    text = text.replace("size: double", "size: dubble").replace("standardize: {columns: size}", "standardise: {columns: size}")
    text = text.replace("one_hot: {columns: color}", "one_hot: {columns: colour}").replace("epochs: 2", "epochs: many")
    small.write("conf/pipelines/small.yaml", text)
    started = time.perf_counter()
    result = small.run("extract", "-p", "small", "--slice", DAY, JAVA_HOME="/nowhere")
    assert time.perf_counter() - started < 10
    assert result.code == 2
    errors = "\n".join(result.json["errors"])
    for expected in ("slize", "did you mean", "dubble", "standardise", "epochs"):
        assert expected in errors, errors
    assert "conf/pipelines/small.yaml:5:" in errors
    assert len(result.json["errors"]) >= 5


def test_an_unknown_field_asks_whether_another_was_meant(small: Project) -> None:
    small.edit("conf/pipelines/small.yaml", "sink:", "sinc:")
    result = extract(small)
    assert result.code == 2
    assert any("sinc" in error and "did you mean" in error and "sink" in error for error in result.json["errors"])


def test_an_unset_variable(small: Project) -> None:
    small.edit("conf/pipelines/small.yaml", "path: in/*.csv", "path: ${NO_SUCH_FOLDER}/*.csv")
    result = extract(small)
    assert result.code == 2
    assert any("NO_SUCH_FOLDER" in error and "small.yaml:4" in error for error in result.json["errors"])


def test_a_missing_input_file(small: Project) -> None:
    (small.root / "in/a.csv").unlink()
    result = extract(small)
    assert result.code == 3
    assert "in/*.csv" in result.json["errors"][0]
    assert tables(small) <= {"runs"}


def test_an_empty_input_file_lands_an_empty_slice_which_can_be_scored(small: Project) -> None:
    assert extract(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    small.write("in/a.csv", "")
    landed = extract(small, slice_="2026-11-22")
    assert (landed.code, landed.json["rows_in"]) == (0, 0), landed.stderr
    assert landed.json["warnings"]
    empty = small.run("score", "-p", "small", "--slice", "2026-11-22")
    assert (empty.code, empty.json["rows_in"]) == (0, 0), empty.stderr
    never = small.run("score", "-p", "small", "--slice", "2026-11-23")
    assert never.code == 3
    assert "2026-11-23" in never.json["errors"][0]


def test_rows_that_do_not_parse_are_kept_with_their_place_and_reason(small: Project) -> None:
    lines = GOOD.encode().splitlines()
    lines[3] = b"2,red"
    lines[5] = b"4,red,4.5,no,too,many"
    lines[7] = b"six,red,6.5,no"
    lines[9] = b"8,r\xffd,8.5,no"
    small.write("in/a.csv", b"\n".join(lines) + b"\n")
    result = extract(small)
    assert result.code == 0, result.stderr
    assert (result.json["rows_in"], result.json["rows_landed"], result.json["rows_quarantined"]) == (20, 16, 4)
    found = {row["source_line"]: row for row in quarantined(small)}
    assert set(found) == {4, 6, 8, 10}
    assert [found[line]["raw"] for line in (4, 6, 8, 10)] == [lines[3], lines[5], lines[7], lines[9]]
    assert "six" in found[8]["message"] and "int" in found[8]["message"]
    assert all(row["source_file"] == "a.csv" and row["published"] for row in found.values())


def test_too_many_bad_rows_land_nothing(small: Project) -> None:
    small.write("in/a.csv", GOOD + "x,red,1,no\n" * 30)
    result = extract(small)
    assert result.code == 5
    assert "max_quarantine_rate" in result.json["errors"][0]
    assert "landed/small" not in tables(small)
    assert {row["published"] for row in quarantined(small)} == {False}
    assert len(quarantined(small)) == 30


def test_a_log_line_that_does_not_parse_names_its_place(project: Project) -> None:
    project.write("logs/x.log", 'a - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 1 "-" "-"\nnot a log line\n')
    project.edit("conf/pipelines/bot_traffic.yaml", "${DATA_DIR:-examples/data}/logs/*.log", "logs/*.log")
    result = project.run("extract", "-p", "bot_traffic")
    assert result.code == 5
    assert "x.log:2" in result.json["errors"][0]


def test_a_model_that_is_not_there(small: Project) -> None:
    assert extract(small).code == 0
    result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 7
    assert "small" in result.json["errors"][0]


def test_one_flipped_byte_in_a_bundle_stops_the_run(small: Project) -> None:
    assert extract(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    missing = small.run("score", "-p", "small", "--slice", DAY, "--set", "model.uri=models:/small@champoin")
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
        "conf/expectations/never.yaml", "- expect_column_values_to_be_between: {column: score, min_value: 2, max_value: 3}\n"
    )
    small.edit("conf/pipelines/small.yaml", "{max_quarantine_rate: 0.5}", "{predictions: conf/expectations/never.yaml}")
    assert extract(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 4, result.stderr
    assert "score" in result.json["errors"][0]
    assert "predictions/small" not in tables(small)
    assert not list((small.lake / "predictions").glob("**/*.parquet"))
    [row] = small.run("status", "-p", "small").json["slices"]
    assert row["status"] == "failed"


def test_a_warehouse_that_cannot_be_written(small: Project) -> None:
    small.write("var/lake", "a file where the folder should be")
    result = extract(small)
    assert result.code == 8
    assert "lake" in result.json["errors"][0]


def test_a_slice_that_is_no_date_and_a_missing_one(small: Project) -> None:
    assert extract(small, slice_="../../etc").code == 2
    assert extract(small, slice_="2026-13-45").code == 2
    without = small.run("extract", "-p", "small")
    assert (without.code, "--slice" in without.json["errors"][0]) == (2, True)


def test_an_unknown_command_and_option_end_in_the_json_line(small: Project) -> None:
    for arguments in (("scor",), ("score", "-p", "small", "--slize", DAY), ("score", "-p", "smal", "--slice", DAY)):
        result = small.run(*arguments)
        assert (result.code, result.json["exit_code"]) == (2, 2)


def test_ctrl_c_in_the_middle_of_a_run_leaves_nothing_half_written(small: Project) -> None:
    small.write("in/a.csv", "id,color,size,big\n" + "".join(f"{n},red,{n}.5,no\n" for n in range(400_000)))
    command = [str(BATCHINFER), "extract", "-p", "small", "--slice", DAY]
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
    time.sleep(2.5)
    os.killpg(running.pid, signal.SIGINT)
    stdout, stderr = running.communicate(timeout=60)
    result = as_result(running.returncode, stdout, stderr)
    assert result.code == 130, stderr
    assert result.json["status"] == "interrupted"
    assert "Traceback" not in stderr
    assert "landed/small" not in tables(small)
    after = extract(small)
    assert after.code == 0, after.stderr
    assert after.json["rows_landed"] == 400_000


def test_two_runs_of_one_slice_do_not_meet(small: Project) -> None:
    from batchinfer.sinks.leases import hold

    assert extract(small).code == 0
    assert small.run("train", "-p", "small").code == 0
    with hold(str(small.lake), "small", DAY, "other-run"):
        result = small.run("score", "-p", "small", "--slice", DAY)
    assert result.code == 6
    assert "other-run" in result.json["errors"][0]


def test_java_that_is_not_there_is_one_sentence(small: Project, tmp_path: Path) -> None:
    result = small.run("extract", "-p", "small", "--slice", DAY, JAVA_HOME=str(tmp_path / "no-java"))
    assert result.code == 2
    assert len(result.json["errors"]) == 1
    assert "JAVA_HOME" in result.json["errors"][0]
    assert "landed/small" not in tables(small)
