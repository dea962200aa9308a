"""The formats by name: the file that a bundle keeps a model in, what it needs, and how it is
opened.

Owns the list. A new format is a module beside this one, and a line here and in `recognition`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from batchinfer.config.suggestions import among
from batchinfer.errors import ModelError

if TYPE_CHECKING:
    from batchinfer.models.formats.artifact import ForeignModule, Trust
    from batchinfer.models.formats.home import Home

PICKLE = "pickle"
MLFLOW = "mlflow"
XGBOOST, LIGHTGBM, CATBOOST = "xgboost", "lightgbm", "catboost"
# How an artefact is asked. 1: labels are the likeliest class, a missing value in a frame is NaN;
# 2: the model's own words. A bundle's manifest says which it was registered with.
READING = 2


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: what people call it.
        file: its name in a bundle.
        suffixes: of files that are so named.
        opener: `module:function` of (bytes, device, trust).
        packages: distributions that open it, whose versions stand in the manifest.
        first_opener: the same for bundles of reading 1, which score as they did when they were
            registered; empty: nothing has changed since.
        home: `module:function` of (bytes, trust) -> `home.Home`, the model in its own library.
    """

    title: str
    file: str
    suffixes: tuple[str, ...]
    opener: str
    packages: tuple[str, ...]
    first_opener: str = ""
    home: str = ""


_HERE = "batchinfer.models.formats."
_TREES = f"{_HERE}boosting."
FORMATS: Mapping[str, Format] = {
    "torch.export": Format("a torch.export program", "program.pt2", (".pt2",),
    f"{_HERE}torch_export:open_program", ("torch",), home=f"{_HERE}home:export_at_home"),
    "torchscript": Format(
        "TorchScript", "scripted.pt", (".pt", ".ts", ".pth"),
        f"{_HERE}torchscript:open_torchscript", ("torch",), home=f"{_HERE}home:script_at_home"
    ),
    "onnx": Format("an ONNX model", "model.onnx", (".onnx",), f"{_HERE}onnx_model:open_onnx",
    ("onnx", "onnxruntime"), f"{_HERE}onnx_model:open_first_onnx", f"{_HERE}home:onnx_at_home"),
    "skops": Format("a skops file", "model.skops", (".skops",), f"{_HERE}skops_model:open_skops",
    ("skops", "scikit-learn"), f"{_HERE}skops_model:open_first_skops",
    f"{_HERE}home:skops_at_home"),
    PICKLE: Format(
        "a pickle", "model.pickle", (".pkl", ".pickle", ".joblib", ".pt", ".pth"),
        f"{_HERE}pickled:open_pickle",
        ("torch", "scikit-learn"), f"{_HERE}pickled:open_first_pickle",
        f"{_HERE}home:pickle_at_home",
    ),
    MLFLOW: Format("an MLflow model", "mlflow.zip", (), f"{_HERE}mlflow_model:open_pyfunc",
    ("mlflow",), f"{_HERE}mlflow_model:open_first_pyfunc", f"{_HERE}home:pyfunc_at_home"),
    XGBOOST: Format("an XGBoost model", "model.xgboost", (".json", ".ubj"),
    f"{_TREES}xgboost_model:open_xgboost", ("xgboost",),
    home=f"{_TREES}trees_at_home:xgboost_at_home"),
    LIGHTGBM: Format("a LightGBM model", "model.lightgbm", (".txt",),
    f"{_TREES}lightgbm_model:open_lightgbm", ("lightgbm",),
    home=f"{_TREES}trees_at_home:lightgbm_at_home"),
    CATBOOST: Format("a CatBoost model", "model.catboost", (".cbm", ".json"),
    f"{_TREES}catboost_model:open_catboost", ("catboost",),
    home=f"{_TREES}trees_at_home:catboost_at_home"),
}  # fmt: skip


def open_artifact(
    format: str, data: bytes, device: str, trust: Trust, reading: int = READING
) -> ForeignModule:
    """Checks an artefact, and loads the very bytes that were checked.

    Args:
        reading: how it is asked, as the bundle's manifest says.

    Runs on: driver and executor.

    Raises:
        ModelError: damaged, not trusted, or not to be run here.
        SetupError: a package that the format needs is not installed.
    """
    if format not in FORMATS:
        raise ModelError(f"format: {among(format, FORMATS)}")
    found = FORMATS[format]
    place = found.first_opener if reading < READING and found.first_opener else found.opener
    module, _, name = place.partition(":")
    opener: Callable[[bytes, str, Any], ForeignModule] = getattr(import_module(module), name)
    return opener(data, device, trust)


def open_at_home(format: str, data: bytes, trust: Trust) -> Home:
    """The model in its own library, after the same checks.

    Runs on: driver.

    Raises:
        ModelError, SetupError: as `open_artifact`.
    """
    module, _, name = FORMATS[format].home.partition(":")
    return getattr(import_module(module), name)(data, trust)


def needed_trust(format: str, data: bytes) -> Trust:
    """What a run that loads this artefact has to trust. Loads nothing.

    Runs on: driver.
    """
    if format == "skops":
        from batchinfer.models.formats.skops_model import needs_trust

        return "pickle" if needs_trust(data) else "none"
    return "pickle" if format in (PICKLE, MLFLOW) else "none"
