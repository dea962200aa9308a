"""`register` of MLflow's models: folders and URIs, trusted where that is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from artefacts import COLUMNS, a_net, save_linear_onnx
from registrations import FRAME, Project

import batchinfer
from batchinfer.errors import ModelError
from batchinfer.pipeline.register import register_model
from batchinfer.pipeline.scoring.resolved_inputs import resolve_model
from batchinfer.pipeline.slices.table_columns import TableColumns

from .registered import net_output


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
            resolve_model(TableColumns(project.context(name)))
        assert resolve_model(TableColumns(project.context(name, *trust))).ref.version == "1"
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
