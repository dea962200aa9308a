"""A fit in Spark over the row groups of a table gives what a fit in this process gives, whatever
the partitioning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake
from pyspark.sql import SparkSession

from batchinfer.config.pipeline import Target
from batchinfer.lake.delta import snapshot_files
from batchinfer.models.targets import label_array
from batchinfer.pipeline.slices.slice_data import SliceData
from batchinfer.pipeline.slices.slice_splits import splits_of
from batchinfer.pipeline.training.fit_passes import Labels, fit_transforms, key_hashes
from batchinfer.pipeline.training.validation import ValidationRule
from batchinfer.transforms import ROW_HASH, TARGET, TransformPipeline, fit, parse_steps

ROWS = 120_000
STEPS: list[dict[str, Any]] = [
    {"impute": {"columns": ["number", "few"], "strategy": "median", "indicator": True}},
    {"clip": {"columns": "number", "lower_quantile": 0.01, "upper_quantile": 0.99}},
    {"yeo_johnson": {"columns": "few"}},
    {"standardize": {"columns": ["number", "few"]}},
    {"bucketize": {"columns": "wide", "quantiles": 20}},
    {"one_hot": {"columns": "color", "min_count": 2}},
    {"target_encode": {"columns": "town"}},
    {"tokenize": {"columns": "note", "vocabulary_size": 50, "max_tokens": 3}},
    {"select": {"columns": ["number", "color"], "method": "chi2", "k": 3}},
]
# chi2 takes numbers from 0 up.
STEPS.insert(-1, {"min_max": {"columns": "number"}})
TARGET_OF = Target(column="big", positive=("yes",))


def table(seed: int = 7) -> pa.Table:
    random = np.random.default_rng(seed)
    number = random.lognormal(0, 1, ROWS)
    columns: dict[str, Any] = {
        "id": pa.array(np.arange(ROWS)),
        "number": pa.array(number, mask=random.random(ROWS) < 0.03),
        "few": pa.array(
            random.integers(0, 40, ROWS).astype(np.float64), mask=random.random(ROWS) < 0.03
        ),
        "wide": pa.array(random.normal(size=ROWS)),
        "color": pa.array(
            random.choice(["red", "green", "blue", ""], ROWS), mask=random.random(ROWS) < 0.1
        ),
        "town": pa.array(random.choice([f"t{place}" for place in range(300)], ROWS)),
        "note": pa.array(
            random.choice(["a fine day", "bad", "so so day", "rain again and again"], ROWS)
        ),
        "big": pa.array(np.where(number + random.normal(size=ROWS) > 1.5, "yes", "no")),
    }
    return pa.table(columns)


def labels(task: Any = "binary") -> Labels:
    return Labels(TARGET_OF, task, ("id",), ValidationRule(0.1))


@pytest.fixture(scope="module")
def found(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, TransformPipeline]:
    """The fit by number of tasks."""
    rows, place = table(), str(tmp_path_factory.mktemp("fit") / "table")
    write_deltalake(place, rows.slice(0, 50_000))
    write_deltalake(place, rows.slice(50_000), mode="append")
    steps, fields = _steps_and_fields(rows)
    data = SliceData(
        place, (), sorted(snapshot_files(place, None), key=lambda file: file.path), 1, 1, ROWS
    )
    return {
        count: fit_transforms(spark, STEPS, steps, fields, splits_of(data, count), labels())
        for count in (1, 2, 5)
    }


def _steps_and_fields(rows: pa.Table) -> tuple[Any, dict[str, pa.DataType]]:
    steps, problems = parse_steps(STEPS)
    assert problems == []
    used = {name for step in steps for name in step.columns}
    return steps, {field.name: field.type for field in rows.schema if field.name in used}


def local() -> TransformPipeline:
    rows = table()
    batch = rows.combine_chunks().to_batches()[0]
    hashes = key_hashes(batch, ["id"])
    held_out = ValidationRule(0.1).validated(batch, hashes)
    target = pc.if_else(
        pa.array(held_out), None, label_array(batch.column("big"), TARGET_OF, "binary")
    )
    batch = batch.append_column(TARGET, target).append_column(ROW_HASH, pa.array(hashes))
    steps, fields = _steps_and_fields(rows)
    return fit(steps, fields | {TARGET: pa.float64(), ROW_HASH: pa.uint64()}, lambda: [batch])


def compare(one: Any, other: Any, path: str, allowed: dict[str, float]) -> None:
    """Equal, floats to 1e-9, or to what `allowed` says of the step."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            compare(one[key], other[key], f"{path}.{key}", allowed)
    elif isinstance(one, list):
        assert len(one) == len(other), path
        for place, pair in enumerate(zip(one, other, strict=True)):
            compare(*pair, f"{path}[{place}]", allowed)
    elif isinstance(one, float):
        tolerance = next((value for name, value in allowed.items() if path.startswith(name)), 1e-9)
        assert one == pytest.approx(other, rel=tolerance, abs=tolerance), path
    else:
        assert one == other, path


def test_a_fit_in_spark_equals_the_fit_in_this_process(found: dict[int, TransformPipeline]) -> None:
    reference = local()
    # Columns of more than 50,000 distinct values have quantiles within 0.05% of the rows; what
    # follows from them follows.
    quantiles = {
        "impute.number": 0.005,
        "clip": 0.01,
        "standardize.number": 0.01,
        "bucketize": 0.02,
        "min_max": 0.01,
        "select": 0.05,
    }
    for fitted in found.values():
        for step, one, other in zip(fitted.steps, fitted.states, reference.states, strict=True):
            compare(one, other, step.name, quantiles)


def test_quantiles_stay_within_the_stated_error(found: dict[int, TransformPipeline]) -> None:
    rows = table()
    wide = np.sort(rows["wide"].to_numpy())
    number = np.sort(rows["number"].drop_null().to_numpy())
    for fitted in found.values():
        for place, edge in enumerate(fitted.states[4]["wide"]["edges"], 1):
            assert abs(np.searchsorted(wide, edge) / ROWS - place / 20) < 0.0005
        median = fitted.states[0]["number"]["value"]
        assert abs(np.searchsorted(number, median) / len(number) - 0.5) < 0.0005


def test_the_same_splits_give_the_same_bits(
    found: dict[int, TransformPipeline], spark: SparkSession, tmp_path: Path
) -> None:
    place = str(tmp_path / "table")
    rows = table()
    write_deltalake(place, rows)
    steps, fields = _steps_and_fields(rows)
    data = SliceData(place, (), snapshot_files(place, None), 0, 0, ROWS)
    one, other = (
        fit_transforms(spark, STEPS, steps, fields, splits_of(data, 2), labels()).to_json()
        for _ in range(2)
    )
    assert one == other
