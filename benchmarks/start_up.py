"""How long commands take that start no work: `--help`, `import batchinfer`, `status`, `lookup`,
beside Python itself and what they must not load.

What bounds it: imports. Each is a process of its own, all in turn, after one round that fills the
page cache. `status` and `lookup` ask the lake that `make demo` leaves behind.

    make demo && python -m benchmarks.start_up [--rounds 7]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.revision import commit

ROOT = Path(__file__).resolve().parents[1]
_COMMAND = [str(Path(sys.executable).with_name("batchinfer"))]
_PYTHON = [sys.executable, "-c"]
_PIPELINE = "income"
_KEY = "source_file=adult_test.csv,source_line=17"
CONTENDERS: dict[str, list[str]] = {
    "python -c pass": [*_PYTHON, "pass"],
    "import batchinfer": [*_PYTHON, "import batchinfer"],
    "batchinfer --help": [*_COMMAND, "--help"],
    "batchinfer status": [*_COMMAND, "status", "-p", _PIPELINE],
    "batchinfer lookup": [*_COMMAND, "lookup", "-p", _PIPELINE, "--key", _KEY],
    "import pyspark": [*_PYTHON, "import pyspark.sql"],
    "import mlflow": [*_PYTHON, "import mlflow"],
    "import torch": [*_PYTHON, "import torch"],
}


def main() -> int:
    """Prints medians, and how many times as long as an empty Python each takes; one JSON line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=7)
    arguments = options.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(arguments.rounds + 1):
        for name, command in CONTENDERS.items():
            started = time.perf_counter()
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            if number:
                seconds[name].append(time.perf_counter() - started)
    medians = {name: median(taken) for name, taken in seconds.items()}
    for name, taken in medians.items():
        print(f"{name:20} {taken:6.3f} s  {taken / medians['python -c pass']:6.1f} x python")
    told = {"benchmark": "start_up", "medians": medians, "seconds": seconds, "commit": commit()}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
