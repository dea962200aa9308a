"""Rows of a predictions table by key, without a store: `lookup_rows`, Polars and DuckDB on the same
Delta table, in turn, in one process.

    python -m benchmarks.lookup_delta [--rows 8000000] [--files 4] [--slices 30] [--repeats 21]

Keys are drawn in random order, so every file and every slice spans all of them. Each question asks
for other keys than the one before: no contender can have kept the answer, and the files are in the
system's memory. Polars is asked twice: with a scan that it opens for the question, and with one
that it has kept, which would not see a newer version. The tables stay in the folder of temporary
files for the next run.

What bounds it, by `cProfile` on a quiet machine: of 2.2 ms for one key, 1.8 ms are the reading,
checking, decompression and decoding of 16,384 rows at a time, 0.25 ms for the keys of each file
that is asked and 0.9 ms for the other columns of the file that has it. Arrow reads no smaller part:
a column of a row group is one page here. Columns of one value are not read at all. Before, every
column of up to four row groups was decoded (3.5 ms each), through Arrow's dataset scanner.

1,000 keys touch nearly every row group of the table: 0.75 CPU seconds, by two threads, of which
Arrow's reading is 0.56: 0.2 ms for the keys of a row group, 0.9 ms for its other columns, of which
the fingerprints are half. To check and decompress these pages alone takes two thirds of that.
Neither Polars nor DuckDB looks at the checksums of pages: both read a flipped bit as another value.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer import contracts
from batchinfer.lake.creation import ensure_table
from batchinfer.lake.delta import commit as publish
from batchinfer.lake.staging import StagedWriter
from batchinfer.lookups.tables import lookup_rows
from batchinfer.predictions_table import predictions_schema
from benchmarks.revision import commit

SCHEMA = predictions_schema(
    {"id": pa.int64()},
    {"label": pa.string(), "score": pa.float64(), "margin": pa.float64()},
)
BATCH_ROWS = 250_000
MANY = 1_000
OURS = "batchinfer"
# Rows that have one of these keys.
Ask = Callable[[list[int]], list[dict[str, Any]]]


def main() -> None:
    """Prints medians and ratios of each case, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8_000_000, help="of the table of one slice")
    parser.add_argument("--files", type=int, default=4, help="of that table")
    parser.add_argument("--slices", type=int, default=30, help="of the table for absent keys")
    parser.add_argument("--slice-rows", type=int, default=200_000, help="of each of those")
    parser.add_argument("--repeats", type=int, default=21)
    given = parser.parse_args()
    one = table_of(1, given.rows, given.rows // given.files)
    sliced = table_of(given.slices, given.slice_rows, given.slice_rows)
    numbers = np.random.default_rng(1)

    def present(count: int) -> list[int]:
        return (numbers.integers(0, given.rows, count) * 2).tolist()

    def absent(count: int) -> list[int]:  # all keys are even
        return (numbers.integers(0, given.slice_rows, count) * 2 + 1).tolist()

    cases = [
        run("one key", one, present, 1, given.repeats),
        run(f"an absent key, {given.slices} slices", sliced, absent, 1, given.repeats),
        run(f"{MANY:,} keys", one, present, MANY, max(3, given.repeats // 4)),
    ]
    sizes = {name: getattr(given, name) for name in ("rows", "files", "slices", "slice_rows")}
    print(json.dumps({"benchmark": "lookup_delta", "git": commit(), **sizes, "cases": cases}))


def table_of(slices: int, rows: int, file_rows: int) -> str:
    """A table as `score` publishes it, made if an earlier run has not: each slice has the keys 0,
    2, 4, ..., in files whose rows are drawn.
    """
    table = Path(tempfile.gettempdir(), f"lookup-delta-{slices}x{rows}-{file_rows}")
    if (table / "_delta_log").exists():
        return str(table)
    making = str(table) + ".making"
    ensure_table(making, SCHEMA, [contracts.SLICE], configuration={contracts.KEY_PROPERTY: "id"})
    numbers = np.random.default_rng(0)
    staged = []
    for number in range(slices):
        slice_ = str(dt.date(2026, 1, 1) + dt.timedelta(days=number))
        keys = numbers.permutation(rows) * 2
        with StagedWriter(
            making,
            SCHEMA,
            [contracts.SLICE],
            ["id"],
            ["id"],
            file_rows,
            distinct=["id", "score", "margin", contracts.INPUT_FINGERPRINT],
        ) as writer:
            for start in range(0, rows, BATCH_ROWS):
                some = keys[start : start + BATCH_ROWS]
                writer.write(_batch(some, numbers), {contracts.SLICE: slice_}, _lineage(slice_))
            staged += writer.close()
    publish(making, staged)
    Path(making).rename(table)
    return str(table)


def _batch(keys: np.ndarray[Any, Any], numbers: np.random.Generator) -> pa.RecordBatch:
    columns = {
        "id": pa.array(keys, pa.int64()),
        "label": pa.array(np.array(["no", "yes", "maybe"])[numbers.integers(0, 3, len(keys))]),
        "score": pa.array(numbers.random(len(keys))),
        "margin": pa.array(numbers.normal(size=len(keys))),
        contracts.INPUT_FINGERPRINT: pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(keys), [None, pa.py_buffer(numbers.bytes(16 * len(keys)))]
        ).cast(pa.binary()),
    }
    return pa.record_batch(columns)


def _lineage(slice_: str) -> Mapping[str, Any]:
    return {
        contracts.VARIANT: "champion",
        contracts.SERVED: True,
        contracts.MODEL_NAME: "benchmark",
        contracts.MODEL_VERSION: "1",
        contracts.BUNDLE_DIGEST: "d" * 64,
        contracts.SOURCE_TABLE: "landed/benchmark",
        contracts.SOURCE_VERSION: 1,
        contracts.RUN_ID: f"run-{slice_}",
        contracts.SCORED_AT: dt.datetime(2026, 11, 30, tzinfo=dt.timezone.utc),
    }


def run(
    name: str, table: str, draw: Callable[[int], list[int]], keys: int, repeats: int
) -> dict[str, Any]:
    """Seconds of each contender for the same questions, in turn, after one that is not counted."""
    ways = contenders(table)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(repeats + 1):
        asked = draw(keys)
        answers = []
        for way, ask in ways.items():
            started = time.perf_counter()
            answers.append(ask(asked))
            if number:
                seconds[way].append(time.perf_counter() - started)
        if any(_scores(rows) != _scores(answers[0]) for rows in answers):
            raise RuntimeError(f"{name}: the contenders do not answer the same")
    medians = {way: median(each) for way, each in seconds.items()}
    print(name, file=sys.stderr)
    for way, middle in medians.items():
        told = f"{middle * 1e3:9.2f} ms  {middle / medians[OURS]:6.2f} times ours"
        print(f"  {way:24} {told}", file=sys.stderr)
    return {
        "case": name,
        "medians_ms": {way: round(middle * 1e3, 3) for way, middle in medians.items()},
        "times_ours": {way: round(middle / medians[OURS], 2) for way, middle in medians.items()},
        "all_ms": {way: [round(s * 1e3, 2) for s in each] for way, each in seconds.items()},
    }


def _scores(rows: list[dict[str, Any]]) -> dict[int, float]:
    return {row["id"]: row["score"] for row in rows}


def contenders(table: str) -> dict[str, Ask]:
    """Ways to ask for rows by their keys."""
    import polars as pl

    database = _duckdb()
    kept = pl.scan_delta(table)

    def condition(keys: list[int]) -> pl.Expr:
        return pl.col("id") == keys[0] if len(keys) == 1 else pl.col("id").is_in(keys)

    def ours(keys: list[int]) -> list[dict[str, Any]]:
        return [row for row in lookup_rows(table, [{"id": key} for key in keys]) if row]

    def polars(keys: list[int]) -> list[dict[str, Any]]:
        return pl.scan_delta(table).filter(condition(keys)).collect().to_dicts()

    def polars_kept(keys: list[int]) -> list[dict[str, Any]]:
        return kept.filter(condition(keys)).collect().to_dicts()

    def duckdb(keys: list[int]) -> list[dict[str, Any]]:
        # A plain condition where one will do: sets are not pushed into the scan.
        words = f"= {keys[0]}" if len(keys) == 1 else f"in ({', '.join(map(str, keys))})"
        query = f"select * from delta_scan('{table}') where id {words}"
        return database.sql(query).to_arrow_table().to_pylist()

    return {OURS: ours, "Polars": polars, "Polars, its scan kept": polars_kept, "DuckDB": duckdb}


def _duckdb() -> Any:
    """A connection with the Delta extension of the package beside it."""
    import duckdb

    spec = importlib.util.find_spec("duckdb_extension_delta")
    if spec is None or spec.origin is None:
        raise RuntimeError("duckdb-extension-delta is not installed: it is in the extra `analysis`")
    [extension] = Path(spec.origin).parent.rglob("delta.duckdb_extension")
    connection = duckdb.connect()
    connection.execute(f"load '{extension}'")
    return connection


if __name__ == "__main__":
    main()
