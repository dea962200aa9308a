"""Derived columns on Spark: every road publishes the same, `replay` and the UDF evaluate the same
expressions, and their values are those of Spark's own.
"""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession
from spark.projects import DAY, PIPELINE, SmallProject
from spark.refusing import again

import batchinfer
from batchinfer.models.bundle import read_steps
from batchinfer.pipeline.plan import plan_slice
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

# `per_id` fails on id 0; `long_id` is a helper.
EXPRESSIONS = {
    "long_id": "id * 10",
    "per_id": "size / long_id",
    "is_large": "size > 5",
    "kind": "case when color = 'red' then 'warm' else upper(substring(color, 1, 2)) end",
    "near": "coalesce(nullif(round(size), 4.0), -1)",
}
DERIVE = "".join(f"  {name}: {text}\n" for name, text in EXPRESSIONS.items())
FAILING = '{"id":0}'


@pytest.fixture
def deriving(small: SmallProject) -> SmallProject:
    text = PIPELINE.replace("features:\n", f"derive:\n{DERIVE}features:\n")
    small.write(
        "conf/pipelines/small.yaml",
        text.replace("columns: size", "columns: [size, per_id]").replace(
            "columns: color", "columns: [color, kind]"
        ),
    )
    small.extract()
    return small


def published(project: SmallProject) -> list[dict[str, Any]]:
    rows = project.table("predictions").drop_columns(["run_id", "scored_at"]).to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def kept(project: SmallProject, stage: str = "score") -> list[tuple[str, str]]:
    rows = project.table("quarantine").to_pylist()
    return [(row["key"], row["message"]) for row in rows if row["stage"] == stage]


def test_every_way_to_a_prediction_evaluates_the_same_expressions(
    deriving: SmallProject, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = deriving.train()
    assert (trained.rows_unfit, trained.rows_train + trained.rows_validation) == (1, 39)
    found = []
    for road in ("direct", "arrow", "pandas"):
        report = deriving.score(DAY, f"model.road={road}", force=True)
        assert (report.road, report.rows_in, report.rows_quarantined) == (road, 40, 1)
        found.append(published(deriving))
    first = found[0]
    assert [row["id"] for row in first] == list(range(1, 40))
    for rows in found[1:]:
        assert [row["input_fingerprint"] for row in rows] == [
            row["input_fingerprint"] for row in first
        ]
        assert [row["score"] for row in rows] == pytest.approx(
            [row["score"] for row in first], rel=1e-6
        )
    assert len(set(kept(deriving))) == 1
    key, message = kept(deriving)[0]
    assert key == FAILING and message.startswith("derive.per_id (size / long_id): ")

    monkeypatch.chdir(deriving.root)
    landed = sorted(deriving.table("landed").to_pylist(), key=lambda row: row["id"])
    alone = [batchinfer.predict([row], "models:/small@champion").iloc[0] for row in landed]
    assert message in alone[0]["error"]
    assert [row["score"] for row in alone[1:]] == pytest.approx(
        [row["score"] for row in first], rel=1e-6
    )
    udf = batchinfer.predict_udf(spark, "models:/small@champion")
    frame = spark.createDataFrame(deriving.table("landed").to_pandas())
    frame = frame.selectExpr("cast(id as int) id", "color", "size")
    given = frame.select("id", udf("id", "color", "size").alias("found")).orderBy("id").collect()
    assert message in given[0].found.error and given[0].found.score is None
    assert [row.found.score for row in given[1:]] == pytest.approx(
        [row["score"] for row in first], rel=1e-6
    )

    report = again(deriving)
    assert (report.rows_in, report.rows_scored, report.rows_quarantined) == (1, 0, 1)
    assert published(deriving) == found[-1]


def test_derived_values_are_those_of_spark(deriving: SmallProject, spark: SparkSession) -> None:
    deriving.train()
    model = resolve_model(TableColumns(deriving.context()))
    read = plan_slice(deriving.context(), DAY)["columns_read"]
    assert [name for name in read if not name.startswith("source_")] == ["id", "color", "size"]
    transforms, _ = read_steps(model.folder)
    assert transforms is not None
    landed = deriving.table("landed").select(["id", "color", "size"]).combine_chunks()
    (batch,) = landed.to_batches()
    rows = [row for row in range(batch.num_rows) if batch.column("id")[row].as_py()]
    step = transforms.steps[0]
    ours = step.apply(
        {name: batch.column(name).take(rows) for name in ("id", "size", "color")}, None
    )
    frame = spark.read.format("delta").load(str(deriving.root / "var/lake/landed/small"))
    frame = frame.where("id != 0")
    for name, text in EXPRESSIONS.items():
        frame = frame.selectExpr("*", f"{text} as {name}")
    theirs = {row.id: row for row in frame.collect()}
    for place, id_ in enumerate(ours["id"].to_pylist()):
        for name in EXPRESSIONS:
            assert ours[name][place].as_py() == theirs[id_][name]


def test_an_expression_reads_what_prepare_makes(small: SmallProject) -> None:
    text = PIPELINE.replace(
        "features:\n",
        "prepare:\n  - lag: {columns: size, by: color, order: id}\n"
        "derive: {growth: size - size_lag_1}\nfeatures:\n",
    )
    small.write(
        "conf/pipelines/small.yaml", text.replace("columns: size}", "columns: [size, growth]}")
    )
    small.extract()
    assert small.train().rows_unfit == 0
    report = small.score()
    assert (report.road, report.rows_in, report.rows_quarantined) == ("arrow", 40, 0)
    model = resolve_model(TableColumns(small.context()))
    assert model.inputs == ("color", "size", "size_lag_1")
