"""`register`: whatever a model was saved as, its bundle scores as the model itself does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from artefacts import COLUMNS, a_net, save_linear_onnx, save_program, save_script
from registrations import EXAMPLE, FRAME, Project

import batchinfer
from batchinfer.errors import ModelError
from batchinfer.models.bundle import read_bundle
from batchinfer.pipeline.models import model_versions
from batchinfer.pipeline.register import register_model
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns
from batchinfer.show import show_models, show_register

from .registered import net_output


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
    resolved = resolve_model(TableColumns(context))
    assert resolved.manifest["artifact"] == {
        "format": "onnx", "file": "model.onnx", "trust": "none",
        "packages": resolved.manifest["artifact"]["packages"], "reading": 2,
    }  # fmt: skip
    assert set(resolved.manifest["artifact"]["packages"]) == {"onnx", "onnxruntime"}
    assert resolved.ref.digest == report.bundle_digest
    data = bytearray((resolved.folder / "model.onnx").read_bytes())
    data[-1] ^= 1
    (resolved.folder / "model.onnx").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.onnx: got sha256"):
        read_bundle(resolved.folder)
