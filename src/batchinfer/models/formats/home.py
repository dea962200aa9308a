"""What a model's own library says, called directly, as its user would: nothing of ours between the
rows and the answer.

Owns how each library is asked. A format's line in the catalogue names its function here.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from batchinfer.models.elsewhere.comparison import Answers
from batchinfer.models.formats.artifact import Trust, only_tensor

_ROUNDING_32, _ROUNDING_64 = 1e-5, 1e-9


@dataclass(frozen=True)
class Home:
    """A model in its own library.

    Attributes:
        against: the library and its version.
        tolerance: of a difference, relative to 1 + the number's size: what rounding in the model's
            own type may do.
        ask: the model's inputs by name (`frame` a pandas frame; else NumPy arrays) -> its answers.
        names: of the columns that it takes, where it knows them; else none.
    """

    against: str
    tolerance: float
    ask: Callable[[Mapping[str, Any]], Answers]
    names: tuple[str, ...] = ()


def skops_at_home(data: bytes, trust: Trust) -> Home:
    """The estimator of a skops file. Runs on: driver."""
    from batchinfer.models.formats.skops_model import read_estimator

    return estimator_at_home(read_estimator(data, trust))


def pickle_at_home(data: bytes, trust: Trust) -> Home:
    """The estimator or PyTorch module of a pickle. Runs on: driver."""
    import torch

    from batchinfer.models.formats.pickled import read_pickle

    model = read_pickle(data, "cpu", trust)
    return module_at_home(model) if isinstance(model, torch.nn.Module) else estimator_at_home(model)


def estimator_at_home(estimator: Any) -> Home:
    """A fitted estimator: `predict`, and `predict_proba` where there is one."""

    def ask(inputs: Mapping[str, Any]) -> Answers:
        rows = next(iter(inputs.values()))
        if not hasattr(estimator, "predict"):
            made = estimator.transform(rows)
            return Answers(numbers=_numbers(made.toarray() if hasattr(made, "toarray") else made))
        said = np.asarray(estimator.predict(rows))
        if getattr(estimator, "classes_", None) is None:
            return Answers(numbers=_numbers(said))
        scores = (
            _numbers(estimator.predict_proba(rows)) if hasattr(estimator, "predict_proba") else None
        )
        return Answers(_texts(said), scores)

    names: Any = getattr(estimator, "feature_names_in_", ())
    version = importlib.metadata.version("scikit-learn")
    return Home(f"scikit-learn {version}", _ROUNDING_64, ask, tuple(str(name) for name in names))


def with_gaps(home: Home, number: float, type_: str) -> Home:
    """The same model, asked by a user who puts NaN where this number stands.

    Args:
        type_: in which the model compares numbers.
    """

    def gaps(rows: Any) -> Any:
        there = rows.astype(type_) == np.dtype(type_).type(number)
        if isinstance(rows, np.ndarray):
            return np.where(there, np.nan, rows)
        return rows.mask(there)

    def ask(inputs: Mapping[str, Any]) -> Answers:
        return home.ask({name: gaps(rows) for name, rows in inputs.items()})

    return replace(home, ask=ask)


def onnx_at_home(data: bytes, trust: Trust) -> Home:
    """An ONNX model, in a session of its own with default options. Runs on: driver."""
    import onnxruntime

    from batchinfer.models.formats.onnx_model import check_onnx

    check_onnx(data)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def ask(inputs: Mapping[str, Any]) -> Answers:
        labels = numbers = None
        outputs: Any = session.run(None, dict(inputs))
        for output in outputs:
            if isinstance(output, list):
                numbers = _numbers([list(row.values()) for row in output])
            elif output.dtype.kind in "OUS" or (output.dtype.kind == "i" and _two(session)):
                labels = _texts(output)
            else:
                numbers = _numbers(output)
        return Answers(labels, numbers)

    return Home(f"onnxruntime {onnxruntime.__version__}", _ROUNDING_32, ask)


def _two(session: Any) -> bool:
    return len(session.get_outputs()) == 2


def export_at_home(data: bytes, trust: Trust) -> Home:
    """A torch.export program. Runs on: driver."""
    from batchinfer.models.formats.torch_export import open_program

    return module_at_home(open_program(data, "cpu", trust))


def script_at_home(data: bytes, trust: Trust) -> Home:
    """A TorchScript module. Runs on: driver."""
    from batchinfer.models.formats.torchscript import open_torchscript

    return module_at_home(open_torchscript(data, "cpu", trust))


def module_at_home(module: Any) -> Home:
    """A PyTorch module in eval mode, called with its inputs by name."""
    import torch

    def ask(inputs: Mapping[str, Any]) -> Answers:
        with torch.no_grad():
            output = only_tensor(
                module(**{name: torch.as_tensor(one) for name, one in inputs.items()})
            )
        return Answers(numbers=_numbers(output.to(torch.float64).numpy()))

    return Home(f"PyTorch {torch.__version__}", _ROUNDING_32, ask)


def pyfunc_at_home(data: bytes, trust: Trust) -> Home:
    """An MLflow model as a python_function. Runs on: driver."""
    import pandas as pd

    from batchinfer.models.formats.mlflow_model import input_names, read_pyfunc

    model, described = read_pyfunc(data, trust)

    def ask(inputs: Mapping[str, Any]) -> Answers:
        rows = inputs["frame"]
        output: Any = model.predict(rows)
        if isinstance(output, pd.Series):
            output = output.to_frame("prediction")
        elif isinstance(output, dict):
            output = pd.DataFrame(output)
        elif not isinstance(output, pd.DataFrame):
            values = np.asarray(output)
            flat = values.reshape(len(rows)) if values.size == len(rows) else values
            output = pd.DataFrame({"prediction": list(flat)})
        # By the rows' own index: that is how its user knows them apart.
        return frame_answers(output.loc[rows.index])

    version = importlib.metadata.version("mlflow")
    return Home(f"mlflow {version}", _ROUNDING_32, ask, input_names(described))


def frame_answers(frame: Any) -> Answers:
    """The columns of a pandas frame as answers: numbers side by side, texts by their names."""
    numbers: list[np.ndarray] = []
    texts: dict[str, np.ndarray] = {}
    for name in frame.columns:
        values = frame[name]
        if values.dtype.kind in "iufb":
            numbers.append(values.to_numpy(np.float64).reshape(-1, 1))
        elif len(values) and np.ndim(values.iloc[0]) == 1 and _all_numbers(values.iloc[0]):
            numbers.append(np.stack([np.asarray(one, np.float64) for one in values]))
        else:
            texts[str(name)] = np.array([str(value) for value in values], object)
    return Answers(None, np.concatenate(numbers, axis=1) if numbers else None, texts)


def _all_numbers(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iufb"


def _numbers(values: Any) -> np.ndarray:
    array = np.asarray(values, np.float64)
    return array.reshape(len(array), -1)


def _texts(labels: Any) -> np.ndarray:
    return np.array([str(label) for label in np.asarray(labels).reshape(-1).tolist()], object)
