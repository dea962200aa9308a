"""What is scored on a GPU: rows in Parquet, and the model, as every contender takes it.

A model is one class for all contenders: `encode` fills memory that the GPU can fetch by itself,
`forward` copies and computes and does not wait, `decode` reads back. Weights are random; what they
cost is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from batchinfer.models.handler import Handler, Regressor
from benchmarks.resnet import ResNet50
from benchmarks.workloads import NAMES, Net

TOKENS, WORDS = 128, 20_000
SIDE = 224
_PIXEL_BYTES = SIDE * SIDE * 3


class DeviceModel:
    """One way for all.

    Args:
        module: gives `(rows, n)`, of which the first value is the prediction.
        device: cpu or cuda.
        dtype: of the weights.
    """

    output: Mapping[str, str] = {"prediction": "double"}
    names: Sequence[str] = ()

    def __init__(self, module: torch.nn.Module, device: str, dtype: torch.dtype) -> None:
        self.module = module.eval().to(device, dtype)
        self.device, self.dtype = device, dtype

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory that the GPU copies from by itself, while this thread goes on; PyTorch keeps it
        for the next batch.
        """
        return torch.empty(shape, dtype=dtype, pin_memory=self.device == "cuda")

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        raise NotImplementedError

    def forward(self, tensors: dict[str, Any]) -> Any:
        with torch.inference_mode():
            return self.run(tensors["rows"].to(self.device, non_blocking=True))[:, 0]

    def run(self, rows: torch.Tensor) -> torch.Tensor:
        return self.module(rows)

    def decode(self, output: Any) -> dict[str, pa.Array]:
        return {"prediction": pa.array(output.double().cpu().numpy())}


class Tabular(DeviceModel):
    """64 float32 columns to the MLP; the matrix is filled column by column and turned on the
    device.
    """

    names = NAMES

    def __init__(self, device: str) -> None:
        torch.manual_seed(0)
        super().__init__(Net(), device, torch.float32)

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        matrix = self.pinned((len(NAMES), batch.num_rows), torch.float32)
        lines = matrix.numpy()
        for place, name in enumerate(NAMES):
            lines[place] = batch.column(name).to_numpy()
        return {"rows": matrix}

    def run(self, rows: torch.Tensor) -> torch.Tensor:
        return self.module(rows.T)


def built_in_tabular(device: str) -> Handler:
    """The same network by the handler that users get, which knows nothing of pinned memory."""
    torch.manual_seed(0)
    return Regressor(_Named(Net()).eval().to(device), columns=tuple(NAMES))


class _Named(torch.nn.Module):
    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.inner(features)


class EncoderNet(torch.nn.Module):
    """Twelve layers of width 768 with 12 heads, the mean over the tokens, one output: 100 million
    parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(WORDS, 768)
        self.place = torch.nn.Parameter(torch.randn(TOKENS, 768))
        layer = torch.nn.TransformerEncoderLayer(
            768, 12, 3072, dropout=0.0, activation="gelu", batch_first=True
        )
        self.layers = torch.nn.TransformerEncoder(layer, 12, enable_nested_tensor=False)
        self.out = torch.nn.Linear(768, 1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.layers(self.embed(tokens) + self.place).mean(dim=1))


class Encoder(DeviceModel):
    """128 int32 tokens in a list column to the encoder, in bfloat16."""

    names = ("tokens",)

    def __init__(self, device: str) -> None:
        torch.manual_seed(0)
        super().__init__(EncoderNet(), device, torch.bfloat16)

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        tokens = self.pinned((batch.num_rows, TOKENS), torch.int32)
        tokens.numpy()[:] = batch.column("tokens").flatten().to_numpy().reshape(-1, TOKENS)
        return {"rows": tokens}


class Pictures(DeviceModel):
    """224 x 224 x 3 bytes, as they lie in memory, to ResNet-50 in bfloat16; scaled on the
    device.
    """

    names = ("pixels",)

    def __init__(self, device: str) -> None:
        torch.manual_seed(0)
        super().__init__(ResNet50().to(memory_format=torch.channels_last), device, torch.bfloat16)

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        column = batch.column("pixels")
        start = column.offset * _PIXEL_BYTES
        stored = np.frombuffer(column.buffers()[1], np.uint8)[
            start : start + len(column) * _PIXEL_BYTES
        ]
        pixels = self.pinned((len(column), SIDE, SIDE, 3), torch.uint8)
        pixels.numpy()[:] = stored.reshape(len(column), SIDE, SIDE, 3)
        return {"rows": pixels}

    def run(self, rows: torch.Tensor) -> torch.Tensor:
        # Height, width, channels is what cuDNN calls channels last: nothing is moved.
        return self.module((rows.to(self.dtype) / 127.5 - 1).permute(0, 3, 1, 2))


@dataclass(frozen=True)
class Kind:
    """A sort of workload.

    Attributes:
        model: makes the model on a device.
        sizes: rows of a batch that the bare loop may choose from.
        tolerance: of predictions, as a share of the largest one: batches of other sizes are
            computed in another order.
        built_in: the same model by the package's own handler, where there is one.
    """

    model: Callable[[str], Any]
    sizes: tuple[int, ...]
    rows: int
    said: str
    make: Callable[[int, np.random.Generator], dict[str, Any]]
    group_rows: int
    tolerance: float
    built_in: Callable[[str], Any] | None = None


def write_input(folder: Path, kind: Kind, rows: int) -> Path:
    """One Parquet file with a key from 0 on; uncompressed, since random values are."""
    path, random = folder / "input.parquet", np.random.default_rng(0)
    writer = None
    for start in range(0, rows, kind.group_rows):
        count = min(kind.group_rows, rows - start)
        table = pa.table({"key": np.arange(start, start + count), **kind.make(count, random)})
        writer = writer or pq.ParquetWriter(
            path, table.schema, compression="none", use_dictionary=False, write_statistics=False
        )
        writer.write_table(table)
    if writer is not None:
        writer.close()
    return path


def _numbers(rows: int, random: np.random.Generator) -> dict[str, Any]:
    return {name: random.standard_normal(rows, dtype=np.float32) for name in NAMES}


def _tokens(rows: int, random: np.random.Generator) -> dict[str, Any]:
    offsets = np.arange(rows + 1, dtype=np.int32) * TOKENS
    return {
        "tokens": pa.ListArray.from_arrays(
            offsets, random.integers(1, WORDS, rows * TOKENS, dtype=np.int32)
        )
    }


def _pictures(rows: int, random: np.random.Generator) -> dict[str, Any]:
    data = pa.py_buffer(random.bytes(rows * _PIXEL_BYTES))
    return {
        "pixels": pa.FixedSizeBinaryArray.from_buffers(pa.binary(_PIXEL_BYTES), rows, [None, data])
    }


KINDS: dict[str, Kind] = {
    "tabular": Kind(
        Tabular,
        (8192, 32_768, 131_072),
        2_000_000,
        "rows x 64 float32, MLP 64-256-256-1",
        _numbers,
        131_072,
        1e-4,
        built_in_tabular,
    ),
    "encoder": Kind(
        Encoder,
        (64, 128, 256, 512),
        16_000,
        "rows of 128 tokens, transformer encoder of 100 M, bf16",
        _tokens,
        16_384,
        0.05,
    ),
    "pictures": Kind(
        Pictures,
        (64, 128, 256, 512),
        6_000,
        "pictures of 224 x 224, ResNet-50, bf16",
        _pictures,
        500,
        0.05,
    ),
}
