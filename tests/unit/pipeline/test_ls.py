"""`ls`: every pipeline file of the project is a row, those that are broken too."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from spark.projects import DAY, SmallProject

from batchinfer.errors import ConfigError
from batchinfer.pipeline.ls import list_pipelines


def test_each_pipeline_is_a_row_and_a_broken_one_has_its_problem(
    ready: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ready.root)
    ready.write("conf/pipelines/broken.yaml", "name: broken\nsorce: {}\n")
    text = (ready.root / "conf/pipelines/small.yaml").read_text()
    ready.write(
        "conf/pipelines/later.yml",
        text.replace("name: small", "name: later").replace("predictions/small", "predictions/later")
        + "schedule: '15 2 * * *'\n",
    )
    broken, later, small = list_pipelines().pipelines
    assert (broken.name, broken.newest_slice) == ("broken", None)
    assert "unknown field sorce (did you mean source?)" in str(broken.problem)
    assert (later.name, later.status, later.schedule) == ("later", None, "15 2 * * *")
    assert (small.name, small.newest_slice, small.status) == ("small", DAY, "missing")
    assert (small.file, small.problem) == ("conf/pipelines/small.yaml", None)
    ready.score()
    assert list_pipelines().pipelines[-1].status == "published"
    with pytest.raises(ConfigError, match="environment: got 'lcal'"):
        list_pipelines("lcal")


def test_the_command_starts_nothing_heavy(ready: SmallProject) -> None:
    script = (
        "import sys\n"
        "from batchinfer.pipeline.ls import list_pipelines\n"
        "import json\n"
        "print(json.dumps(list_pipelines().to_json()))\n"
        "print(*[name for name in ('pyspark', 'torch', 'mlflow') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ready.root,
        env=dict(os.environ), check=True,
    )  # fmt: skip
    told, loaded = done.stdout.splitlines()
    [row] = json.loads(told)["pipelines"]
    names = ["name", "file", "newest_slice", "status", "schedule", "problem"]
    assert (list(row), loaded) == (names, "")
