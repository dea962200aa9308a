"""One row in process equals its stored prediction: every pipeline that is shipped, on its own
sample data.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import batchinfer
from batchinfer.pipeline.definition.context import Context
from batchinfer.pipeline.extract import extract_source
from batchinfer.pipeline.score import score_slice
from batchinfer.pipeline.slices.landed import read_data, read_slices
from batchinfer.pipeline.slices.prepared import prepared_frame, remaining
from batchinfer.pipeline.slices.slice_frames import slice_frame
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.pipeline.train import train_pipeline

ROOT = Path(__file__).parents[2]
PIPELINES = sorted(path.stem for path in (ROOT / "conf/pipelines").glob("*.yaml"))


@pytest.mark.parametrize("name", PIPELINES)
def test_predict_equals_what_was_stored(
    name: str, tmp_path: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("conf", "examples"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for variable in ("BATCHINFER_HOME", "DATA_DIR"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    context = Context.open(name)
    by_day = context.pipeline.source.slice == "ingest_date"
    extract_source(context, "2026-11-21" if by_day else None, lambda: spark)
    train_pipeline(context.with_new_run(), [], lambda: spark)
    slice_ = max(read_slices(context.landed))
    report = score_slice(context.with_new_run(), slice_, lambda: spark)
    assert report.rows_scored + report.rows_reused > 50

    data = read_data(context, [slice_])
    if context.pipeline.prepare:
        columns = TableColumns(context)
        rows = remaining(prepared_frame(spark, columns, data, columns.landed))
    else:
        rows = slice_frame(spark, data)
    key = list(context.pipeline.source.key)
    asked = rows.toPandas().sample(50, random_state=3)
    stored = spark.read.format("delta").load(report.table).toPandas().set_index(key)
    expected = stored.loc[
        [tuple(row) if len(key) > 1 else row[0] for row in asked[key].itertuples(index=False)]
    ]
    outputs = [column for column in stored.columns if column in ("score", "prediction")]
    assert outputs
    together = batchinfer.predict(asked, context.pipeline.model.uri)
    alone = [
        batchinfer.predict(asked.iloc[[place]], context.pipeline.model.uri) for place in range(10)
    ]
    assert together["error"].isna().all()
    for output in outputs:
        # Scores are rounded or cut by some pipelines: a last digit may then fall to the other side.
        absolute = 0.011 if any("round" in step for step in context.pipeline.postprocess) else 1e-8
        assert together[output].to_list() == pytest.approx(
            expected[output].to_list(), rel=1e-5, abs=absolute
        )
        assert [frame[output].iloc[0] for frame in alone] == pytest.approx(
            expected[output].to_list()[:10], rel=1e-5, abs=absolute
        )
