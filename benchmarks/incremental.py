"""`batchinfer score` of a slice of which few rows have changed, against a run that scores all of
them.

    make bench-incremental   # or: python -m benchmarks.incremental --rows 1000000 --repeats 3

Before each run another hundredth of the rows changes, scattered over all files. The model is that
of the tabular benchmark, and one of ten times its work. Seconds are those of the command without
the start of the session. With `--against` a checkout of another build does the same on the same
table, its runs taking turns with those of this one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.revision import commit
from benchmarks.workloads import NAMES, ROOT

DAY = "2026-11-21"
SHARE = 0.01
HIDDEN = {"plain model": 256, "ten times the model": 900}
_BLOCK = 131_072
_SCHEMA = pa.schema(
    [("key", pa.int64()), *((name, pa.float32()) for name in NAMES), ("day", pa.date32())]
)


class Build:
    """One build in a process of its own, which does what it is told, a line at a time."""

    def __init__(self, name: str, root: Path, folder: Path, hidden: int) -> None:
        self.name = name
        path = os.pathsep.join([str(root / "src"), str(ROOT)])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.incremental_runs", str(folder), str(hidden)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path, "BATCHINFER_HOME": str(folder / "var")},
            cwd=ROOT,
        )

    def tell(self, word: str) -> dict[str, Any]:
        """Has it do one thing; what it says of it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(word, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended while it was to {word}")
        return json.loads(line)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> int:
    """Runs each case of each build in turn, several times."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--against", type=Path, help="checkout of another build")
    options.add_argument("--model", choices=list(HIDDEN), action="append")
    arguments = options.parse_args()
    roots = {"this": ROOT} | ({"other": arguments.against} if arguments.against else {})
    found = {
        model: _case(arguments.rows, arguments.repeats, HIDDEN[model], roots)
        for model in arguments.model or HIDDEN
    }
    for model, case in found.items():
        _tell(arguments.rows, model, case)
    body = {"benchmark": "incremental", "rows": arguments.rows, "cases": found}
    print(json.dumps(body | {"commit": commit(), "cores": os.cpu_count()}))
    return 0


def _case(rows: int, repeats: int, hidden: int, roots: dict[str, Path]) -> dict[str, Any]:
    """Of each build the runs that carry over and those that score all, as they report them."""
    runs: dict[str, dict[str, list[dict[str, Any]]]] = {
        name: {"changed": [], "full": []} for name in roots
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write(folder / "table", rows, 0)
        builds = [Build(name, root, folder / name, hidden) for name, root in roots.items()]
        for build in builds:
            build.tell("begin")
        for repeat in range(repeats + 1):
            _write(folder / "table", rows, repeat + 1)
            for word in ("changed", "full"):
                for build in builds:
                    run = build.tell(word)
                    print(f"{repeat} {build.name:5} {word:7} {json.dumps(run)}", file=sys.stderr)
                    if repeat:
                        runs[build.name][word].append(run)
        for build in builds:
            build.end()
    return {
        name: {
            word: {
                "median_s": statistics.median(run["seconds"] for run in each),
                "model_s": statistics.median(run["model_s"] for run in each),
                "runs": each,
            }
            for word, each in words.items()
        }
        for name, words in runs.items()
    }


def _tell(rows: int, model: str, case: dict[str, Any]) -> None:
    print(f"\n{rows:,} rows, {SHARE:.0%} of them changed, {model}", file=sys.stderr)
    full = case.get("other", case["this"])["full"]
    for name, words in case.items():
        changed, own = words["changed"], words["full"]
        print(
            f"  {name:5} {changed['median_s']:7.2f} s, {own['median_s']:7.2f} s for all: "
            f"{changed['median_s'] / own['median_s']:.3f} of the time, "
            f"{changed['model_s'] / own['model_s']:.3f} of the model's",
            file=sys.stderr,
        )
    if "other" in case:
        ratio = case["this"]["changed"]["median_s"] / full["median_s"]
        print(f"  this, against the other's run of all: {ratio:.3f} of the time", file=sys.stderr)


def _write(table: Path, rows: int, changes: int) -> None:
    """The rows after so many times a hundredth of them has changed, in files of some 400,000."""
    from deltalake import WriterProperties, write_deltalake

    write_deltalake(
        str(table),
        pa.RecordBatchReader.from_batches(_SCHEMA, _blocks(rows, changes)),
        mode="overwrite",
        target_file_size=100 * 2**20,
        writer_properties=WriterProperties(max_row_group_size=_BLOCK),
    )


def _blocks(rows: int, changes: int) -> Iterator[pa.RecordBatch]:
    day = pa.scalar(datetime.date.fromisoformat(DAY))
    for start in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - start)
        random = np.random.default_rng([start, 0])
        columns = [random.standard_normal(count, dtype=np.float32) for _ in NAMES]
        for change in range(1, changes + 1):
            random = np.random.default_rng([start, change])
            at = random.choice(count, max(1, round(SHARE * count)), replace=False)
            columns[change % len(NAMES)][at] = random.standard_normal(len(at), dtype=np.float32)
        yield _batch(start, columns, pa.repeat(day, count))


def _batch(start: int, columns: Sequence[np.ndarray], day: pa.Array) -> pa.RecordBatch:
    keys = pa.array(np.arange(start, start + len(day)))
    return pa.RecordBatch.from_arrays([keys, *map(pa.array, columns), day], schema=_SCHEMA)


if __name__ == "__main__":
    raise SystemExit(main())
