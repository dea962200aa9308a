"""The spark-submit command that a job becomes."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from batchinfer.errors import ConfigError
from batchinfer.submit import (
    environment_of,
    is_away,
    merged,
    project_asked,
    split_arguments,
    submission,
)


def test_arguments_of_the_job_and_of_spark_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job, own, spark = split_arguments(
        ["jobs/score.py", "--pipeline", "p", "--spark", "--num-executors", "8"]
    )
    assert Path(job).is_file(), "found beside the script, whatever the working folder"
    assert (own, spark) == (["--pipeline", "p"], ["--num-executors", "8"])


def test_a_job_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"got jobs/skore\.py"):
        split_arguments(["jobs/skore.py"])


def test_the_environment_is_that_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHINFER_ENV", "cluster")
    assert environment_of(["--env", "local"]) == environment_of(["--env=local"]) == "local"
    assert environment_of(["--slice", "x"]) == "cluster"


def test_master_and_properties_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = tmp_path / "spark.conf"
    properties.write_text("spark.ui.enabled false\n")
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPARK_MASTER", "spark://master:7077")
    asked: list[str] = []
    monkeypatch.setattr("batchinfer.submit.check_master", asked.append)
    monkeypatch.setenv("SPARK_CONF_FILE", str(properties))
    command = submission(["jobs/score.py", "--pipeline", "p", "--spark", "--verbose"]).command
    assert "spark.master=spark://master:7077" in command and asked == ["spark://master:7077"]
    assert command[command.index("--properties-file") + 1] == str(properties)
    [package] = [
        part.partition("=")[2] for part in command if part.startswith("spark.submit.pyFiles=")
    ]
    assert Path(package).is_file(), "executors on other machines get the package"
    assert command[-4:-2] == ["--verbose", command[-3]] and command[-2:] == ["--pipeline", "p"]
    monkeypatch.setenv("SPARK_CONF_FILE", str(tmp_path / "none.conf"))
    with pytest.raises(ConfigError, match="SPARK_CONF_FILE"):
        submission(["jobs/score.py"])


def test_what_is_sent_is_of_the_project_of_the_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    (mine / "conf" / "environments").mkdir(parents=True)
    (mine / "conf" / "environments" / "far.yaml").write_text("spark: {master: 'local[1]'}\n")
    (mine / "x.yaml").write_text("name: x\n")
    monkeypatch.chdir(tmp_path)
    assert project_asked(["-p", "mine/x.yaml"]) == project_asked(["--pipeline=mine/x.yaml"]) == mine
    checkout = Path(__file__).parents[2]
    assert project_asked(["--pipeline", "nowhere"]) == project_asked([]) == checkout
    monkeypatch.delenv("BATCHINFER_HOME", raising=False)
    command = submission(
        ["jobs/score.py", "-p", "mine/x.yaml", "--env", "far", "--spark", "--verbose"]
    ).command
    assert "spark.master=local[1]" in command
    assert not (tmp_path / "var").exists()


def test_files_that_the_caller_names_are_sent_beside_ours() -> None:
    known = {"spark.submit.pyFiles": "batchinfer.zip"}
    left, conf = merged(["--py-files", "mine.zip", "--archives", "a.zip#a", "--verbose"], known)
    assert left == ["--verbose"]
    assert conf == {"spark.submit.pyFiles": "batchinfer.zip,mine.zip", "spark.archives": "a.zip#a"}


@pytest.mark.parametrize(
    ("conf", "spark", "away"),
    [
        ({}, [], False),
        ({}, ["--deploy-mode", "cluster"], True),
        ({}, ["--conf", "spark.submit.deployMode=cluster"], True),
        ({"spark.submit.deployMode": "cluster"}, [], True),
        ({"spark.submit.deployMode": "cluster"}, ["--deploy-mode=client"], False),
    ],
)
def test_where_the_driver_will_run(conf: dict[str, str], spark: list[str], away: bool) -> None:
    assert is_away(conf, spark) is away


def test_a_driver_on_another_machine_gets_the_configuration_and_the_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conf" / "pipelines").mkdir(parents=True)
    (tmp_path / "conf" / "pipelines" / "p.yaml").write_text("name: p\n")
    (tmp_path / "conf" / "environments").mkdir()
    (tmp_path / "conf" / "environments" / "gpu.yaml").write_text("# our own\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPARK_MASTER", "yarn")
    monkeypatch.setenv("BATCHINFER_LAKE", "hdfs:///lake")
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SECRET_TOKEN", "canary")
    made = submission(["jobs/score.py", "-p", "p", "--spark", "--deploy-mode", "cluster"])
    conf = dict(part.split("=", 1) for part in made.command if part.startswith("spark."))
    assert conf["spark.yarn.appMasterEnv.BATCHINFER_LAKE"] == "hdfs:///lake"
    archive, _, name = conf["spark.archives"].partition("#")
    packed = zipfile.ZipFile(archive)
    # The environments that the project has not are those of the checkout.
    assert name == "conf" and [one for one in packed.namelist() if one.startswith("pipelines")] == [
        "pipelines/p.yaml"
    ]
    assert {"base/environment.yaml", "environments/cluster.yaml", "environments/gpu.yaml"} < set(
        packed.namelist()
    )
    assert packed.read("environments/gpu.yaml") == b"# our own\n"
    text = " ".join(made.command)
    assert "canary" not in text and str(tmp_path / "home") not in conf.values()
    assert "classes.jsa" not in text and "log4j2.configurationFile" not in text, (
        "files of this machine"
    )
    monkeypatch.setenv("BATCHINFER_REGISTRY", "postgresql://me:canary@host/registry")
    with pytest.raises(
        ConfigError, match="BATCHINFER_REGISTRY: got an address with a user or a password"
    ) as told:
        submission(["jobs/score.py", "-p", "p", "--spark", "--deploy-mode", "cluster"])
    assert "canary" not in str(told.value)
    here = submission(["jobs/score.py", "-p", "p"])
    assert "classes.jsa" in " ".join(here.command) and "appMasterEnv" not in " ".join(here.command)


@pytest.mark.parametrize(
    ("job", "code", "line"),
    [
        # What Spark does with the Python of a job: one pipe for both of its outputs.
        ("print_line({'rows': 3})", 0, {"rows": 3}),
        ("raise SystemExit(7)", 7, {"status": "failed", "exit_code": 7}),
        ("os.kill(os.getpid(), 9)", 137, {"status": "failed", "exit_code": 137}),
    ],
)
def test_the_line_of_a_job_is_all_that_reaches_standard_output(
    job: str, code: int, line: dict[str, object]
) -> None:
    body = f"""
import os
from batchinfer.command import print_line, stdout_for_the_line
print("said by the JVM", flush=True)
with stdout_for_the_line():
    print("said by a model", flush=True)
    {job}
"""
    program = f"""
import sys
from batchinfer import submit
submit.submission = lambda _: submit.Submission([sys.executable, "-c", {body!r}], {{}}, False)
sys.exit(submit.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    [told] = [json.loads(one) for one in done.stdout.splitlines()]
    assert done.returncode == code, done.stderr
    assert line.items() <= told.items()
    assert "said by the JVM" in done.stderr and "said by a model" in done.stderr
