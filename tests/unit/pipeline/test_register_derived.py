"""Models trained elsewhere are handed derived columns beside the landed ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from artefacts import save_program
from registrations import FRAME, Project

import batchinfer
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.elsewhere.feeds import unfilled_columns
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.transforms import Derive, TransformPipeline

AB = "derive: {ab: a * b}"
HANDLER = """\
import batchinfer
import pyarrow as pa

class Doubled(batchinfer.Handler):
    output = {"twice": "double"}
    def weight(self, batch):
        return [abs(value) for value in batch.column("ab").to_pylist()]
    def encode(self, batch):
        return {"ab": batch.column("ab").to_pylist()}
    def forward(self, tensors):
        return [2 * value for value in tensors["ab"]]
    def decode(self, output):
        return {"twice": pa.array(output)}
"""


def a_model(names: list[str]) -> Any:
    from sklearn.linear_model import LinearRegression

    frame = FRAME.assign(ab=FRAME["a"] * FRAME["b"])
    return LinearRegression().fit(frame[names], frame["a"] - 3 * frame["ab"])


def saved(model: Any, path: Path) -> Path:
    import skops.io

    skops.io.dump(model, path)
    return path


@pytest.mark.parametrize(
    "features", [AB, f"{AB}\nfeatures: [{{keep: {{columns: [ab, c]}}}}]"], ids=["none", "kept"]
)
def test_a_model_that_names_its_columns_is_handed_derived_ones(
    project: Project, tmp_path: Path, features: str, request: pytest.FixtureRequest
) -> None:
    name = f"named{request.node.callspec.id}"
    model = a_model(["c", "ab"])
    report = project.register(
        name, saved(model, tmp_path / "model.skops"), features=features, train=False
    )
    assert report.inputs == {"c": "double", "a": "double", "b": "double"}
    found = batchinfer.predict(FRAME, f"models:/{name}@champion")
    expected = model.predict(FRAME.assign(ab=FRAME["a"] * FRAME["b"])[["c", "ab"]])
    np.testing.assert_allclose(found["prediction"], expected, rtol=1e-12)
    columns = TableColumns(project.context(name, features=features, train=False))
    assert resolve_model(columns).inputs == ("c", "a", "b")
    changed = TableColumns(project.context(name, "derive.ab=b * a", features=features, train=False))
    with pytest.raises(ModelError, match=r"derive\.ab: got"):
        resolve_model(changed)


def test_columns_are_handed_in_the_order_of_keep_and_derived_ones_that_it_does_not_name_last(
    project: Project, tmp_path: Path
) -> None:
    class Places(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, 0] + 10 * x[:, 1] + 100 * x[:, 2]

    path = save_program(tmp_path / "places.pt2", Places(), torch.randn(4, 3))
    derive = "derive: {sum: a + helper, twice: helper * 2, helper: a * b}"
    with pytest.raises(ConfigError, match="derived after it"):
        project.register("places", path, features=derive)
    derive = "derive: {helper: a * b, sum: a + helper, twice: helper * 2}"
    features = f"{derive}\nfeatures: [{{keep: {{columns: [twice, c]}}}}]"
    project.register("places", path, features=features, train=False)
    found = batchinfer.predict(FRAME, "models:/places@champion")["prediction"]
    product = FRAME["a"] * FRAME["b"]
    expected = 2 * product + 10 * FRAME["c"] + 100 * (FRAME["a"] + product)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_derived_column_that_the_model_does_not_take_is_refused(
    project: Project, tmp_path: Path
) -> None:
    path = saved(a_model(["c", "ab"]), tmp_path / "model.skops")
    with pytest.raises(ConfigError) as error:
        project.register("idle", path, features="derive: {ab: a * b, idle: ab + c}", train=False)
    assert "derive.idle: the model takes no such column" in error.value.problems[0]


def test_a_row_that_an_expression_fails_on_is_told_and_the_others_are_scored(
    project: Project, tmp_path: Path
) -> None:
    path = saved(a_model(["c", "ab"]), tmp_path / "model.skops")
    project.register("failing", path, features="derive: {ab: a / b}", train=False)
    rows = [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "b": 0.0, "c": 3.0}]
    found = batchinfer.predict(rows, "models:/failing@champion")
    assert found["error"][0] is None and found["prediction"].notna().tolist() == [True, False]
    assert "derive.ab (a / b): " in found["error"][1]


def test_a_handler_of_the_users_own_finds_derived_columns_in_its_batch(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deriving_handlers.py").write_text(HANDLER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "deriving_handlers", raising=False)
    report = project.register("handler", "deriving_handlers:Doubled", features=AB, train=False)
    assert set(report.inputs) == {"id", "a", "b", "c", "kind", "y"}
    rows = FRAME.assign(id=1, y="yes")
    found = batchinfer.predict(rows, "models:/handler@champion")
    np.testing.assert_allclose(found["twice"], 2 * FRAME["a"] * FRAME["b"], rtol=1e-12)


def test_an_expression_that_fails_without_values_leaves_nothing_to_warn_of() -> None:
    steps = [Derive.of({"out": "(1 / 0) * a"})]
    assert unfilled_columns(TransformPipeline(steps, {"a": pa.float64()}, {})) == []
    steps = [Derive.of({"out": "a * 2"})]
    assert unfilled_columns(TransformPipeline(steps, {"a": pa.float64()}, {})) == ["out"]
