"""What checksums cost a whole run: `batchinfer score` of rows with checksums, by this package and
by a copy of it that neither writes nor looks at any, in turn.

What bounds it: a CRC-32 of the compressed bytes that are read and written, beside encoding, the
model and compression. Processes of the command are asked for their CPU time four times a second,
since other work on the machine changes seconds more than CPU seconds. Two runs of one package
differ by some per cent, so the fewer pairs there are, the more of the difference is noise.

    python -m benchmarks.checksums_of_runs [--rows 10000000] [--pairs 1]
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
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from batchinfer.checked_parquet import CheckedParquetFile
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit as commit_files
from batchinfer.lake.staging import StagedWriter
from benchmarks.product import DAY, SUITE, save_net
from benchmarks.revision import commit
from benchmarks.workloads import NAMES, ROOT

PIPELINE = """\
name: bench
source: {kind: delta, path: in/table, key: key, slice: ingest_date}
model: {uri: "models:/bench@champion"}
checks: {predictions: conf/expectations/bench.yaml}
sink: {table: predictions/bench}
"""
BATCH_ROWS = 131_072
# What the copy without checksums has in place of what stands in the package.
WITHOUT: Mapping[str, Mapping[str, str]] = {
    "checked_parquet.py": {
        "page_checksum_verification=True": "page_checksum_verification=False",
        "footer = _read_seal(source, path)": "footer = None",
    },
    "lake/parquet.py": {
        "write_page_checksum=True": "write_page_checksum=False",
        "SealedOutput(filesystem.open_output_stream(self.full_path))": (
            "filesystem.open_output_stream(self.full_path)"
        ),
        'pa.PythonFile(self._sink, "w")': "self._sink",
        "self._sink.hold_footer()": "pass",
    },
    "spark/session.py": {'verify-checksum.enabled", "true"': 'verify-checksum.enabled", "false"'},
}


def main() -> None:
    """Prints medians of CPU seconds and of seconds, and one line of JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--pairs", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        packages = {"with": ROOT / "src", "without": copy_without(root / "without")}
        make_project(root, given.rows)
        run(root, packages["with"], "extract", "--slice", DAY)
        run(root, packages["with"], "register", "--artifact", str(root / "net.safetensors"))
        # The first run of a bundle looks for its batch size, which no other does.
        run(root, packages["with"], "score", "--slice", DAY)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in packages}
        for pair in range(given.pairs):
            for name in sorted(packages, reverse=pair % 2 == 0):
                found[name].append(run(root, packages[name], "score", "--slice", DAY, "--force"))
                print(f"{name}: {found[name][-1]}", file=sys.stderr)
                if writes_checksums(root) != (name == "with"):
                    raise RuntimeError(f"the package {name} checksums wrote the other kind of file")
    cpu = {name: round(median(each[0] for each in runs), 1) for name, runs in found.items()}
    wall = {name: round(median(each[1] for each in runs), 1) for name, runs in found.items()}
    added = round(100 * (cpu["with"] / cpu["without"] - 1), 1)
    for name in packages:
        print(f"{name:8} {cpu[name]:8.1f} CPU seconds  {wall[name]:8.1f} s")
    print(f"checksums add {added} % of the CPU seconds")
    line = {"benchmark": "checksums_of_runs", "rows": given.rows, "pairs": given.pairs}
    print(json.dumps({**line, "cpu_s": cpu, "s": wall, "added_percent": added, "git": commit()}))


def copy_without(target: Path) -> Path:
    """A copy of the package that neither writes nor looks at checksums."""
    shutil.copytree(ROOT / "src", target, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in WITHOUT.items():
        path = target / "batchinfer" / name
        text = path.read_text()
        for old, new in changes.items():
            if old not in text:
                raise RuntimeError(f"{path}: no {old!r}: this benchmark has to follow the package")
            text = text.replace(old, new)
        path.write_text(text)
    return target


def make_project(root: Path, rows: int) -> None:
    """A project whose source is a Delta table of noise, in files with checksums, and its model."""
    for part in ("base", "environments"):
        shutil.copytree(ROOT / "conf" / part, root / "conf" / part)
    for file, text in {"pipelines/bench.yaml": PIPELINE, "expectations/bench.yaml": SUITE}.items():
        path = root / "conf" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    table = str(root / "in/table")
    schema = pa.schema([("key", pa.int64()), *((name, pa.float32()) for name in NAMES)])
    ensure_table(table, schema, [])
    noise = np.random.default_rng(0)
    with StagedWriter(
        table, schema, [], ["key"], rows_per_file=-(-rows // 2), distinct=schema.names
    ) as writer:
        for start in range(0, rows, BATCH_ROWS):
            keys = np.arange(start, min(start + BATCH_ROWS, rows))
            values = [noise.standard_normal(len(keys), np.float32) for _ in NAMES]
            arrays = [pa.array(each) for each in (keys, *values)]
            writer.write(pa.RecordBatch.from_arrays(arrays, schema=schema), {})
        commit_files(table, writer.close())
    save_net(root)


def run(root: Path, package: Path, command: str, *options: str) -> tuple[float, float]:
    """CPU seconds of a command with all its processes, and its seconds."""
    places = os.pathsep.join((str(package), str(ROOT)))
    own = {"PYTHONPATH": places, "BATCHINFER_HOME": str(root / "var")}
    started = time.perf_counter()
    with (root / "told").open("w+") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "batchinfer", command, "-p", "bench", *options],
            cwd=root, env=os.environ | own, stdout=told, stderr=told,
        )  # fmt: skip
        used: dict[Any, float] = {}
        while process.poll() is None:
            look(psutil.Process(process.pid), used)
            time.sleep(0.25)
        seconds = time.perf_counter() - started
        if process.returncode:
            told.seek(0)
            raise RuntimeError(f"{command}: exit {process.returncode}: {told.read()[-2000:]}")
    return sum(used.values()), seconds


def writes_checksums(root: Path) -> bool:
    """Whether the newest file of predictions has a checksum of its footer."""
    files = (root / "var/lake/predictions/bench").rglob("*.parquet")
    newest = max(files, key=lambda path: path.stat().st_mtime_ns)
    with CheckedParquetFile(LocalFileSystem(), str(newest)) as file:
        return file.is_sealed


def look(top: psutil.Process, used: dict[Any, float]) -> None:
    """Notes what a process and those below it have used so far."""
    try:
        family = [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            times = each.cpu_times()
            used[each.pid, each.create_time()] = times.user + times.system
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main()
