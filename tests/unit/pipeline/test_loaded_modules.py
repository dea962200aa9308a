"""What commands that answer at once load, and the landing of few rows: neither Spark nor PyTorch,
nor what takes as long; and what a night loads that finds nothing new: nothing that lands or scores.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from spark.projects import SmallProject

# Not pandas: pyarrow itself imports it once an array is made of a list.
SLOW = ("pyspark", "py4j", "torch", "great_expectations", "sklearn", "scipy", "mlflow")
# Pandas as well, and what imports it; of the package what only a run with work to do needs.
IDLE = (
    *SLOW,
    "pandas",
    "pyarrow.dataset",
    "pyarrow.compute",
    "batchinfer.nights.notices",
    "batchinfer.pipeline.landing.landing_task",
    "batchinfer.pipeline.reuse.known_index",
    "batchinfer.pipeline.scoring.publication",
    "batchinfer.prepare.join",
    "batchinfer.spark.session",
    "batchinfer.transforms.expressions",
    "batchinfer.transforms.steps.text",
)


@pytest.mark.parametrize(
    "call",
    [
        "status(file)",
        "lookup(file, {'source_file': 'a.csv', 'source_line': 2})",
        "extract(file, '2026-11-21', force=True)",
    ],
)
def test_commands_that_answer_at_once_load_nothing_slow(ready: SmallProject, call: str) -> None:
    ready.score()
    script = (
        "import sys, batchinfer\n"
        f"file = {str(ready.root / 'conf/pipelines/small.yaml')!r}\n"
        f"print(batchinfer.{call}, file=sys.stderr)\n"
        f"print(*[name for name in {SLOW!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ready.root,
        env=dict(os.environ), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
    assert "2026-11-21" in done.stderr


def test_a_night_with_nothing_new_loads_nothing_that_lands_or_scores(ready: SmallProject) -> None:
    ready.score()
    # The code of the model's own handler is looked at, and stands among the tests.
    path = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    file = str(ready.root / "conf/pipelines/small.yaml")
    script = (
        "import sys\n"
        "from batchinfer.nights.nightly import run_nights\n"
        f"code = run_nights([{file!r}], '2026-11-21')\n"
        f"print(code, *[name for name in {IDLE!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ready.root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)}, check=False,
    )  # fmt: skip
    line, loaded = done.stdout.splitlines()[-2:]
    assert '"status": "unchanged"' in line, done.stderr
    assert loaded == "0"
