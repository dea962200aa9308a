"""Pickled models: loading one runs whatever its author put into it, so none is loaded without
`trust: pickle`.

Owns the one place where something is unpickled.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from batchinfer.errors import ModelError
from batchinfer.models.formats import archives, pickles
from batchinfer.models.formats.artifact import (
    TRUST_HINT,
    ForeignModule,
    ModelInput,
    TensorProgram,
    Trust,
)


def check_pickle(data: bytes, trust: Trust) -> None:
    """Refuses every pickle that is not trusted, and says what it would import.

    Runs on: driver and executor.

    Raises:
        ModelError: it is not trusted.
    """
    if trust == "pickle":
        return
    content = data
    if data.startswith(archives.MAGIC):
        members = archives.without_root(archives.read_members(data))
        content = members.get("data.pkl", b"")
    raise ModelError(
        f"the file is a pickle, which is not trusted: {pickles.described(content)}", TRUST_HINT
    )


def open_pickle(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """The pickled PyTorch module or scikit-learn estimator as a module, if it is trusted.

    Runs on: driver and executor.

    Raises:
        ModelError: it is not trusted, cannot be unpickled here, or is neither of the two.
    """
    from batchinfer.models.formats.estimator_predictor import EstimatorPredictor

    return _opened(data, device, trust, EstimatorPredictor)


def open_first_pickle(data: bytes, device: str, trust: Trust = "none") -> ForeignModule:
    """As `open_pickle`, asked as bundles of reading 1 ask."""
    from batchinfer.models.formats.estimators import EstimatorModule

    return _opened(data, device, trust, EstimatorModule)


def _opened(
    data: bytes, device: str, trust: Trust, of_estimator: Callable[[Any], ForeignModule]
) -> ForeignModule:
    model = read_pickle(data, device, trust)
    import torch

    if isinstance(model, torch.nn.Module):
        return _torch_module(model.to(device).eval())
    if isinstance(model, dict):
        raise ModelError(
            "the file holds weights without a network (a state_dict)",
            "Save them by safetensors.torch.save_file, with a JSON file beside that names the "
            "class: see docs/models.md",
        )
    if hasattr(model, "predict") or hasattr(model, "transform"):
        return of_estimator(model)
    raise ModelError(
        f"the file holds a {type(model).__name__}; allowed: a PyTorch module or a scikit-learn "
        "estimator"
    )


def read_pickle(data: bytes, device: str, trust: Trust) -> Any:
    """What was pickled, if it is trusted.

    Runs on: driver and executor.

    Raises:
        ModelError: it is not trusted, or cannot be unpickled here.
    """
    check_pickle(data, trust)
    return _unpickled(data, device)


def _unpickled(data: bytes, device: str) -> Any:
    try:
        if data.startswith(archives.MAGIC):
            import torch

            return torch.load(io.BytesIO(data), map_location=device, weights_only=False)
        try:
            import joblib
        except ImportError:
            return pickle.loads(data)  # noqa: S301 - the pipeline says trust: pickle
        return joblib.load(io.BytesIO(data))
    except Exception as error:  # a pickle may raise anything
        raise ModelError(f"the pickle cannot be loaded: {type(error).__name__}: {error}") from error


def _torch_module(model: Any) -> ForeignModule:
    import inspect

    inputs = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if (
            parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            or parameter.default is not parameter.empty
        ):
            continue
        inputs.append(ModelInput(parameter.name, _dtype(model), ranked=False))
    if not inputs:
        raise ModelError(f"{type(model).__name__}.forward takes no tensor; allowed: at least one")
    return TensorProgram(model, inputs)


def _dtype(model: Any) -> str:
    parameter = next((one for one in model.parameters() if one.is_floating_point()), None)
    return (
        "float64"
        if parameter is not None and str(parameter.dtype) == "torch.float64"
        else "float32"
    )
