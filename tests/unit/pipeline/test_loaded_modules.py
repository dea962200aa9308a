"""What commands that answer at once load, and the landing of few rows: neither Spark nor PyTorch,
nor what takes as long.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from spark.projects import SmallProject

# Not pandas: pyarrow itself imports it once an array is made of a list.
SLOW = ("pyspark", "py4j", "torch", "great_expectations", "sklearn", "scipy", "mlflow")


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
