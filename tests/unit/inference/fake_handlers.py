"""Small models with known faults, and what an undisturbed run of them gives."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from batchinfer import errors


class Doubling:
    """score = 2x + 1, label = even or odd. Raises, at the stage asked for, on batches that hold a
    poison value.

    Memory ends above `most_rows` rows. `calls` holds the number of rows of each forward pass.
    """

    output: Mapping[str, str] = {"score": "double", "label": "string"}

    def __init__(
        self, poison: Sequence[int] = (), stage: str = "forward", most_rows: int | None = None
    ) -> None:
        self.poison, self.stage, self.most_rows = set(poison), stage, most_rows
        self.calls: list[int] = []

    def _fault(self, stage: str, x: np.ndarray) -> None:
        if stage == self.stage and (bad := self.poison & set(x.tolist())):
            raise ValueError(f"cannot take {min(bad)}")

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        x = batch.column("x").to_numpy()
        self._fault("encode", x)
        return {"x": x}

    def forward(self, tensors: dict[str, Any]) -> Any:
        x = tensors["x"]
        self.calls.append(len(x))
        if self.most_rows is not None and len(x) > self.most_rows:
            raise MemoryError(f"no room for {len(x)} rows")
        self._fault("forward", x)
        return x

    def decode(self, output: Any) -> dict[str, pa.Array]:
        self._fault("decode", output)
        score = output * 2.0 + 1
        return {
            "score": pa.array(score),
            "label": pa.array(np.where(output % 2 == 0, "even", "odd")),
        }


class NotFinite(Doubling):
    """Gives NaN for the poison values, and infinity for those that are even."""

    def __init__(self, poison: Sequence[int]) -> None:
        super().__init__()
        self.bad = np.array(sorted(poison))

    def decode(self, output: Any) -> dict[str, pa.Array]:
        columns = super().decode(output)
        score = columns["score"].to_numpy().copy()
        score[np.isin(output, self.bad)] = np.nan
        score[np.isin(output, self.bad) & (output % 2 == 0)] = np.inf
        return columns | {"score": pa.array(score)}


class GreedyRow(Doubling):
    """Memory never suffices for the value 13."""

    def forward(self, tensors: dict[str, Any]) -> Any:
        self.calls.append(len(tensors["x"]))
        if 13 in tensors["x"]:
            raise MemoryError("no room for this one")
        return tensors["x"]


class Flaky(Doubling):
    """Raises at the forward passes of the given numbers, whatever the rows."""

    def __init__(self, fails_at: Sequence[int]) -> None:
        super().__init__()
        self.fails_at = set(fails_at)

    def forward(self, tensors: dict[str, Any]) -> Any:
        self.calls.append(len(tensors["x"]))
        if len(self.calls) - 1 in self.fails_at:
            raise RuntimeError("the line was busy")
        return tensors["x"]


class Hanging(Doubling):
    """Sleeps for ever on batches that hold the value 7."""

    def forward(self, tensors: dict[str, Any]) -> Any:
        if 7 in tensors["x"]:
            time.sleep(600)
        return tensors["x"]


class Crashing(Doubling):
    """Ends its process with a segmentation fault on batches that hold the value 7."""

    def forward(self, tensors: dict[str, Any]) -> Any:
        if 7 in tensors["x"]:
            ctypes.string_at(0)
        return tensors["x"]


class Refusing(Doubling):
    """Raises an error of the given class on batches that hold the value 7, or on all if it is
    batchinfer's own.
    """

    def __init__(self, class_name: str, text: str = "no answer") -> None:
        super().__init__()
        self.class_name, self.text = class_name, text

    def forward(self, tensors: dict[str, Any]) -> Any:
        own = getattr(errors, self.class_name, None)
        if own is not None:
            raise own(self.text)
        if 7 in tensors["x"]:
            raise RuntimeError(self.text)
        return tensors["x"]


class Naming(Doubling):
    """Names the rows of some values before the model is asked, `off` places from where they are;
    raises in forward on batches that hold a poison value.
    """

    def __init__(self, named: Sequence[int], poison: Sequence[int] = (), off: int = 0) -> None:
        super().__init__(poison)
        self.named, self.off = set(named), off

    def encode(self, batch: pa.RecordBatch) -> dict[str, Any]:
        x = batch.column("x").to_pylist()
        unfit = {at: f"x: got {one}" for at, one in enumerate(x) if one in self.named}
        if unfit:
            raise errors.UnfitRows({at + self.off: why for at, why in unfit.items()})
        return super().encode(batch)


def load_doubling() -> Doubling:
    return Doubling(poison=[3])


def load_hanging() -> Hanging:
    handler = Hanging()
    handler.decode(np.array([1]))  # what is imported at first use must not count as hanging
    return handler


def load_crashing() -> Crashing:
    return Crashing()


def load_nothing() -> Doubling:
    raise FileNotFoundError("the bundle is not here")


class Refused(Doubling):
    """The GPU starts no kernel for more than `most` rows, and none at all for 13."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, tensors: dict[str, Any]) -> Any:
        self.calls.append(len(tensors["x"]))
        if len(tensors["x"]) > self.most or 13 in tensors["x"]:
            raise RuntimeError("CUDA error: invalid configuration argument")
        return tensors["x"]


def stream_of(xs: Sequence[int], sizes: Sequence[int]) -> list[pa.RecordBatch]:
    """The values in batches of the given sizes, the rest in one more."""
    cuts = [*np.minimum(np.cumsum([0, *sizes]), len(xs)).tolist(), len(xs)]
    whole = pa.RecordBatch.from_pydict(
        {
            "x": pa.array(xs, pa.int64()),
            "source_file": pa.array([f"f{i % 3}.csv" for i in range(len(xs))], pa.string()),
            "source_line": pa.array(range(1, len(xs) + 1), pa.int64()),
        }
    )
    return [whole.slice(start, end - start) for start, end in pairwise(cuts)]


class ThreadCounting(Doubling):
    """score = how many threads PyTorch would use."""

    def decode(self, output: Any) -> dict[str, pa.Array]:
        import torch

        return super().decode(output) | {
            "score": pa.array(np.full(len(output), float(torch.get_num_threads())))
        }


def load_thread_counting() -> ThreadCounting:
    return ThreadCounting()
