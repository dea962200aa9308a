"""MLflow's model folders: where the model itself lies in one, and the whole folder as a pyfunc
where it is trusted.

Owns the reading of `MLmodel`. A folder whose model is of a format that is safe by itself (ONNX,
torch.export, skops) counts as that file, with the input names of MLflow's signature; MLflow then
takes no part in loading it. Every other flavour loads through code or pickles that the folder
names, and needs `trust: pickle`. Runs nothing of the model in `check`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from batchinfer.errors import ModelError
from batchinfer.models.formats import archives
from batchinfer.models.formats.artifact import TRUST_HINT, ForeignModule, Predictor, Trust
from batchinfer.scratch import process_folder

MLMODEL = "MLmodel"
_MOST_BYTES = 16 * 2**30
# Loader and, by the flavour's own key, the file that holds the model.
_PLAIN = {
    "mlflow.onnx": ("onnx", "data"),
    "mlflow.pytorch": ("pytorch", "model_data"),
    "mlflow.sklearn": ("sklearn", "pickled_model"),
    "mlflow.xgboost": ("xgboost", "data"),
    "mlflow.lightgbm": ("lightgbm", "data"),
    "mlflow.catboost": ("catboost", "data"),
}
# Of LightGBM, anything but a booster is a pickle or a skops file.
_LIGHTGBM_BOOSTER = "lightgbm.basic.Booster"


def read_folder(folder: Path) -> dict[str, bytes]:
    """All files of a model folder by their names below it.

    Runs on: driver.

    Raises:
        ModelError: a link or another thing that is no plain file, or more bytes than a bundle may
            hold.
    """
    files: dict[str, bytes] = {}
    total = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ModelError(f"{path}: not a plain file; allowed: a model folder of plain files")
        if path.is_file():
            total += path.stat().st_size
            if total > _MOST_BYTES:
                raise ModelError(
                    f"{folder}: more than {_MOST_BYTES:,} bytes; allowed: the folder of one model"
                )
            files[path.relative_to(folder).as_posix()] = path.read_bytes()
    return files


def read_mlmodel(files: Mapping[str, bytes]) -> dict[str, Any]:
    """The folder's MLmodel.

    Raises:
        ModelError: it is damaged, or has no flavour that predicts.
    """
    try:
        described = yaml.safe_load(files[MLMODEL])
        loader = described["flavors"]["python_function"]["loader_module"]
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(
            f"{MLMODEL} is damaged, or the model has no flavour python_function: {error!r}"
        ) from error
    if not isinstance(loader, str):
        raise ModelError(
            f"{MLMODEL} is damaged: got the loader {loader!r}; allowed: the name of a module"
        )
    return described


def plain_file(files: Mapping[str, bytes], described: Mapping[str, Any]) -> bytes | None:
    """The model itself, where its flavour keeps it in one file that needs no code of the folder's;
    else None.
    """
    flavors = described["flavors"]
    flavor, key = _PLAIN.get(flavors["python_function"]["loader_module"], ("", ""))
    own = flavors.get(flavor)
    if not isinstance(own, dict) or own.get("code") or flavors["python_function"].get("code"):
        return None
    name = own.get(key)
    if flavor == "pytorch":
        name = f"{name}/model.pt2"
    if flavor == "lightgbm" and own.get("model_class", _LIGHTGBM_BOOSTER) != _LIGHTGBM_BOOSTER:
        return None
    if flavor == "sklearn" and own.get("serialization_format") != "skops":
        return None
    return files.get(name) if isinstance(name, str) else None


def input_names(described: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the columns of MLflow's signature; none where it has no names."""
    try:
        columns = json.loads(described["signature"]["inputs"])
        names = tuple(str(column["name"]) for column in columns)
    except (KeyError, TypeError, ValueError):
        return ()
    return names


# Spark SQL's names of the types of MLflow's signatures; others are left to MLflow.
_SIGNATURE_TYPES = {
    "boolean": "boolean",
    "integer": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
}


def signature_types(described: Mapping[str, Any]) -> dict[str, str]:
    """Spark SQL types of the columns of MLflow's signature, of those that are plain values."""
    try:
        columns = json.loads(described["signature"]["inputs"])
        return {
            str(column["name"]): _SIGNATURE_TYPES[column["type"]]
            for column in columns
            if column.get("type") in _SIGNATURE_TYPES
        }
    except (KeyError, TypeError, ValueError):
        return {}


def check_pyfunc(data: bytes, trust: Trust) -> dict[str, bytes]:
    """The files of a packed model folder, if it is trusted.

    Runs on: driver and executor.

    Raises:
        ModelError: it is not trusted, or damaged.
    """
    files = archives.read_members(data)
    described = read_mlmodel(files)
    if trust != "pickle":
        function = described["flavors"]["python_function"]
        code = " and code of its own" if function.get("code") else ""
        raise ModelError(
            f"the MLflow model is loaded by {function['loader_module']}, through pickles or "
            f"classes that its folder names{code}, "
            "which is not trusted; allowed: the flavours onnx, pytorch (as pt2), sklearn (as "
            "skops), xgboost, lightgbm (a Booster) and catboost, without code_paths",
            TRUST_HINT,
        )
    return files


def open_pyfunc(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The model as a module, loaded by MLflow, if it is trusted. Runs on: driver and executor.

    Raises:
        ModelError: as `read_pyfunc`.
    """
    model, described = read_pyfunc(data, trust)
    return PyfuncPredictor(model, input_names(described), signature_types(described))


def open_first_pyfunc(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """As `open_pyfunc`, asked as bundles of reading 1 ask."""
    model, described = read_pyfunc(data, trust)
    return PyfuncModule(model, input_names(described))


def read_pyfunc(data: bytes, trust: Trust) -> tuple[Any, dict[str, Any]]:
    """The model as MLflow loads it, if it is trusted, and its MLmodel.

    Runs on: driver and executor.

    Raises:
        ModelError: it is not trusted, or MLflow cannot load it.
    """
    files = check_pyfunc(data, trust)
    # MLflow loads from folders only, and models may read their files later; the folder lives as
    # long as the process.
    folder = process_folder("mlflow")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.pyfunc

    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except Exception as error:  # whatever the model's own code raises
        raise ModelError(
            f"MLflow cannot load this model: {type(error).__name__}: {error}"
        ) from error
    return model, read_mlmodel(files)


# fmt: off
class PyfuncModule(ForeignModule):
    """A pyfunc model: a frame of the columns of its signature in, whatever `predict` gives out, as a frame."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__((), names, (), "columns")
        self._model = model

    def forward(self, **inputs: Any) -> Any:
        """`frame`, a pandas frame -> a pandas frame, numbers alone under `prediction`. Runs on: driver and executor."""
        import numpy as np
        import pandas as pd

        frame = inputs["frame"]
        output: Any = self._model.predict(frame)
        if isinstance(output, pd.DataFrame):
            return output.reset_index(drop=True)
        if isinstance(output, dict) and all(np.ndim(one) for one in output.values()):
            return pd.DataFrame({name: list(one) for name, one in output.items()})
        values = output.detach().cpu().numpy() if isinstance(output, torch.Tensor) else np.asarray(output)
        flat = values.reshape(len(values)) if values.ndim and values.size == len(values) else list(values.reshape(len(frame), -1))
        return pd.DataFrame({"prediction": flat})


class PyfuncPredictor(Predictor):
    """A pyfunc model: a frame of the columns of its signature in, whatever `predict` gives for each row out, as a frame."""

    def __init__(self, model: Any, names: tuple[str, ...], types: Mapping[str, str]) -> None:
        super().__init__((), names, (), "columns", casts=types)
        self._model = model

    def forward(self, **inputs: Any) -> Any:
        """`frame`, a pandas frame -> a pandas frame, numbers alone under `prediction`. Runs on: driver and executor.

        Raises:
            ModelError: rows under another index than those that went in.
        """
        return predicted_frame(self._model.predict(inputs["frame"]), len(inputs["frame"]))
# fmt: on


def predicted_frame(output: Any, rows: int) -> Any:
    """What a pyfunc gave as a pandas frame, a row for each row that went in, in their order.

    A frame or series whose index is a permutation of the rows' numbers is put back into their
    order. Runs on: driver and executor.

    Raises:
        ModelError: another index, or another number of rows: nobody could say which row is which.
    """
    import numpy as np
    import pandas as pd

    if isinstance(output, pd.Series):
        output = output.to_frame("prediction")
    if isinstance(output, pd.DataFrame):
        if len(output) != rows:
            raise ModelError(
                f"the model gave {len(output)} rows for {rows}; allowed: one for each row"
            )
        index = output.index
        if index.equals(pd.RangeIndex(rows)):
            return output
        if not (index.is_unique and index.isin(range(rows)).all()):
            shown = ", ".join(map(repr, index[:3].tolist()))
            raise ModelError(
                f"the model gave rows under an index of its own ({shown}, …): which row is which "
                f"cannot be told; allowed: the index of the frame that it is given (0 to "
                f"{rows - 1}), in any order",
            )
        return output.reindex(range(rows))
    if isinstance(output, dict) and all(np.ndim(one) for one in output.values()):
        return pd.DataFrame({name: list(one) for name, one in output.items()})
    values = (
        output.detach().cpu().numpy() if isinstance(output, torch.Tensor) else np.asarray(output)
    )
    if not values.ndim or len(values) != rows:
        raise ModelError(
            f"the model gave an output of shape {values.shape} for {rows} rows; allowed: one "
            "prediction for each row"
        )
    flat = values.reshape(rows) if values.size == rows else list(values.reshape(rows, -1))
    return pd.DataFrame({"prediction": flat})
