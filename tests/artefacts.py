"""Models as people bring them, honest and hostile, made with the real libraries."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

COLUMNS = ("a", "b", "c")
ROWS = torch.export.Dim("rows")


class Net(torch.nn.Module):
    """Three numbers in, `outputs` numbers out."""

    def __init__(self, features: int = 3, outputs: int = 1) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(features, 4), torch.nn.Tanh(), torch.nn.Linear(4, outputs)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


def a_net(outputs: int = 1) -> Net:
    torch.manual_seed(outputs)
    return Net(3, outputs).eval()


def a_frame(rows: int = 7) -> pd.DataFrame:
    numbers = np.random.default_rng(5).normal(size=(rows, 3))
    return pd.DataFrame(numbers, columns=list(COLUMNS)).assign(
        kind=["x", "y"] * (rows // 2) + ["x"] * (rows % 2)
    )


def save_program(
    path: Path, module: torch.nn.Module, *examples: torch.Tensor, dynamic: bool = True
) -> Path:
    shapes = tuple({0: ROWS} for _ in examples) if dynamic else None
    torch.export.save(torch.export.export(module, examples, dynamic_shapes=shapes), path)
    return path


def save_script(path: Path, module: torch.nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch would rather have torch.export
        torch.jit.save(torch.jit.script(module), str(path))
    return path


def rewritten(source: Path, target: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A zip archive with other members; their names are changed below the top folder."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].partition("/")[0]
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{root}/{name}", data)
    return target


def changed_json(members: dict[str, bytes], name: str, change: Callable[[Any], None]) -> None:
    value = json.loads(members[name])
    change(value)
    members[name] = json.dumps(value).encode()


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def hostile_torch_pickle(marker: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"x": Payload(marker)}, buffer)
    return buffer.getvalue()


def hostile_pickle(marker: Path) -> bytes:
    return pickle.dumps(Payload(marker))


def save_linear_onnx(path: Path, names: Mapping[str, int], kind: str = "float") -> Path:
    """The sum of all inputs' values, as (rows, 1)."""
    import onnx
    from onnx import helper

    type_ = onnx.TensorProto.FLOAT if kind == "float" else onnx.TensorProto.DOUBLE
    inputs = [
        helper.make_tensor_value_info(name, type_, ["rows", width]) for name, width in names.items()
    ]
    nodes = [
        helper.make_node("Concat", list(names), ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axis"], ["sum"], keepdims=1),
    ]
    axis = onnx.numpy_helper.from_array(np.array([1], np.int64), "axis")
    output = helper.make_tensor_value_info("sum", type_, ["rows", 1])
    graph = helper.make_graph(nodes, "sum", inputs, [output], [axis])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10),
        str(path),
    )
    return path
