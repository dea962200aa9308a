"""The newest row of some keys, as `predict --key` is fed it: `newest_by_key`, and a filter of the
whole table by Arrow's dataset, in turn, in one process.

    python -m benchmarks.newest_by_key [--rows 8000000] [--files 4] [--slices 30] [--repeats 11]

The tables are those of `benchmarks.lookup_delta`, whose rows are told by key and slice as landed
rows are; each question opens the table anew, as `predict --key` does. Other keys are asked for in
each question.

What bounds it: the reading of the row groups that may hold a key, as in `benchmarks.lookup_delta`,
and the opening of the table's log, which takes a few milliseconds. The filter reads every column of
every row group that may hold a key, in every slice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from batchinfer.contracts import SLICE
from batchinfer.lake.snapshots import open_table
from batchinfer.lookups.newest_by_key import newest_by_key
from benchmarks.lookup_delta import table_of
from benchmarks.revision import commit

Rows = dict[int, dict[str, Any]]


def main() -> None:
    """Prints medians and ratios of each case, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8_000_000, help="of the table of one slice")
    parser.add_argument("--files", type=int, default=4, help="of that table")
    parser.add_argument("--slices", type=int, default=30, help="of the other table")
    parser.add_argument("--slice-rows", type=int, default=200_000, help="of each of its slices")
    parser.add_argument("--repeats", type=int, default=11)
    given = parser.parse_args()
    one = table_of(1, given.rows, given.rows // given.files)
    sliced = table_of(given.slices, given.slice_rows, given.slice_rows)
    cases = [
        run(f"{keys:,} of {rows:,} rows in {slices} slices", table, rows, keys, given.repeats)
        for table, rows, slices in (
            (one, given.rows, 1),
            (sliced, given.slice_rows, given.slices),
        )
        for keys in (1, 100)
    ]
    print(json.dumps({"benchmark": "newest_by_key", "git": commit(), "cases": cases}))


def by_key(table: str, keys: list[int]) -> Rows:
    """As `predict --key` reads."""
    wanted = {(key,) for key in keys}
    found = newest_by_key(table, open_table(table), ["id"], wanted, SLICE)
    return {key: row for (key,), row in found.items()}


def by_filter(table: str, keys: list[int]) -> Rows:
    """As `predict --key` read until 2026-11-30."""
    condition = ds.field("id").isin(pa.array(keys, pa.int64()))
    rows = open_table(table).to_pyarrow_dataset().to_table(filter=condition)
    return {row["id"]: row for row in rows.sort_by(SLICE).to_pylist()}


def run(name: str, table: str, rows: int, keys: int, repeats: int) -> dict[str, Any]:
    """Seconds of both ways for the same questions, in turn, after one that is not counted."""
    ways: dict[str, Callable[[str, list[int]], Rows]] = {"by key": by_key, "filter": by_filter}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    numbers = np.random.default_rng(1)
    for number in range(repeats + 1):
        asked = (numbers.integers(0, rows, keys) * 2).tolist()
        answers: list[Rows] = []
        for way, ask in ways.items():
            started = time.perf_counter()
            answers.append(ask(table, asked))
            if number:
                seconds[way].append(time.perf_counter() - started)
        if answers[0] != answers[1] or answers[0].keys() != set(asked):
            raise RuntimeError(f"{name}: the two ways do not answer the same")
    medians = {way: median(each) for way, each in seconds.items()}
    ratio = medians["filter"] / medians["by key"]
    told = ", ".join(f"{way} {middle * 1e3:.1f} ms" for way, middle in medians.items())
    print(f"{name}: {told}, {ratio:.1f} times as long", file=sys.stderr)
    return {"case": name, "seconds": seconds, "ratio": round(ratio, 2)}


if __name__ == "__main__":
    main()
