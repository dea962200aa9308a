"""The GPU benchmark as a program: it says that there is no GPU, and its processes can be tried on a
CPU with few rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )


def test_without_a_gpu_it_says_so_and_is_no_error() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = ran()
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing measured: PyTorch sees no CUDA device here" in done.stderr


def test_it_can_be_tried_on_a_cpu() -> None:
    done = ran(
        "tabular", "--device", "cpu", "--rows", "200", "--repeats", "1", "--instances", "1", "2"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    alone, together = map(json.loads, done.stdout.splitlines())
    assert {"bare loop", "engine", "engine, a batch at a time"} <= set(alone["ratios"])
    assert set(together["ratios"]) == {"1", "2"}
    assert all(ratio > 0 for ratio in together["ratios"].values())
