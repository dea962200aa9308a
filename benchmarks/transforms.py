"""Shared transforms: `apply` against scikit-learn, one-row `predict`, `fit` in Spark against
others' ways.

    make bench-transforms
    python -m benchmarks.transforms --rows 1000000 --repeats 5 [--only apply]

The rows are those of Adult, repeated with noise. All contenders of a case run in turn, after a
warm-up of each. `apply` runs on one thread each, on what each is at home with: Arrow batches here,
a pandas frame there. Session start is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.revision import commit
from benchmarks.transform_workloads import (
    ADULT_TYPES,
    DERIVED,
    FIT_STEPS,
    INCOME_STEPS,
    adult_rows,
    fit_by_hand,
    fit_by_ml,
    scikit_learn,
)

Way = Callable[[], None]
OURS = "batchinfer"


def main() -> int:
    """Runs the cases, and prints medians and ratios."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--only", choices=list(_CASES), action="append")
    arguments = options.parse_args()
    results = [_CASES[name](arguments.rows, arguments.repeats) for name in arguments.only or _CASES]
    body = {"benchmark": "transforms", "rows": arguments.rows, "cases": results, "commit": commit()}
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
    return 0


def _run(name: str, ways: Mapping[str, Way], base: str, rows: int, repeats: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for repeat in range(repeats + 1):
        for way, work in ways.items():
            started = time.perf_counter()
            work()
            if repeat:
                seconds[way].append(time.perf_counter() - started)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    print(f"\n{name}: {rows:,} rows, medians of {repeats}", file=sys.stderr)
    for way, median in medians.items():
        spread = f"{min(seconds[way]):.3f} to {max(seconds[way]):.3f}"
        ratio = medians[base] / median
        print(
            f"  {way:44} {median:8.3f} s ({spread})  {rows / median:12,.0f} rows/s  {ratio:5.2f} "
            f"times {base}",
            file=sys.stderr,
        )
    return {"case": name, "rows": rows, "base": base, "medians_s": medians, "all_s": seconds}


def _apply(rows: int, repeats: int) -> dict[str, Any]:
    """The features of the income pipeline, to one float32 matrix; with the hashed cross of two
    columns, and without.
    """
    import numpy as np
    import pyarrow as pa

    from batchinfer.transforms import fit, parse_steps

    # One thread each.
    pa.set_cpu_count(1)
    table = adult_rows(rows)
    batches = table.to_batches(max_chunksize=8192)
    frame = table.to_pandas()
    results = []
    for name, items in (("with the cross", INCOME_STEPS), ("without the cross", INCOME_STEPS[:-1])):
        transforms = fit(parse_steps(items)[0], ADULT_TYPES, lambda: batches)
        theirs = scikit_learn(frame, cross=len(items) == len(INCOME_STEPS))
        one, other = transforms.matrix(batches[0]), theirs.transform(frame.iloc[: len(batches[0])])
        # The columns stand in another order, and the two hash a pair to other buckets; all else is
        # the same.
        if one.shape != other.shape or (
            len(items) < len(INCOME_STEPS)
            and not np.allclose(
                *(np.sort(m.sum(axis=0, dtype=np.float64)) for m in (one, other)), atol=1e-2
            )
        ):
            raise RuntimeError("the two do not compute the same")

        def ours(transforms: Any = transforms) -> None:
            for batch in batches:
                transforms.matrix(batch)

        def whole(theirs: Any = theirs) -> None:
            theirs.transform(frame)

        def in_parts(theirs: Any = theirs) -> None:
            for first in range(0, len(frame), 65_536):
                theirs.transform(frame.iloc[first : first + 65_536])

        ways = {
            "ColumnTransformer, all rows at once": whole,
            "ColumnTransformer, 65,536 rows at a time": in_parts,
            OURS: ours,
        }
        results.append(
            _run(f"apply, {name}", ways, "ColumnTransformer, all rows at once", rows, repeats)
        )
    return {"case": "apply", "parts": results}


def _derive(rows: int, repeats: int) -> dict[str, Any]:
    """Expressions of a row's columns, to columns of Arrow, on one thread each; Spark's session is
    started before, and its rows lie in its memory as ours do.
    """
    import duckdb
    import pyarrow as pa
    from pyspark.sql import SparkSession

    from batchinfer.transforms.expressions import parse_expression

    pa.set_cpu_count(1)
    table = adult_rows(rows)
    batches, frame = table.to_batches(max_chunksize=8192), table.to_pandas()
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.driver.memory", "6g")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.session.timeZone", "UTC")
        .getOrCreate()
    )
    own = spark.createDataFrame(frame).coalesce(1).cache()
    own.count()
    database = duckdb.connect(config={"threads": 1})
    database.register("rows", table)
    results = []
    for name, (text, by_duckdb, by_pandas) in DERIVED.items():
        expression = parse_expression(text)

        def ours(expression: Any = expression) -> None:
            for batch in batches:
                expression.evaluate(batch)

        def theirs(query: str = f"select {by_duckdb} as made from rows") -> pa.Table:
            return database.sql(query).to_arrow_table()

        ways = {
            "Spark SQL, selectExpr": lambda text=text: (
                own.selectExpr(f"{text} as made").write.format("noop").mode("overwrite").save()
            ),
            "DuckDB": theirs,
            "pandas": lambda made=by_pandas: made(frame),
            OURS: ours,
        }
        made = pa.chunked_array([expression.evaluate(batch).values for batch in batches])
        if not made.equals(theirs()["made"].cast(made.type)):
            raise RuntimeError(f"{text}: DuckDB does not compute the same")
        results.append(_run(f"derive, {name}", ways, "Spark SQL, selectExpr", rows, repeats))
    spark.stop()
    return {"case": "derive", "parts": results}


def _predict(rows: int, repeats: int) -> dict[str, Any]:
    """One row at a time in process, with the bundle of the income pipeline."""
    import pandas as pd

    import batchinfer
    from batchinfer.config.loader import load_state
    from batchinfer.spark.session import open_session

    calls = 2000
    with tempfile.TemporaryDirectory() as home:
        os.environ["BATCHINFER_HOME"] = home
        spark = open_session(load_state("local")[0].spark, "benchmark")
        batchinfer.train("income")
        spark.stop()
        frame = adult_rows(calls).to_pandas()
        taken = []
        for place in range(calls):
            row: pd.DataFrame = frame.iloc[[place]]
            started = time.perf_counter()
            found = batchinfer.predict(row, "models:/income@champion")
            taken.append(time.perf_counter() - started)
            if found["error"].notna().any():
                raise RuntimeError(found["error"].iloc[0])
        del os.environ["BATCHINFER_HOME"]
    # The first calls load the bundle, torch and pandas.
    kept = sorted(taken[100:])
    figures = {f"p{at}_ms": round(kept[int(len(kept) * at / 100)] * 1000, 3) for at in (50, 95, 99)}
    print(f"\npredict, one row at a time, {len(kept):,} calls: {figures}", file=sys.stderr)
    return {"case": "predict", "calls": len(kept), "first_ms": round(taken[0] * 1000, 1), **figures}


def _fit(rows: int, repeats: int) -> dict[str, Any]:
    """Two dependent passes over a Delta table: medians, quantiles, categories and modes, then means
    and deviations.
    """
    from deltalake import write_deltalake

    from batchinfer.config.loader import load_state
    from batchinfer.lake.delta import snapshot_files
    from batchinfer.pipeline.slices.slice_data import SliceData
    from batchinfer.pipeline.slices.slice_splits import splits_of
    from batchinfer.pipeline.training.fit_passes import fit_transforms
    from batchinfer.spark.capacity import workers
    from batchinfer.spark.session import open_session
    from batchinfer.transforms import parse_steps

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    spark = open_session(load_state("local")[0].spark, "benchmark")
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/table"
        write_deltalake(place, adult_rows(rows))
        steps = parse_steps(FIT_STEPS)[0]
        used = {name for step in steps for name in step.columns}
        fields = {name: type_ for name, type_ in ADULT_TYPES.items() if name in used}

        def ours() -> None:
            data = SliceData(place, (), snapshot_files(place, None), 0, 0, rows)
            fit_transforms(spark, FIT_STEPS, steps, fields, splits_of(data, workers(spark)))

        ways = {
            "hand-written Spark statistics, two passes": lambda: fit_by_hand(
                spark.read.format("delta").load(place)
            ),
            "pyspark.ml Pipeline": lambda: fit_by_ml(spark.read.format("delta").load(place)),
            OURS: ours,
        }
        result = _run(
            "fit in Spark", ways, "hand-written Spark statistics, two passes", rows, repeats
        )
    spark.stop()
    return result


_CASES: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "apply": _apply,
    "derive": _derive,
    "predict": _predict,
    "fit": _fit,
}

if __name__ == "__main__":
    raise SystemExit(main())
