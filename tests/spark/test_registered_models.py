"""Models trained elsewhere, scored by Spark: each road, once loaded a worker process, and never
without the trust they need.
"""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from artefacts import save_linear_onnx, save_program
from spark.counting import Counted
from spark.projects import PIPELINE, SmallProject, csv_of

from batchinfer.errors import ModelError
from batchinfer.pipeline.register import register_model

# Sizes are n * 0.37, ids are n: without features, the one number that is neither key nor target.
FEATURES = "features:\n  - standardize: {columns: size}\n  - one_hot: {columns: color}\n"


class Doubled(torch.nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features * 2


@pytest.fixture
def plain(small: SmallProject) -> SmallProject:
    """Forty rows that have landed, and no features."""
    assert FEATURES in PIPELINE
    small.edit(FEATURES, "")
    small.extract()
    return small


def predictions(project: SmallProject) -> dict[int, float]:
    return {row["id"]: row["prediction"] for row in project.table("predictions").to_pylist()}


@pytest.mark.parametrize("road", ["direct", "arrow", "pandas"])
def test_an_exported_program_and_an_onnx_model_are_scored_by_each_road(
    plain: SmallProject, tmp_path: Path, road: str
) -> None:
    register_model(
        plain.context(), str(save_program(tmp_path / "net.pt2", Doubled(), torch.randn(4, 1)))
    )
    report = plain.score("2026-11-21", f"model.road={road}")
    assert (report.status, report.rows_scored + report.rows_reused, report.road) == (
        "published",
        40,
        road,
    )
    found = predictions(plain)
    assert {n: pytest.approx(float(f"{n * 0.37:.2f}") * 2, rel=1e-6) for n in range(40)} == found
    register_model(
        plain.context(),
        str(save_linear_onnx(tmp_path / "sum.onnx", {"size": 1}, "double")),
        "champion",
    )
    assert plain.score("2026-11-21", f"model.road={road}").model_version == "2"
    assert {
        n: pytest.approx(float(f"{n * 0.37:.2f}"), rel=1e-12) for n in range(40)
    } == predictions(plain)


def test_a_bundle_is_loaded_once_in_each_worker_process(
    plain: SmallProject, tmp_path: Path
) -> None:
    import safetensors.torch

    # Four files of one slice: as many tasks, and several batches each, on two workers.
    for name in "bcd":
        start = 100 * (ord(name) - 96)
        plain.write(f"in/{name}.csv", csv_of(range(start, start + 40)))
    plain.extract()
    noted = tmp_path / "loads"
    arguments = {"features": 1, "outputs": 1, "noted_in": str(noted)}
    safetensors.torch.save_file(
        Counted(1, 1, os.devnull).state_dict(), str(tmp_path / "net.safetensors")
    )
    (tmp_path / "net.json").write_text(
        json.dumps({"class": "spark.counting:Counted", "arguments": arguments})
    )
    register_model(plain.context(), str(tmp_path / "net.safetensors"))
    by_the_driver = noted.read_text().split()
    assert set(by_the_driver) == {str(os.getpid())}
    rows = 0
    for _ in range(2):
        report = plain.score("2026-11-21", "model.batch.rows=7", "model.road=arrow", force=True)
        rows = report.rows_scored + report.rows_reused
    assert rows == 160
    loads = noted.read_text().split()[len(by_the_driver) :]
    assert loads and str(os.getpid()) not in loads
    assert len(loads) == len(set(loads)), "a worker process loaded the bundle more than once"
    assert len(loads) <= 2, "two runs of several tasks on two cores"


def test_a_pickled_model_is_scored_only_where_the_pipeline_trusts_it(
    plain: SmallProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    with pytest.raises(ModelError, match="not trusted"):
        register_model(plain.context(), str(tmp_path / "model.pkl"))
    register_model(plain.context("model.trust=pickle"), str(tmp_path / "model.pkl"))
    with pytest.raises(ModelError, match="needs trust: pickle"):
        plain.score()
    assert plain.score("2026-11-21", "model.trust=pickle").status == "published"
    assert {n: pytest.approx(1 + 2 * float(f"{n * 0.37:.2f}")) for n in range(40)} == predictions(
        plain
    )
    import batchinfer

    monkeypatch.setenv("BATCHINFER_HOME", str(plain.root / "var"))
    with pytest.raises(ModelError, match="needs trust: pickle"):
        batchinfer.predict_udf(plain.open_session(), "models:/small@champion")
    udf = batchinfer.predict_udf(plain.open_session(), "models:/small@champion", trust="pickle")
    sizes = plain.open_session().createDataFrame([(0.0,), (2.5,)], "size double")
    assert [row[0]["prediction"] for row in sizes.select(udf("size")).collect()] == [
        pytest.approx(1.0),
        pytest.approx(6.0),
    ]
