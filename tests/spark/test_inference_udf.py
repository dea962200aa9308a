"""`predict_udf`: the calling habits of a model UDF, on real workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from batchinfer.errors import ModelError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

INPUTS = {"x": "bigint", "name": "string", "at": "timestamp", "vector": "array<double>"}
OUTPUTS = {
    "score": "double",
    "label": "string",
    "rank": "bigint",
    "scores": "map<string,double>",
    "at": "timestamp",
    "items": "array<struct<n: int>>",
}


def _signature(
    inputs: dict[str, str] = INPUTS, outputs: dict[str, str] = OUTPUTS
) -> dict[str, Any]:
    return {
        side: [{"name": n, "type": t} for n, t in columns.items()]
        for side, columns in (("inputs", inputs), ("outputs", outputs))
    }


def _loader(folder: str) -> Callable[[], Any]:
    """A loader that leaves a file for each load. All classes are local: workers do not see this
    module.
    """

    outputs = OUTPUTS

    def load() -> Any:
        class Echo:
            output = outputs

            def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
                return {"batch": batch}

            def forward(self, tensors: dict[str, Any]) -> Any:
                batch = tensors["batch"]
                if 13 in batch.column("x").to_pylist():
                    raise ValueError("cannot take 13")
                return batch

            def decode(self, output: Any) -> dict[str, pa.Array]:
                x = output.column("x").fill_null(-1).to_numpy()
                sums = [sum(vector or []) for vector in output.column("vector").to_pylist()]
                score = x * 2.0 + np.array(sums)
                score[x == 7] = np.nan
                return {
                    "score": pa.array(score),
                    "label": output.column("name"),
                    "rank": output.column("x"),
                    "scores": pa.array(
                        [[("s", value)] for value in sums], pa.map_(pa.string(), pa.float64())
                    ),
                    "at": output.column("at"),
                    "items": pa.array(
                        [[{"n": int(value) % 3}] for value in x],
                        pa.list_(pa.struct([("n", pa.int32())])),
                    ),
                }

        Path(folder, f"{os.getpid()}-{np.random.default_rng().integers(2**60)}").touch()
        return Echo()

    return load


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    columns = """
        id AS key, IF(id % 10 = 4, NULL, id) AS x, IF(id % 3 = 0, NULL, CONCAT('n', id)) AS name,
        TIMESTAMP_SECONDS(id * 3600) AS at,
        IF(id % 5 = 0, NULL, ARRAY(CAST(id AS DOUBLE), NULL, 0.5)) AS vector
    """
    return spark.range(0, 100, 1, 2).selectExpr(*[part.strip() for part in _split(columns)])


def _split(text: str) -> list[str]:
    """Top-level commas only."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


def _check(found: list[Any]) -> None:
    assert [row["key"] for row in found] == list(range(100))
    for row in found:
        key, got = row["key"], row["p"]
        x = None if key % 10 == 4 else key
        if key in (7, 13):
            reason = {7: "not_finite", 13: "model_error: ValueError: cannot take 13"}[key]
            assert got["error"].startswith(reason)
            assert all(got[name] is None for name in OUTPUTS)
            continue
        total = 0.0 if key % 5 == 0 else key + 0.5
        assert got["error"] is None
        assert got["score"] == 2.0 * (-1 if x is None else x) + total
        assert (got["rank"], got["label"]) == (x, None if key % 3 == 0 else f"n{key}")
        assert got["scores"] == {"s": total}
        assert got["items"][0]["n"] == (-1 if x is None else x) % 3
        assert got["at"].timestamp() == key * 3600


def _vector_without_nulls(rows: DataFrame) -> DataFrame:
    return rows.selectExpr("key", "x", "name", "at", "FILTER(vector, v -> v IS NOT NULL) AS vector")


def test_all_ways_to_call_it_give_the_same_rows(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    from pyspark.sql import functions as F

    from batchinfer.inference.spark import scoring_udf

    rows = _vector_without_nulls(rows)
    udf = scoring_udf(_loader(str(tmp_path)), _signature(), "digest-a", batch_rows=8)
    spark.udf.register("predict_echo", udf)
    rows.createOrReplaceTempView("echo_rows")
    by_place = rows.select("key", udf("x", "name", "at", "vector").alias("p"))
    by_struct = rows.select("key", udf(F.struct("vector", "at", "key", "name", "x")).alias("p"))
    by_sql = spark.sql("SELECT key, predict_echo(STRUCT(*)) AS p FROM echo_rows")
    for frame in (by_place, by_struct, by_sql):
        _check(frame.orderBy("key").collect())
    assert by_place.select("p.*").columns == [*OUTPUTS, "error"]


def test_timestamps_in_another_zone_are_the_same_instants(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    from batchinfer.inference.spark import scoring_udf

    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Kolkata")
    try:
        udf = scoring_udf(_loader(str(tmp_path)), _signature(), "digest-zone")
        _check(
            _vector_without_nulls(rows)
            .select("key", udf("x", "name", "at", "vector").alias("p"))
            .orderBy("key")
            .collect()
        )
    finally:
        spark.conf.set("spark.sql.session.timeZone", before or "UTC")


def test_a_worker_loads_a_model_once(spark: SparkSession, rows: DataFrame, tmp_path: Path) -> None:
    from batchinfer.inference.spark import scoring_udf

    udf = scoring_udf(_loader(str(tmp_path)), _signature(), "digest-loads")
    frame = (
        _vector_without_nulls(rows)
        .repartition(6)
        .select(udf("x", "name", "at", "vector").alias("p"))
    )
    for _ in range(3):
        assert frame.where("p.error IS NULL").count() == 98
    loads = [path.name.split("-")[0] for path in tmp_path.iterdir()]
    assert len(loads) == len(set(loads))
    assert 1 <= len(loads) <= 2


def test_a_filter_on_the_result_does_not_evaluate_it_twice(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    from batchinfer.inference.spark import scoring_udf

    udf = scoring_udf(_loader(str(tmp_path)), _signature(), "digest-plan")
    frame = (
        _vector_without_nulls(rows)
        .select("key", udf("x", "name", "at", "vector").alias("p"))
        .where("p.score > 0")
        .select("p.label")
    )
    plan = frame._jdf.queryExecution().executedPlan().toString()
    assert plan.count("ArrowEvalPython") == 1


def test_wrong_calls_say_what_is_allowed(
    spark: SparkSession, rows: DataFrame, tmp_path: Path
) -> None:
    from batchinfer.inference.spark import scoring_udf

    with pytest.raises(ModelError, match="output called 'error'"):
        scoring_udf(_loader(str(tmp_path)), _signature(outputs={"error": "string"}), "digest-b")
    with pytest.raises(ModelError, match="signature: got 'bigin'"):
        scoring_udf(_loader(str(tmp_path)), _signature(inputs={"x": "bigin"}), "digest-b")
    udf = scoring_udf(_loader(str(tmp_path)), _signature(), "digest-b")
    with pytest.raises(
        Exception, match="got 2 columns; allowed: one struct, or the 4 columns x, name, at, vector"
    ):
        rows.select(udf("x", "name")).collect()


def test_a_worker_can_score_in_a_child(spark: SparkSession, tmp_path: Path) -> None:
    """A crash on an executor costs a child of its worker; the task neither fails nor is tried
    again.
    """
    (tmp_path / "crashing_model.py").write_text(
        "import ctypes, pyarrow as pa\n"
        "class Handler:\n"
        "    output = {'score': 'double'}\n"
        "    def encode(self, batch): return {'x': batch.column('x').to_numpy()}\n"
        "    def forward(self, tensors): return ctypes.string_at(0) if 7 in tensors['x'] else "
        "tensors['x']\n"
        "    def decode(self, output): return {'score': pa.array(output * 2.0)}\n"
    )
    folder = str(tmp_path)

    def work(numbers: Any) -> Any:
        import sys

        sys.path.insert(0, folder)
        from importlib import import_module

        from batchinfer.inference.engine import BatchScorer
        from batchinfer.inference.watchdog import ChildRunner

        batch = pa.RecordBatch.from_pydict({"x": list(numbers)})
        with BatchScorer(
            ChildRunner(import_module("crashing_model").Handler).loaded(), batch_rows=4
        ) as scorer:
            for scored in scorer.score([batch]):
                yield from scored.predictions["score"].to_pylist()
                yield from [record.reason for record in scored.failed]

    found = spark.sparkContext.parallelize(range(8), 1).mapPartitions(work).collect()
    assert found == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, "crash"]


def test_workers_import_what_is_installed_not_sparks_archives(spark: SparkSession) -> None:
    def look(_: Any) -> list[str]:
        import sys

        import pyspark

        return [pyspark.__file__, *sys.path]

    place, *path = spark.sparkContext.parallelize([0], 1).flatMap(look).collect()
    assert "pyspark.zip" not in place
    assert not [
        entry
        for entry in path
        if "pyspark.zip" in entry or "py4j-" in entry or entry.endswith(".jar")
    ]
