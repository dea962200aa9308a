"""The spark-submit command that a job becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchinfer.errors import ConfigError
from batchinfer.submit import environment_of, split_arguments, submit_command


def test_arguments_of_the_job_and_of_spark_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job, own, spark = split_arguments(["jobs/score.py", "--pipeline", "p", "--spark", "--num-executors", "8"])
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


def test_master_and_properties_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = tmp_path / "spark.conf"
    properties.write_text("spark.ui.enabled false\n")
    monkeypatch.setenv("BATCHINFER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPARK_MASTER", "spark://master:7077")
    monkeypatch.setenv("SPARK_CONF_FILE", str(properties))
    command = submit_command(["jobs/score.py", "--pipeline", "p", "--spark", "--verbose"])
    assert "spark.master=spark://master:7077" in command
    assert command[command.index("--properties-file") + 1] == str(properties)
    assert Path(command[command.index("--py-files") + 1]).is_file(), "executors on other machines get the package"
    assert command[-4:-2] == ["--verbose", command[-3]] and command[-2:] == ["--pipeline", "p"]
    monkeypatch.setenv("SPARK_CONF_FILE", str(tmp_path / "none.conf"))
    with pytest.raises(ConfigError, match="SPARK_CONF_FILE"):
        submit_command(["jobs/score.py"])
