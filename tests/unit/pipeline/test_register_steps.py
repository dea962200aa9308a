"""`register` with the pipeline's own steps: before the model and after it, fitted or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from artefacts import COLUMNS, a_net, save_linear_onnx, save_program
from registrations import EXAMPLE, FRAME, Project

import batchinfer
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier
from batchinfer.models.mlp import build_module
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

from .registered import a_classifier


def test_steps_that_need_no_fitting_are_made_on_the_spot(project: Project, tmp_path: Path) -> None:
    features = "features: [{log1p: {columns: [a, b, c]}}]"
    report = project.register(
        "unfitted", save_program(tmp_path / "net.pt2", a_net(), EXAMPLE), features=features
    )
    assert report.transforms_from == "" and list(report.inputs) == list(COLUMNS)
    frame = FRAME.assign(**{name: FRAME[name].abs() for name in COLUMNS})
    found = batchinfer.predict(frame, "models:/unfitted@champion")
    with torch.inference_mode():
        expected = a_net()(
            torch.from_numpy(np.log1p(frame[list(COLUMNS)].to_numpy()).astype(np.float32))
        )
    np.testing.assert_allclose(found["prediction"], expected[:, 0], rtol=1e-5)
    with pytest.raises(
        ModelError, match="takes 3 numbers a row in 'features'; the pipeline's features make 2"
    ):
        project.register(
            "narrow", tmp_path / "net.pt2", features="features: [{log1p: {columns: [a, b]}}]"
        )


def test_steps_after_the_model_travel_with_it(project: Project, tmp_path: Path) -> None:
    import skops.io

    path = save_linear_onnx(tmp_path / "sum.onnx", {"x": 3})
    how = {"more": "postprocess: [{clip: {lower: 0, upper: 1}}, {round: {digits: 1}}]\n"}
    assert project.register("after", path, **how).outputs == {"prediction": "double"}
    found = batchinfer.predict(FRAME, "models:/after@champion")["prediction"]
    np.testing.assert_allclose(
        found, FRAME[list(COLUMNS)].sum(axis=1).clip(0, 1).round(1), atol=1e-6
    )
    assert resolve_model(TableColumns(project.context("after", **how))).ref.version == "1"
    with pytest.raises(ConfigError, match="postprocess"):
        project.register("after", path, more="postprocess: [{threshold: {value: 0.7}}]\n")
    # The positive class is the first of the model's own here; a threshold that none reaches names
    # the other.
    model = a_classifier([("yes", "zzz")[one > 0] for one in FRAME["a"]], handle_unknown="ignore")
    skops.io.dump(model, tmp_path / "model.skops")
    project.register(
        "threshold", tmp_path / "model.skops", more="postprocess: [{threshold: {value: 1.0}}]\n"
    )
    assert set(batchinfer.predict(FRAME, "models:/threshold@champion")["label"]) == {"zzz"}


def test_fitted_steps_are_those_of_the_newest_version_that_has_them(
    project: Project, tmp_path: Path
) -> None:
    import pyarrow as pa

    from batchinfer.transforms import fit, parse_steps

    features = "features: [{standardize: {columns: [a, b, c]}}]"
    path = save_program(tmp_path / "net.pt2", a_net(), EXAMPLE)
    with pytest.raises(
        ModelError, match=r"\(standardize\) have to be fitted, and no version of the model 'fitted'"
    ) as caught:
        project.register("fitted", path, features=features)
    assert (
        caught.value.hint is not None
        and f"batchinfer train -p {project.root}/conf/pipelines/fitted.yaml" in caught.value.hint
    )
    context = project.context("fitted", features=features)
    steps, _ = parse_steps(list(context.pipeline.features))
    batch = pa.RecordBatch.from_pandas(FRAME[list(COLUMNS)], preserve_index=False)
    transforms = fit(steps, {name: pa.float64() for name in COLUMNS}, lambda: [batch])
    module = build_module(
        "batchinfer.models.mlp:Mlp", {"features": 3, "outputs": 1, "hidden": [2]}
    ).eval()
    signature = {
        "inputs": [{"name": name, "type": "double"} for name in COLUMNS],
        "outputs": [{"name": "score", "type": "double"}, {"name": "label", "type": "string"}],
    }
    handler = BinaryClassifier(module, None, {}, COLUMNS)
    write_bundle(
        tmp_path / "b",
        handler=handler,
        module=module,
        transforms=transforms,
        signature=signature,
        facts={},
    )
    context.registry.register("fitted", tmp_path / "b", "champion")
    report = project.register("fitted", path, features=features)
    assert (report.transforms_from, report.model_version, report.alias) == (
        "models:/fitted/1",
        "2",
        "",
    )
    found = batchinfer.predict(FRAME, "models:/fitted/2")
    with torch.inference_mode():
        expected = a_net()(torch.from_numpy(transforms.matrix(batch)))[:, 0]
    np.testing.assert_allclose(found["prediction"], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ModelError, match="have to be fitted"):
        project.register("fitted", path, features="features: [{min_max: {columns: [a, b, c]}}]")


class Embedded(torch.nn.Module):
    """A number and the index of a kind."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(8, 2)

    def forward(self, features: torch.Tensor, kind: torch.Tensor) -> torch.Tensor:
        return torch.cat([features, self.table(kind)], 1).sum(1)


def test_integer_inputs_are_fed_by_their_names() -> None:
    import pyarrow as pa

    from batchinfer.models.elsewhere.feeds import feed_from_transforms
    from batchinfer.models.elsewhere.probing import probe
    from batchinfer.models.formats.artifact import ModelInput, TensorProgram
    from batchinfer.transforms import fit, parse_steps

    steps, _ = parse_steps(
        [{"standardize": {"columns": "a"}}, {"embedding_index": {"columns": "kind"}}]
    )
    batch = pa.RecordBatch.from_pandas(FRAME[["a", "kind"]], preserve_index=False)
    fields = {"a": pa.float64(), "kind": pa.string()}
    transforms = fit(steps, fields, lambda: [batch])
    inputs = [ModelInput("features", shape=(1,)), ModelInput("kind", "int64", ())]
    module = TensorProgram(Embedded(), inputs)
    handler = probe(module, feed_from_transforms(module, transforms), transforms, fields).handler
    with torch.inference_mode():
        found = handler.decode(handler.forward(handler.encode(batch)))["prediction"].to_pylist()
        tensors = {
            name: torch.from_numpy(one.copy()) for name, one in transforms.tensors(batch).items()
        }
        assert found == module.program(**tensors).tolist()
    with pytest.raises(
        ModelError,
        match="the model takes features, colour; the pipeline's features make features, kind",
    ):
        feed_from_transforms(
            TensorProgram(Embedded(), [inputs[0], ModelInput("colour")]), transforms
        )
