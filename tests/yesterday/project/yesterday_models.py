"""Models of the project's own: networks, and a handler. Bundles hold the digest of this file."""

from __future__ import annotations

import os
from typing import Any

import pyarrow as pa
import torch

import batchinfer


class Line(torch.nn.Module):
    """A bent sum, without a layer of PyTorch: what is saved would name the files of those."""

    def __init__(self, features: int = 3, outputs: int = 1) -> None:
        super().__init__()
        weights = torch.linspace(-1.0, 1.0, features * outputs).reshape(features, outputs)
        self.weight = torch.nn.Parameter(weights)
        self.bias = torch.nn.Parameter(torch.full((outputs,), 0.25))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.tanh(features @ self.weight) + self.bias


class Refusing(Line):
    """The same, but for rows above the number that YESTERDAY_REFUSES holds, where there is one."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        above = float(os.environ.get("YESTERDAY_REFUSES", "inf"))
        if not self.training and bool((features[:, 0] > above).any()):
            raise ValueError(f"a size above {above} is too large for me")
        return super().forward(features)


class Paths(batchinfer.Handler):
    """What a request weighs: a tenth of the length of its path, and whether it went well."""

    output = {"weight": "double", "fine": "boolean"}  # noqa: RUF012

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        return {name: batch.column(name).to_pylist() for name in ("path", "status")}

    def forward(self, tensors: dict[str, Any]) -> Any:
        return [
            (len(path) / 10 + 0.04, status < 400)
            for path, status in zip(tensors["path"], tensors["status"], strict=True)
        ]

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return {
            "weight": pa.array([weight for weight, _ in output], pa.float64()),
            "fine": pa.array([fine for _, fine in output], pa.bool_()),
        }
