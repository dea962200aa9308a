"""`batchinfer score` after a run that was killed, and after one of thirty files has changed,
against a whole run.

    python -m benchmarks.resume --rows 10000000

Each run is a process of its own; the start of the session is left out. The slice is a Delta table
of thirty files of rows x 64 float32; the model is the MLP of the other benchmarks. What the next
run publishes is compared with what the whole run published; the last digits depend on batch sizes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.product import DAY, PIPELINE, SUITE, save_net
from benchmarks.revision import commit
from benchmarks.workloads import NAMES, ROOT, WIDTH

_FILES = 30
_SCORE = ("score", "-p", "conf/pipelines/bench.yaml", "--slice", DAY)


class Run:
    """A project, and commands in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = os.environ | {
            "BATCHINFER_HOME": str(root / "var"),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        }

    @property
    def predictions(self) -> Path:
        return self.root / "var/lake/predictions/bench"

    def started(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "batchinfer", *arguments], cwd=self.root, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def done(self, *arguments: str) -> dict[str, Any]:
        process = self.started(*arguments)
        out, err = process.communicate()
        if process.returncode:
            raise RuntimeError(err)
        return json.loads(out.splitlines()[-1])

    def finished(self) -> int:
        """Tasks of a run at work that have done their part."""
        return len(list(self.predictions.glob("_finished/*/*/*.json")))

    def published(self) -> pa.Table:
        from deltalake import DeltaTable

        table = DeltaTable(str(self.predictions)).to_pyarrow_table(columns=["key", "prediction"])
        return table.sort_by("key")

    def publishes(self, expected: pa.Table) -> bool:
        found = self.published()
        return found["key"] == expected["key"] and np.allclose(
            found["prediction"].to_numpy(), expected["prediction"].to_numpy(), atol=1e-5
        )


def make(root: Path, rows: int) -> Run:
    """A project whose source is a Delta table of thirty files, with the model registered."""
    from deltalake import write_deltalake

    run = Run(root)
    for file, text in {"pipelines/bench.yaml": PIPELINE, "expectations/bench.yaml": SUITE}.items():
        target = root / "conf" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    for batch in _files(rows):
        write_deltalake(str(root / "in/table"), batch, mode="append")
    run.done("extract", "-p", "conf/pipelines/bench.yaml")
    save_net(root)
    run.done("register", "-p", "conf/pipelines/bench.yaml", "--artifact", "net.safetensors")
    return run


def _files(rows: int) -> Iterator[pa.Table]:
    random = np.random.default_rng(3)
    day = pa.scalar(datetime.date.fromisoformat(DAY))
    for number in range(_FILES):
        start, end = rows * number // _FILES, rows * (number + 1) // _FILES
        values = random.standard_normal((WIDTH, end - start), dtype=np.float32)
        columns = {"key": pa.array(range(start, end), pa.int64())}
        columns |= {name: pa.array(column) for name, column in zip(NAMES, values, strict=True)}
        yield pa.table(columns | {"day": pa.repeat(day, end - start)})


def without_session(report: dict[str, Any]) -> float:
    return report["seconds"] - report["stage_seconds"]["session"]


def killed(run: Run, share: float, tasks: int) -> float:
    """Starts a run and kills it with all its processes when so much of it is done; the share that
    was.
    """
    process = run.started(*_SCORE, "--force")
    while run.finished() < math.floor(share * tasks):
        if process.poll() is not None:
            raise RuntimeError(f"it has ended before it was killed: {process.communicate()}")
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return run.finished() / tasks


def main() -> int:
    """Measures the whole run, the one after a kill, and the one after a change."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--share", type=float, default=0.9)
    options.add_argument("--repeats", type=int, default=2)
    arguments = options.parse_args()
    rows = arguments.rows
    with tempfile.TemporaryDirectory() as folder:
        run = make(Path(folder), rows)
        reports = [run.done(*_SCORE, "--force") for _ in range(arguments.repeats)]
        whole = min(map(without_session, reports))
        before = run.published()
        tasks = len(_held(run))
        print(f"whole run: {whole:.2f} s, {tasks} files of predictions", file=sys.stderr)

        done = killed(run, arguments.share, tasks)
        report = run.done(*_SCORE, "--force")
        _check(report["rows_resumed"] > 0 and run.publishes(before), report)
        resumed, stages = without_session(report), report["stage_seconds"]
        print(
            f"after a kill when {done:.0%} of the tasks were done: {resumed:.2f} s, "
            f"{resumed / whole:.2f} of a whole run; {report['rows_resumed']:,} rows taken over",
            file=sys.stderr,
        )

        changed = _change(run, rows)
        report = run.done(*_SCORE)
        _check(report["rows_kept"] > 0 and run.published().num_rows == rows, report)
        one_file = without_session(report)
        print(
            f"{changed:,} rows changed in one of {_FILES} files: {one_file:.2f} s, "
            f"{one_file / whole:.2f} of a whole run; {report['rows_kept']:,} rows stayed",
            file=sys.stderr,
        )
        after = run.published()
        forced = run.done(*_SCORE, "--force")
        _check(forced["rows_kept"] == 0 and run.publishes(after), forced)
    told = {
        "benchmark": "resume",
        "rows": rows,
        "tasks": tasks,
        "whole_s": round(whole, 2),
        "killed_at": round(done, 3),
        "resumed_s": round(resumed, 2),
        "resumed_of_whole": round(resumed / whole, 3),
        "resumed_stages": stages,
        "one_file_s": round(one_file, 2),
        "one_file_of_whole": round(one_file / whole, 3),
        "commit": commit(),
        "cores": os.cpu_count(),
    }
    print(json.dumps(told))
    return 0


def _held(run: Run) -> list[str]:
    from deltalake import DeltaTable

    return DeltaTable(str(run.predictions)).file_uris()


def _change(run: Run, rows: int) -> int:
    """Changes a hundredth of all rows, which lie in one file; how many these are."""
    from deltalake import DeltaTable

    start = rows * 7 // _FILES
    end = start + rows // 100
    table = DeltaTable(str(run.root / "in/table"))
    table.update(updates={NAMES[0]: f"{NAMES[0]} + 1"}, predicate=f"key >= {start} and key < {end}")
    run.done("extract", "-p", "conf/pipelines/bench.yaml")
    return end - start


def _check(holds: bool, report: dict[str, Any]) -> None:
    if not holds:
        raise RuntimeError(f"not what was expected: {report}")


if __name__ == "__main__":
    sys.exit(main())
