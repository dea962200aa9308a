"""What whole commands take on a few rows of CSV: all of it is starts, imports and commits.

What bounds it: Python's imports and, where something needs one, the start of a JVM. Each run is a
process of its own, from the same state of the project. With `--against` another checkout runs the
same cases, in turn, so that both meet the same machine; a ratio below 1 says that this one is
faster.

    python -m benchmarks.small_runs [--against PATH] [--rounds 5] [--case NAME ...]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.revision import commit

ROOT = Path(__file__).resolve().parents[1]
DAY = "2026-11-21"
COLUMNS = 8
NAMES = [f"x{number}" for number in range(COLUMNS)]
TYPES = [f"{name}: double" for name in NAMES]
PIPELINE = f"""\
name: bench
source:
  kind: csv
  path: in/*.csv
  key: id
  schema: {{id: long, {", ".join(TYPES)}, colour: string, big: string}}
  slice: ingest_date
features:
  - standardize: {{columns: [{", ".join(NAMES)}]}}
  - one_hot: {{columns: colour}}
train:
  target: {{column: big, positive: ["yes"]}}
  params: {{hidden: [16], epochs: 3, seed: 1}}
model: {{uri: "models:/bench@champion"}}
"""
CHECKS = """\
checks: {input: conf/expectations/input.yaml, predictions: conf/expectations/predictions.yaml}
"""
SINK = """\
sink: {table: predictions/bench}
"""
INPUT = """\
- expect_column_values_to_not_be_null: {column: id}
- expect_column_values_to_be_between: {column: x0, min_value: -10, max_value: 10}
- expect_column_values_to_be_in_set: {column: colour, value_set: [red, green, blue], mostly: 0.9}
"""
PREDICTIONS = """\
- expect_column_values_to_not_be_null: {column: score}
- expect_column_values_to_be_between: {column: score, min_value: 0, max_value: 1}
- expect_column_mean_to_be_between: {column: score, min_value: 0.001, max_value: 0.999}
"""
_EXTRACT = ("extract", "--slice", DAY)
_TRAIN = ("train",)
_SCORE = ("score", "--slice", DAY, "--force")
_NIGHT = ("nightly", "--slice", "2026-11-22")


@dataclass(frozen=True)
class Case:
    """A command on so many rows.

    Attributes:
        before: commands that make the state which every run starts from; not timed.
        checked: the pipeline has suites for the input and the predictions.
    """

    name: str
    rows: int
    command: tuple[str, ...]
    before: tuple[tuple[str, ...], ...]
    checked: bool = True


# The model learns from 200 rows where the case has fewer.
CASES = (
    Case("score 1", 1, _SCORE, (_EXTRACT, _TRAIN)),
    Case("score 1, no checks", 1, _SCORE, (_EXTRACT, _TRAIN), checked=False),
    Case("score 2,000", 2_000, _SCORE, (_EXTRACT, _TRAIN)),
    Case("score 3,000", 3_000, _SCORE, (_EXTRACT, _TRAIN)),
    Case("extract 3,000", 3_000, _EXTRACT, ()),
    Case("train 3,000", 3_000, _TRAIN, (_EXTRACT,)),
    Case("nightly 3,000", 3_000, _NIGHT, (_EXTRACT, _TRAIN)),
    Case("nightly, nothing new", 3_000, _NIGHT, (_EXTRACT, _TRAIN, _NIGHT)),
)


def main() -> int:
    """Prints medians of seconds and their ratios, and one line of JSON."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--against", type=Path, help="another checkout, the one before")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--case", action="append", choices=[case.name for case in CASES])
    given = options.parse_args()
    builds = {"this": ROOT} | ({"before": given.against.resolve()} if given.against else {})
    told: dict[str, dict[str, list[float]]] = {}
    for case in CASES:
        if given.case and case.name not in given.case:
            continue
        told[case.name] = measure(case, builds, given.rounds)
        print(sentence(case.name, told[case.name]), flush=True)
    print(json.dumps({"benchmark": "small_runs", "seconds": told, "commit": commit()}))
    return 0


def sentence(name: str, seconds: dict[str, list[float]]) -> str:
    """Medians of a case, and their ratio where there are two."""
    medians = {build: median(taken) for build, taken in seconds.items()}
    text = f"{name:24} " + "  ".join(f"{build} {taken:6.2f} s" for build, taken in medians.items())
    return text + (
        f"  ratio {medians['this'] / medians['before']:.2f}" if "before" in medians else ""
    )


def measure(case: Case, builds: dict[str, Path], rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, by build; one round more fills the page cache."""
    seconds: dict[str, list[float]] = {build: [] for build in builds}
    with tempfile.TemporaryDirectory() as folder:
        for build, checkout in builds.items():
            start_from(case, Path(folder) / build, checkout)
        for number in range(rounds + 1):
            for build in sorted(builds, reverse=number % 2 == 0):
                root = Path(folder) / build
                # Places are written down as they are, so the state goes back to where it was made.
                shutil.rmtree(root / "var", ignore_errors=True)
                if (root / "start").exists():
                    shutil.copytree(root / "start", root / "var", symlinks=True)
                taken = run(root, builds[build], case.command)
                if number:
                    seconds[build].append(round(taken, 3))
    return seconds


def start_from(case: Case, root: Path, checkout: Path) -> None:
    """A project in the state that every run of a case starts from."""
    for part in ("base", "environments"):
        shutil.copytree(ROOT / "conf" / part, root / "conf" / part)
    pipeline = PIPELINE + (CHECKS if case.checked else "") + SINK
    write(root / "conf/pipelines/bench.yaml", pipeline)
    write(root / "conf/expectations/input.yaml", INPUT)
    write(root / "conf/expectations/predictions.yaml", PREDICTIONS)
    write(root / "in/rows.csv", rows_of(case.rows))
    for command in case.before:
        if command == _TRAIN and case.rows < 200:
            # Of one row nothing can be learned: another slice lends its rows, and goes.
            learn_elsewhere(root, checkout)
            continue
        run(root, checkout, command)
    if case.before:
        (root / "var").rename(root / "start")


def learn_elsewhere(root: Path, checkout: Path) -> None:
    """Trains on a slice of 200 rows beside the one of the case."""
    write(root / "in/rows.csv", rows_of(200, first=1_000_000))
    run(root, checkout, ("extract", "--slice", "2026-11-20"))
    run(root, checkout, _TRAIN)


def rows_of(count: int, first: int = 0) -> str:
    """CSV of so many rows; which class one is of follows from its numbers."""
    values = np.random.default_rng(first).standard_normal((count, COLUMNS)).round(4)
    lines = [",".join(["id", *NAMES, "colour", "big"])]
    for number, row in enumerate(values, first):
        colour = ("red", "green", "blue")[number % 3]
        big = "yes" if row[0] + row[1] > 0 else "no"
        lines.append(",".join([str(number), *map(str, row), colour, big]))
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """A file of the project."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def run(root: Path, checkout: Path, command: tuple[str, ...]) -> float:
    """Seconds of a command of the package in a checkout."""
    own = {"PYTHONPATH": str(checkout / "src"), "BATCHINFER_HOME": str(root / "var")}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "batchinfer", command[0], "-p", "bench", *command[1:]],
        cwd=root, env=os.environ | own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr[-2000:]}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
