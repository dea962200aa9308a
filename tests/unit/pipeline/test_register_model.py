"""`register`: whatever a model was saved as, its bundle scores as the model itself does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from artefacts import COLUMNS, a_net, save_linear_onnx, save_program, save_script
from registrations import EXAMPLE, FRAME, Project

import batchinfer
from batchinfer.errors import ConfigError, ModelError
from batchinfer.models.bundle import read_bundle
from batchinfer.models.bundle_writing import write_bundle
from batchinfer.models.handler import BinaryClassifier
from batchinfer.models.mlp import build_module
from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.register import register_model
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.show import show_models, show_register


def net_output(outputs: int = 1) -> np.ndarray:
    with torch.inference_mode():
        return a_net(outputs)(torch.from_numpy(FRAME[list(COLUMNS)].to_numpy(np.float32))).numpy()


@pytest.mark.parametrize(
    ("file", "save"),
    [
        ("net.pt2", lambda path, net: save_program(path, net, EXAMPLE)),
        ("net.pt", save_script),
    ],
)
@pytest.mark.parametrize("outputs", [1, 4])
def test_a_program_of_pytorch_gives_its_own_predictions(
    project: Project, tmp_path: Path, file: str, save: Callable[[Path, Any], Path], outputs: int
) -> None:
    name = f"net{file[4:]}{outputs}"
    report = project.register(name, save(tmp_path / file, a_net(outputs)))
    assert (report.status, report.model_version, report.alias, report.trust) == (
        "registered",
        "1",
        "champion",
        "none",
    )
    assert report.inputs == dict.fromkeys(COLUMNS, "double")
    assert report.outputs == {"prediction": "double" if outputs == 1 else "array<double>"}
    found = batchinfer.predict(FRAME, f"models:/{name}@champion")
    assert found["error"].isna().all()
    np.testing.assert_allclose(
        np.stack(list(found["prediction"])).reshape(9, -1),
        net_output(outputs),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_pipelines_alias_is_left_alone_once_a_version_has_it(
    project: Project, tmp_path: Path
) -> None:
    path = save_linear_onnx(tmp_path / "sum.onnx", {"x": 3})
    assert project.register("aliases", path).alias == "champion"
    assert project.register("aliases", path).alias == ""
    context = project.context("aliases")
    assert register_model(context, str(path), "challenger").alias == "challenger"
    assert register_model(context, str(path), "champion").alias == "champion"
    shown = show_models(model_versions(context, rollback=True))
    assert [(one["version"], one["aliases"]) for one in shown["versions"]] == [
        ("1", ["champion"]), ("2", []), ("3", ["challenger"]), ("4", []),
    ]  # fmt: skip
    assert [(move["action"], move["from"], move["to"]) for move in shown["history"]] == [
        ("promote", "", "1"), ("promote", "1", "4"), ("rollback", "4", "1"),
    ]  # fmt: skip
    assert all(move["at"].endswith("+00:00") and "@" in move["by"] for move in shown["history"])


def test_columns_are_fed_by_the_names_of_the_models_inputs(
    project: Project, tmp_path: Path
) -> None:
    report = project.register("named", save_linear_onnx(tmp_path / "sum.onnx", {"c": 1, "a": 1}))
    assert list(report.inputs) == ["c", "a"]
    found = batchinfer.predict(FRAME[["a", "c"]], "models:/named@champion")
    np.testing.assert_allclose(found["prediction"], FRAME["a"] + FRAME["c"], rtol=1e-5)


def test_a_model_of_doubles_gets_doubles(project: Project, tmp_path: Path) -> None:
    project.register("doubles", save_linear_onnx(tmp_path / "sum.onnx", {"x": 3}, "double"))
    frame = FRAME.assign(a=1e9 + FRAME["a"])
    found = batchinfer.predict(frame, "models:/doubles@champion")
    np.testing.assert_allclose(found["prediction"], frame[list(COLUMNS)].sum(axis=1), rtol=1e-14)
    save_program(tmp_path / "net.pt2", a_net().double(), EXAMPLE.double())
    project.register("doublenet", tmp_path / "net.pt2")
    found = batchinfer.predict(FRAME, "models:/doublenet@champion")
    np.testing.assert_allclose(found["prediction"], net_output()[:, 0], rtol=1e-5)


def a_classifier(target: Any, **how: Any) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = make_column_transformer(
        (StandardScaler(), ["a", "b"]), (OneHotEncoder(**how), ["kind"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, target)


@pytest.mark.parametrize("classes", [("no", "yes"), ("yes", "zzz"), (0, 1), ("u", "v")])
def test_a_classifier_of_scikit_learn_has_its_own_classes(
    project: Project, tmp_path: Path, classes: tuple[Any, Any]
) -> None:
    import skops.io

    model = a_classifier([classes[one > 0] for one in FRAME["a"]], handle_unknown="ignore")
    skops.io.dump(model, tmp_path / "model.skops")
    name = f"classes{classes[0]}{classes[1]}"
    report = project.register(name, tmp_path / "model.skops")
    assert report.outputs == {"score": "double", "label": "string"} and list(report.inputs) == [
        "a",
        "b",
        "c",
        "kind",
    ]
    found = batchinfer.predict(FRAME, f"models:/{name}@champion")
    positive = classes.index("yes") if "yes" in classes else 1
    np.testing.assert_allclose(found["score"], model.predict_proba(FRAME)[:, positive], rtol=1e-12)
    assert list(found["label"]) == [str(one) for one in model.predict(FRAME)]


def test_several_classes_and_a_classifier_without_probabilities(
    project: Project, tmp_path: Path
) -> None:
    import skops.io
    from sklearn.svm import LinearSVC

    target = [str(row % 3) for row in range(9)]
    model = a_classifier(target, handle_unknown="ignore")
    skops.io.dump(model, tmp_path / "model.skops")
    assert (
        project.register("three", tmp_path / "model.skops").outputs["scores"]
        == "map<string,double>"
    )
    found = batchinfer.predict(FRAME, "models:/three@champion")
    scores = model.predict_proba(FRAME)
    np.testing.assert_allclose(found["score"], scores.max(axis=1))
    assert dict(found["scores"][0]) == dict(zip("012", scores[0], strict=True))
    svc = LinearSVC().fit(FRAME[["a", "b"]], target)
    skops.io.dump(svc, tmp_path / "svc.skops")
    assert project.register("labels", tmp_path / "svc.skops").outputs == {"label": "string"}
    assert list(batchinfer.predict(FRAME, "models:/labels@champion")["label"]) == list(
        svc.predict(FRAME[["a", "b"]])
    )


def test_a_converted_pipeline_takes_text_and_null_text_is_one_bad_row(
    project: Project, tmp_path: Path
) -> None:
    from skl2onnx import to_onnx

    model = a_classifier(
        ["yes" if one > 0 else "no" for one in FRAME["a"]], handle_unknown="ignore"
    )
    converted = to_onnx(model, FRAME[:1], options={"zipmap": False}, target_opset=18)
    (tmp_path / "model.onnx").write_bytes(converted.SerializeToString())
    report = project.register("text", tmp_path / "model.onnx")
    assert report.inputs["kind"] == "string"
    frame = FRAME.copy()
    frame.loc[3, "kind"] = None
    found = batchinfer.predict(frame, "models:/text@champion")
    assert "null; the model takes text" in found["error"][3] and found["error"].drop(3).isna().all()
    np.testing.assert_allclose(
        found["score"].drop(3), model.predict_proba(FRAME)[:, 1][np.arange(9) != 3], rtol=1e-4
    )


def test_weights_with_the_class_beside_them_or_in_the_pipeline(
    project: Project, tmp_path: Path
) -> None:
    import safetensors.torch

    folder = tmp_path / "weights"
    folder.mkdir()
    safetensors.torch.save_file(a_net(4).state_dict(), str(folder / "net.safetensors"))
    with pytest.raises(ModelError, match="weights do not fit") as caught:
        project.register("weights", folder)
    assert caught.value.hint is not None and '"class"' in caught.value.hint
    (folder / "net.json").write_text(
        json.dumps({"class": "artefacts:Net", "arguments": {"features": 3, "outputs": 4}})
    )
    report = project.register("weights", folder)
    assert (report.format, report.outputs) == ("safetensors", {"prediction": "array<double>"})
    found = batchinfer.predict(FRAME, "models:/weights@champion")
    np.testing.assert_allclose(np.stack(list(found["prediction"])), net_output(4), rtol=1e-6)
    safetensors.torch.save_file(a_net().state_dict(), str(tmp_path / "net.safetensors"))
    how = {"features": "", "more": ""}
    with pytest.raises(ModelError, match="weights do not fit batchinfer"):
        project.register("weights", tmp_path / "net.safetensors", **how)
    report = project.register(
        "weights", tmp_path / "net.safetensors", "train.model.python=artefacts:Net"
    )
    assert report.outputs == {"prediction": "double"}


def mlflow_folder(tmp_path: Path, kind: str) -> tuple[Path, Any]:
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression, LogisticRegression

    x, folder = FRAME[["a", "b"]], tmp_path / kind
    if kind == "python":

        class Doubled(mlflow.pyfunc.PythonModel):
            def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
                return pd.DataFrame(
                    {"twice": model_input["a"] * 2, "name": ["n"] * len(model_input)}
                )

        signature = infer_signature(x, pd.DataFrame({"twice": [1.0], "name": ["n"]}))
        mlflow.pyfunc.save_model(folder, python_model=Doubled(), signature=signature)
        return folder, lambda: FRAME["a"] * 2
    if kind == "pt2":
        matrix = FRAME[list(COLUMNS)].to_numpy(np.float32)
        signature = infer_signature(matrix, net_output())
        mlflow.pytorch.save_model(
            a_net(), folder, signature=signature, input_example=matrix, serialization_format="pt2"
        )
        return folder, lambda: net_output()[:, 0]
    if kind == "regression":
        model: Any = LinearRegression().fit(x, FRAME["c"])
        mlflow.sklearn.save_model(
            model,
            folder,
            serialization_format="cloudpickle",
            signature=infer_signature(x, model.predict(x)),
        )
        return folder, lambda: model.predict(x)
    model = LogisticRegression().fit(x, ["yes" if one > 0 else "no" for one in FRAME["a"]])
    mlflow.sklearn.save_model(
        model, folder, serialization_format="skops", signature=infer_signature(x, model.predict(x))
    )
    return folder, lambda: model.predict_proba(x)[:, 1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "format", "trusted", "column"),
    [
        ("skops", "skops", False, "score"),
        ("pt2", "torch.export", False, "prediction"),
        ("regression", "mlflow", True, "prediction"),
        ("python", "mlflow", True, "twice"),
    ],
)
def test_mlflow_models(
    project: Project, tmp_path: Path, kind: str, format: str, trusted: bool, column: str
) -> None:
    folder, expected = mlflow_folder(tmp_path, kind)
    name = f"mlflow_{kind}"
    if trusted:
        with pytest.raises(ModelError, match="not trusted"):
            project.register(name, folder)
    trust = ["model.trust=pickle"] if trusted else []
    report = project.register(name, folder, *trust)
    assert (report.format, report.trust) == (
        format,
        "pickle" if trusted else "none",
    ) and column in report.outputs
    if trusted:
        with pytest.raises(ModelError, match="needs trust: pickle"):
            batchinfer.predict(FRAME, f"models:/{name}@champion")
        with pytest.raises(ModelError, match="needs trust: pickle"):
            resolve_model(project.context(name))
        assert resolve_model(project.context(name, *trust)).ref.version == "1"
    found = batchinfer.predict(
        FRAME, f"models:/{name}@champion", trust="pickle" if trusted else "none"
    )
    assert found["error"].isna().all()
    np.testing.assert_allclose(found[column], expected(), rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_an_mlflow_model_of_the_registry_is_fetched_by_its_uri(
    project: Project, tmp_path: Path
) -> None:
    import mlflow
    import onnx

    context = project.context("uri")
    mlflow.set_tracking_uri(context.environment.registry)
    mlflow.set_registry_uri(context.environment.registry)
    path = save_linear_onnx(tmp_path / "sum.onnx", {"x": 3})
    with mlflow.start_run() as run:
        mlflow.onnx.log_model(onnx.load(str(path)), name="model", registered_model_name="elsewhere")
    assert register_model(context, "models:/elsewhere/1").format == "onnx"
    assert register_model(context, f"runs:/{run.info.run_id}/model").model_version == "2"
    for uri in (
        "models:/elsewhere/9",
        "models:/nowhere/1",
        "runs:/0123456789abcdef0123456789abcdef/model",
    ):
        with pytest.raises(ModelError, match="no such model"):
            register_model(context, uri)
    with pytest.raises(ModelError, match="is a bundle already"):
        register_model(context, "models:/uri/1")


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
    assert resolve_model(project.context("after", **how)).ref.version == "1"
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
    assert caught.value.hint is not None and "batchinfer train -p fitted" in caught.value.hint
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

    from batchinfer.models.feeds import feed_from_transforms
    from batchinfer.models.formats.artifact import ModelInput, TensorProgram
    from batchinfer.models.probing import probe
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


def test_vectors_count_with_their_length(project: Project, tmp_path: Path) -> None:
    schema = "{id: int, a: double, v: array<double>}"
    how = {"schema": schema, "features": ""}
    file = project.root / "conf" / "pipelines" / "vector.yaml"
    file.write_text(
        Path(project.pipeline("vector", **how))
        .read_text()
        .replace('train: {target: {column: y, positive: ["yes", "1"]}}\n', "")
    )
    file.write_text(
        file.read_text().replace("kind: csv", "kind: json").replace("in/*.csv", "in/*.json")
    )
    from batchinfer.pipeline.definition.context import Context

    report = register_model(
        Context.open(str(file)), str(save_linear_onnx(tmp_path / "sum.onnx", {"x": 4}))
    )
    assert report.inputs == {"a": "double", "v": "array<double>"}
    frame = pd.DataFrame({"a": [1.0, 2.0], "v": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]})
    assert list(batchinfer.predict(frame, "models:/vector@champion")["prediction"]) == [7.0, 17.0]


def test_a_bundle_says_what_it_holds_and_is_refused_when_a_byte_differs(
    project: Project, tmp_path: Path
) -> None:
    path = save_linear_onnx(tmp_path / "sum.onnx", {"x": 3})
    report = show_register(project.register("facts", path))
    context = project.context("facts")
    resolved = resolve_model(context)
    assert resolved.manifest["artifact"] == {
        "format": "onnx", "file": "model.onnx", "trust": "none",
        "packages": resolved.manifest["artifact"]["packages"],
    }  # fmt: skip
    assert set(resolved.manifest["artifact"]["packages"]) == {"onnx", "onnxruntime"}
    assert resolved.ref.digest == report.bundle_digest
    data = bytearray((resolved.folder / "model.onnx").read_bytes())
    data[-1] ^= 1
    (resolved.folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx: got sha256"):
        read_bundle(resolved.folder)
