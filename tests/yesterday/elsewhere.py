"""Models trained elsewhere, one of each format, as files that `register` takes."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("a", "b", "c")


def _numbers(rows: int = 30) -> np.ndarray:
    return np.random.default_rng(11).normal(size=(rows, 3))


def _save_program(folder: Path) -> Path:
    import torch
    from yesterday_models import Line

    rows = {0: torch.export.Dim("rows")}
    program = torch.export.export(Line(3, 1).eval(), (torch.zeros(4, 3),), dynamic_shapes=(rows,))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of the machine that it was made on
    torch.export.save(program, folder / "net.pt2")
    return folder / "net.pt2"


def _save_script(folder: Path) -> Path:
    import torch
    from yesterday_models import Line

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have torch.export
        torch.jit.save(torch.jit.script(Line(3, 2).eval()), str(folder / "net.pt"))
    return folder / "net.pt"


def _save_sum(path: Path, width: int) -> Path:
    import onnx
    from onnx import helper

    numbers = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axis"], ["sum"], keepdims=1)],
        "sum",
        [helper.make_tensor_value_info("x", numbers, ["rows", width])],
        [helper.make_tensor_value_info("sum", numbers, ["rows", 1])],
        [onnx.numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))
    return path


def save_order_sum(folder: Path) -> Path:
    """The one number of an order."""
    return _save_sum(folder / "order.onnx", 1)


def _save_onnx(folder: Path) -> Path:
    return _save_sum(folder / "sum.onnx", 3)


def _classifier() -> Any:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    numbers = _numbers()
    frame = pd.DataFrame(numbers, columns=list(COLUMNS))
    return LogisticRegression().fit(
        frame, ["yes" if one > 0 else "no" for one in numbers.sum(axis=1)]
    )


def _regression() -> Any:
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    numbers = _numbers()
    return LinearRegression().fit(
        pd.DataFrame(numbers, columns=list(COLUMNS)), numbers @ [1.0, 2.0, 3.0] + 4
    )


def _save_skops(folder: Path) -> Path:
    import skops.io

    skops.io.dump(_classifier(), folder / "model.skops")
    return folder / "model.skops"


def _save_weights(folder: Path) -> Path:
    import safetensors.torch
    from yesterday_models import Line

    weights = Line(3, 4).state_dict()
    safetensors.torch.save_file(weights, str(folder / "weights.safetensors"))
    described = {"class": "yesterday_models:Line", "arguments": {"features": 3, "outputs": 4}}
    (folder / "weights.json").write_text(json.dumps(described))
    return folder / "weights.safetensors"


def _save_pickle(folder: Path) -> Path:
    (folder / "model.pkl").write_bytes(pickle.dumps(_regression(), protocol=4))
    return folder / "model.pkl"


def _save_mlflow(folder: Path, name: str, model: Any, form: str) -> Path:
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    frame = pd.DataFrame(_numbers(), columns=list(COLUMNS))
    signature = infer_signature(frame, model.predict(frame))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow on its own formats
        mlflow.sklearn.save_model(
            model,
            folder / name,
            serialization_format=form,
            signature=signature,
            pip_requirements=["scikit-learn"],
        )
    return folder / name


def _save_flavour(folder: Path) -> Path:
    return _save_mlflow(folder, "flavour", _classifier(), "skops")


def _save_pyfunc(folder: Path) -> Path:
    return _save_mlflow(folder, "pyfunc", _regression(), "cloudpickle")


# Pipeline -> how its model is saved; those at the end need trust.
FLOWERS: Mapping[str, Callable[[Path], Path]] = {
    "flowers_program": _save_program,
    "flowers_script": _save_script,
    "flowers_onnx": _save_onnx,
    "flowers_skops": _save_skops,
    "flowers_weights": _save_weights,
    "flowers_mlflow": _save_flavour,
    "flowers_pyfunc": _save_pyfunc,
    "flowers_pickle": _save_pickle,
}
TRUSTED = ("flowers_pyfunc", "flowers_pickle")
# Pipeline -> what its model's version is marked with today, each with the command that follows.
_LABEL = "label is the likeliest class, which need not be what the model's own predict says"
_ORDER = "rows that the model returns under another index are taken in the order in which they come"
_REGISTER = "batchinfer register -p {0} --artifact {1} --alias champion registers it anew"
_OUTDATED: Mapping[str, tuple[str, str]] = {
    "flowers_skops": (_LABEL, "model.skops"),
    "flowers_mlflow": (_LABEL, "flavour"),
    "flowers_pyfunc": (_ORDER, "pyfunc"),
}


def outdated_words(pipeline: str, file: object) -> list[str]:
    """What is said of a version of an earlier build, where the pipeline is asked for by its file;
    nothing of most.
    """
    return [
        f"{fact}; {_REGISTER.format(file, artifact)}"
        for name, (fact, artifact) in _OUTDATED.items()
        if name == pipeline
    ]
