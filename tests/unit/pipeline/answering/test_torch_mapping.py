"""PyTorch's libraries are in memory before Python imports them."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from batchinfer.pipeline.answering.torch_mapping import TorchMapping

def is_mapped():
    return "libtorch_python" in Path("/proc/self/maps").read_text()

TorchMapping.install()
import json, importlib.util
assert importlib.util.find_spec("no_such_module") is None and not is_mapped()
assert importlib.util.find_spec("torch") is not None
assert is_mapped() and "torch" not in sys.modules
import torch
print(int(torch.ones(3).sum()), [one for one in sys.meta_path if isinstance(one, TorchMapping)])
"""


def test_the_libraries_are_mapped_once_and_by_the_first_import_alone() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "3 []\n"), ended.stderr
