"""Models on a device with known faults, their rows, and what a plain loop on the CPU makes of them.

A spawned child imports this module by its name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from batchinfer.models.handler import Handler, Regressor

ROWS = 1000
NAMES = tuple(f"f{place:02d}" for place in range(16))
# Sums of float32 in another order: of some hundred products, each of about one.
RTOL, ATOL = 1e-5, 1e-6
MIB = 2**20
_WORDS = 100


class Net(torch.nn.Module):
    """16-256-256-1 with ReLU; the same weights wherever it is made."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            linear, relu = torch.nn.Linear, torch.nn.ReLU
            self.layers = torch.nn.Sequential(
                linear(16, 256), relu(), linear(256, 256), relu(), linear(256, 1)
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


def feature_table(rows: int) -> pa.RecordBatch:
    """`key` int64 from 0 on, and 16 float32 columns."""
    random = np.random.default_rng(0)
    columns = {name: random.standard_normal(rows, dtype=np.float32) for name in NAMES}
    return pa.RecordBatch.from_pydict({"key": np.arange(rows), **columns})


def plain_loop(table: pa.RecordBatch) -> np.ndarray:
    """Predictions of the network on the CPU, `(rows,) float64`, 100 rows at a time."""
    net, features = (
        Net().eval(),
        np.stack([table.column(name).to_numpy() for name in NAMES], axis=1),
    )
    with torch.inference_mode():
        parts = [
            net(torch.from_numpy(features[start : start + 100]))
            for start in range(0, len(features), 100)
        ]
    return torch.cat(parts)[:, 0].double().numpy()


class OnDevice(Regressor):
    """The network on a device, by the handler that users get; `calls` holds the rows of each
    forward pass.
    """

    def __init__(self, device: str) -> None:
        super().__init__(Net().eval().to(device), columns=NAMES)
        self.calls: list[int] = []

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        return super().encode(batch) | {
            "keys": torch.from_numpy(batch.column("key").to_numpy().copy())
        }

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        tensors = dict(tensors)
        keys = tensors.pop("keys")
        self.calls.append(len(keys))
        return self.fault(keys, super().forward(tensors))

    def fault(self, keys: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """What becomes of the output; `keys` are on the CPU."""
        return output


class Poisoned(OnDevice):
    """Raises in `forward` on batches that hold one of the keys."""

    def __init__(self, device: str, keys: Sequence[int]) -> None:
        super().__init__(device)
        self.keys = torch.tensor(keys)

    def fault(self, keys: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        bad = keys[torch.isin(keys, self.keys)].tolist()
        if bad:
            raise ValueError(f"cannot take {bad[0]}")
        return output


class NotFinite(Poisoned):
    """Gives NaN for the keys."""

    def fault(self, keys: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill(torch.isin(keys, self.keys).to(output.device)[:, None], torch.nan)


class Hungry(OnDevice):
    """Each row takes `row_bytes` of the device's memory while the model runs; on the CPU there is
    room for `room_bytes` of them.

    `held` is what the device had given out when each attempt began.
    """

    def __init__(self, device: str, row_bytes: int, room_bytes: int) -> None:
        super().__init__(device)
        self.device, self.row_bytes, self.room_bytes = device, row_bytes, room_bytes
        self.held: list[int] = []

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        self.held.append(given_out(self.device))
        return super().encode(batch)

    def fault(self, keys: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        if self.device == "cpu":
            if len(keys) * self.row_bytes > self.room_bytes:
                raise torch.OutOfMemoryError("CUDA out of memory, as if")
            return output
        scratch = torch.empty(
            (len(keys), self.row_bytes), dtype=torch.uint8, device=self.device
        ).fill_(1)
        return output * scratch[:, :1]


def given_out(device: str) -> int:
    """Bytes of the device's memory that tensors hold."""
    return 0 if device == "cpu" else torch.cuda.memory_allocated()


@contextlib.contextmanager
def room(device: str, room_bytes: int) -> Iterator[None]:
    """PyTorch may take so many bytes of the device more than it has now."""
    if device == "cpu":
        yield
        return
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + room_bytes) / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


class Lookup(Handler):
    """`prediction` = 2 x word, from an embedding of 100 words; a word that is not there ends the
    CUDA context.

    `forward` says nothing of it: the kernel fails later, by itself. On the CPU that is played:
    whatever is read back raises then.
    """

    output: Mapping[str, str] = {"prediction": "double"}

    def __init__(self, device: str) -> None:
        weights = 2.0 * torch.arange(_WORDS, dtype=torch.float32)[:, None]
        super().__init__(torch.nn.Embedding(_WORDS, 1, _weight=weights).eval().to(device))
        self.device, self.lost = device, False

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        return {"input": torch.from_numpy(batch.column("word").to_numpy().copy())}

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        if self.device == "cpu":
            self.lost = self.lost or bool((tensors["input"] >= _WORDS).any())
            tensors = {"input": tensors["input"].clamp(max=_WORDS - 1)}
        return super().forward(tensors)

    def decode(self, output: Any) -> dict[str, pa.Array]:
        if self.lost:
            raise RuntimeError("CUDA error: device-side assert triggered")
        return {"prediction": pa.array(output[:, 0].to("cpu", torch.float64).numpy())}


def word_table(words: Sequence[int]) -> pa.RecordBatch:
    """`key` int64 from 0 on, `word` int64."""
    return pa.RecordBatch.from_pydict(
        {"key": np.arange(len(words)), "word": np.array(words, np.int64)}
    )
