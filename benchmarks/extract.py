"""Extraction against Spark's own ways, on the same lines, into Delta tables with statistics on two
columns each.

    make bench-extract   # or: python -m benchmarks.extract --megabytes 100 --repeats 3 [--only csv]

`extract` gives each row its file and physical line and keeps the bytes and the reason of every bad
record; Spark's ways do neither. All contenders of a case run in turn, after a warm-up of each;
session start is left out. Memory is the high-water mark of each Python worker, which no later and
smaller input can lower.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.extract_workloads import (
    ADULT,
    COMBINED,
    CSV,
    JSON,
    LOG,
    Project,
    csv_lines,
    json_lines,
    log_lines,
    write_lines,
    write_tiny_files,
)
from benchmarks.revision import commit

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

Way = Callable[["SparkSession"], int]
OURS = "extract"
_GROUPS = ("host", "ident", "user", "ts", "request", "status", "bytes", "referer", "user_agent")
_MARK = "\u0001"
_TINY_FILES = 10_000


@dataclass(frozen=True)
class Case:
    """Ways to do one thing.

    Attributes:
        rows: that each way has to write.
        ways: by name; each does the work and tells how many rows it wrote.
        base: the way that the others' ratios are of.
    """

    name: str
    rows: int
    ways: Mapping[str, Way]
    base: str


def main() -> int:
    """Runs the cases, and prints medians and ratios."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--megabytes", type=float, default=100)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--only", choices=list(_CASES), action="append")
    arguments = options.parse_args()

    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    spark = open_session(load_state("local")[0].spark, "benchmark")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        # First: later on, other inputs have left their marks.
        if not arguments.only:
            results.append(_memory(Path(folder), spark, arguments.megabytes))
        for name in arguments.only or _CASES:
            place = Path(folder) / name
            place.mkdir()
            for case in _CASES[name](place, arguments.megabytes):
                results.append(_run(case, spark, arguments.repeats))
            shutil.rmtree(place)
    body = {
        "benchmark": "extract",
        "megabytes": arguments.megabytes,
        "cases": results,
        "commit": commit(),
    }
    print(
        json.dumps(
            body
            | {
                "cores": os.cpu_count(),
                "machine": platform.machine(),
                "python": platform.python_version(),
            }
        )
    )
    spark.stop()
    return 0


def _run(case: Case, spark: SparkSession, repeats: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in case.ways}
    for repeat in range(repeats + 1):
        for name, way in case.ways.items():
            started = time.perf_counter()
            rows = way(spark)
            taken = time.perf_counter() - started
            if rows != case.rows:
                raise RuntimeError(f"{case.name}: {name} wrote {rows} rows; there are {case.rows}")
            if repeat:
                seconds[name].append(taken)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(
        f"\n{case.name}: {case.rows:,} rows, {os.cpu_count()} cores, medians of {repeats}",
        file=sys.stderr,
    )
    for name, median in medians.items():
        ratio = medians[case.base] / median
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
        print(
            f"  {name:42} {median:7.2f} s ({spread})  {ratio:5.2f} times as fast as {case.base}",
            file=sys.stderr,
        )
    return {
        "case": case.name,
        "rows": case.rows,
        "base": case.base,
        "medians_s": medians,
        "all_s": seconds,
    }


def _csv(place: Path, megabytes: float) -> Iterator[Case]:
    project = Project(place / "ours", "csv", CSV)
    rows = write_lines(project.root / "in/a.csv", csv_lines(), megabytes)

    def bare(spark: SparkSession) -> int:
        reader = spark.read.csv(
            str(project.root / "in"),
            schema=", ".join(f"{name} {type_}" for name, type_ in ADULT.items()),
            nullValue="?",
            ignoreLeadingWhiteSpace=True,
            ignoreTrailingWhiteSpace=True,
        )
        return _write(reader, place / "bare", "workclass,fnlwgt")

    yield Case("csv", rows, {"spark.read.csv": bare, OURS: _ours(project)}, "spark.read.csv")


def _log(place: Path, megabytes: float) -> Iterator[Case]:
    from pyspark.sql import functions as F

    project = Project(place / "ours", "log", LOG)
    rows = write_lines(project.root / "in/a.log", log_lines(), megabytes)

    def typed(spark: SparkSession, columns: Callable[[], list[Column]]) -> int:
        texts = spark.read.text(str(project.root / "in")).select(*columns())
        ts = F.to_timestamp("ts", "dd/MMM/yyyy:HH:mm:ss Z")
        numbers = {
            "status": F.expr("try_cast(status AS int)"),
            "bytes": F.expr("try_cast(bytes AS long)"),
        }
        return _write(texts.withColumns({"ts": ts, **numbers}), place / "bare", "host,status")

    def nine(spark: SparkSession) -> int:
        return typed(
            spark,
            lambda: [
                F.regexp_extract("value", COMBINED.pattern.decode(), i + 1).alias(n)
                for i, n in enumerate(_GROUPS)
            ],
        )

    def one(spark: SparkSession) -> int:
        marked = _MARK.join(f"${number}" for number in range(1, 10))
        parts = F.split(F.regexp_replace("value", COMBINED.pattern.decode(), marked), _MARK)
        return typed(
            spark, lambda: [F.get(parts, F.lit(i)).alias(n) for i, n in enumerate(_GROUPS)]
        )

    ways = {"regexp_replace + split": one, "nine regexp_extract": nine, OURS: _ours(project)}
    yield Case("text_log", rows, ways, "regexp_replace + split")


def _json(place: Path, megabytes: float) -> Iterator[Case]:
    from pyspark.sql import functions as F

    project = Project(place / "ours", "json", JSON)
    rows = write_lines(project.root / "in/a.json", json_lines(), megabytes)
    schema = (
        "id long, created_at string, text string, user struct<id: long, screen_name: string, "
        "followers_count: int>, "
        "entities struct<hashtags: array<struct<text: string>>>"
    )

    def bare(spark: SparkSession) -> int:
        read = spark.read.json(str(project.root / "in"), schema=schema)
        columns = [
            "id",
            "created_at",
            "text",
            "user.id as user",
            "user.screen_name as name",
            "user.followers_count as followers",
        ]
        tag = F.get(F.col("entities.hashtags"), F.lit(0)).getField("text").alias("tag")
        return _write(
            read.select(*[F.expr(each) for each in columns], tag), place / "bare", "id,user"
        )

    yield Case("json", rows, {"spark.read.json": bare, OURS: _ours(project)}, "spark.read.json")


def _bad(place: Path, megabytes: float) -> Iterator[Case]:
    good, bad = Project(place / "good", "csv", CSV), Project(place / "bad", "csv", CSV)
    rows = write_lines(good.root / "in/a.csv", csv_lines(), megabytes)
    write_lines(bad.root / "in/a.csv", csv_lines(bad_rate=0.01), megabytes)

    def spoilt(spark: SparkSession) -> int:
        bad.clear()
        landed = bad.extract(spark)
        if not 0.985 * rows < landed < 0.995 * rows:
            raise RuntimeError(f"{landed} of about {rows} rows landed; about 1% should not")
        return rows

    yield Case(
        "1% of bad records", rows, {"no bad record": _ours(good), "1% bad": spoilt}, "no bad record"
    )


def _tiny(place: Path, megabytes: float) -> Iterator[Case]:
    one, many = Project(place / "one", "csv", CSV), Project(place / "many", "csv", CSV)
    size = megabytes / 5
    rows = write_tiny_files(many.root / "in", csv_lines(), size, _TINY_FILES)
    lines = csv_lines()
    (one.root / "in/a.csv").write_bytes(b"".join(next(lines) for _ in range(rows)))
    name = f"{_TINY_FILES:,} files of {1000 * size / _TINY_FILES:.0f} kB"
    yield Case("tiny files", rows, {"one file": _ours(one), name: _ours(many)}, "one file")


_CASES: Mapping[str, Callable[[Path, float], Iterator[Case]]] = {
    "csv": _csv,
    "log": _log,
    "json": _json,
    "bad": _bad,
    "tiny": _tiny,
}


def _ours(project: Project) -> Way:
    def way(spark: SparkSession) -> int:
        project.clear()
        return project.extract(spark)

    return way


def _write(frame: DataFrame, table: Path, statistics_columns: str) -> int:
    shutil.rmtree(table, ignore_errors=True)
    frame.write.format("delta").option("delta.dataSkippingStatsColumns", statistics_columns).save(
        str(table)
    )
    # A table's own record counts: no second look at the data.
    log = (table / "_delta_log/00000000000000000000.json").read_text().splitlines()
    added = [json.loads(line)["add"] for line in log if line.startswith('{"add"')]
    return sum(json.loads(file["stats"])["numRecords"] for file in added)


def _memory(folder: Path, spark: SparkSession, megabytes: float) -> dict[str, Any]:
    """The high-water mark of Python workers after an input, and after one ten times as large."""
    marks: dict[str, int] = {}
    for factor in (1, 10):
        project = Project(folder / f"memory{factor}", "csv", CSV)
        write_lines(project.root / "in/a.csv", csv_lines(), factor * megabytes)
        project.extract(spark)
        marks[f"{factor * megabytes:,.0f} MB"] = _worker_peak()
        shutil.rmtree(project.root)
    print("\nmemory: most that one Python worker ever held", file=sys.stderr)
    for name, peak in marks.items():
        print(f"  {name:42} {peak / 1024:7.0f} MiB", file=sys.stderr)
    return {"case": "memory", "peak_kib": marks}


def _worker_peak() -> int:
    """KiB: the largest high-water mark of the Python workers that live (Linux)."""
    peaks = [0]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"pyspark.daemon" in (process / "cmdline").read_bytes().replace(b"\0", b" "):
                status = (process / "status").read_text().splitlines()
                peaks += [int(line.split()[1]) for line in status if line.startswith("VmHWM:")]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return max(peaks)


if __name__ == "__main__":
    raise SystemExit(main())
