"""What a model needs to lie well on a device: who moves its inputs, the order in which a picture's
numbers lie, and how many rows of a batch a CPU's cache holds at a time.

Owns these questions. Knows neither batches' sizes nor devices' queues.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import pyarrow as pa
import torch

from batchinfer.models.elsewhere.as_fitted import AsFitted
from batchinfer.models.foreign import ForeignHandler
from batchinfer.models.handler import Around, Handler

# Rows of a forward pass that are tried, beside all rows of the batch: activations of a network of
# 256 wide layers fill a cache of 1 MiB with 1,024 rows.
TILE_ROWS = (512, 1024, 2048)
# Of each so many are timed, of which the first may pay for a warm-up.
_TRIES = 4
# Tiles have to save this share of the time: less is noise.
_WORTH = 0.03
# What a row's output may differ by between a batch and a tile: kernels sum up in another order.
_CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def takes_moved(handler: Any) -> bool:
    """Whether tensors may be moved to the device for a handler: not for one with a `forward` of its
    own, which moves them itself.

    Runs on: executor.
    """
    while (inner := getattr(handler, "inner", None)) is not None:
        handler = inner
    return isinstance(handler, Handler) and type(handler).forward is Handler.forward


def to_channels_last(module: torch.nn.Module) -> bool:
    """Lets the channels of pictures lie beside each other, in place, where a module has 2D
    convolutions; whether it has.

    Kernels for tensor cores want that order, and would otherwise turn every picture before each
    convolution.

    Runs on: executor.

    Source: "Channels Last Memory Format in PyTorch",
    https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html
    """
    if not any(isinstance(part, torch.nn.Conv2d) for part in module.modules()):
        return False
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module.register_forward_pre_hook(
        lambda _, given, named: (
            tuple(map(_turned, given)),
            {name: _turned(one) for name, one in named.items()},
        ),
        with_kwargs=True,
    )
    return True


def _turned(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.ndim == 4 and value.is_floating_point():
        return value.contiguous(memory_format=torch.channels_last)
    return value


def in_tiles(handler: Handler) -> Handler:
    """The handler, whose module is given a batch's rows in tiles where that is faster; the handler
    as it is where nobody can tell that its tensors have a row of the batch in each of their rows.

    Runs on: executor, CPU.
    """
    inner: Any = handler
    while (next_ := getattr(inner, "inner", None)) is not None:
        inner = next_
    own = (Handler.encode, ForeignHandler.encode, AsFitted.encode)
    return Tiled(handler) if takes_moved(handler) and type(inner).encode in own else handler


class Tiled(Around):
    """Gives a handler's module fewer rows at a time than a batch has.

    What a layer gives is read by the next one: of a large batch it has left the caches by then, and
    processes on all cores wait for memory. To read and to encode, and whatever is done once a
    batch, is cheaper in large batches all the same. Which tiles are fastest is measured on the
    first batches, against the batch as a whole.

    Attributes:
        rows: of a tile; 0: batches go whole; None: not known yet.

    Runs on: executor, CPU.
    """

    def __init__(self, inner: Handler, clock: Callable[[], float] = time.perf_counter) -> None:
        super().__init__(inner)
        self.rows: int | None = None
        self._clock = clock
        # Those before the batch as a whole: a batch that comes first is then faster than it.
        self._took: dict[int, list[float]] = {rows: [] for rows in (*TILE_ROWS, 0)}

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        return self.inner.encode(batch)

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        """What the module gives for all rows. Runs on: executor."""
        rows = _rows_of(tensors)
        if self.rows == 0 or rows < 2 * max(TILE_ROWS):
            return self.inner.forward(tensors)
        if self.rows is not None:
            return self._by(_tiles(0, rows, self.rows), tensors)
        output = self._trying(tensors, rows)
        if all(len(took) >= _TRIES for took in self._took.values()):
            self._choose(tensors)
        return output

    def _trying(self, tensors: dict[str, torch.Tensor], rows: int) -> Any:
        """What the module gives: for the batch as a whole if that was tried least often, or else
        for stretches of it in tiles of different sizes, so that few batches tell which is best.
        """
        by_tries = sorted(self._took, key=lambda tile: len(self._took[tile]))
        if by_tries[0] == 0:
            started = self._clock()
            output = self.inner.forward(tensors)
            self._note(0, started, rows)
            return output
        by_tries.remove(0)
        parts: list[Any] = []
        tiles: list[tuple[int, int]] = []
        stretch = max(TILE_ROWS)
        for at, start in enumerate(range(0, rows - stretch + 1, stretch)):
            tile, started = by_tries[at % len(by_tries)], self._clock()
            mine = _tiles(start, start + stretch, tile)
            parts += self._passes(mine, tensors)
            self._note(tile, started, stretch)
            tiles += mine
        rest = _tiles(rows - rows % stretch, rows, stretch)
        return self._all_rows([*parts, *self._passes(rest, tensors)], [*tiles, *rest], tensors)

    def _note(self, tile: int, started: float, rows: int) -> None:
        self._took[tile].append((self._clock() - started) / rows)

    def _by(self, tiles: list[tuple[int, int]], tensors: Mapping[str, torch.Tensor]) -> Any:
        return self._all_rows(self._passes(tiles, tensors), tiles, tensors)

    def _passes(
        self, tiles: list[tuple[int, int]], tensors: Mapping[str, torch.Tensor]
    ) -> list[Any]:
        """What the module gives for each tile, which is from a row on before another one."""
        return [
            self.inner.forward({name: one[start:end] for name, one in tensors.items()})
            for start, end in tiles
        ]

    def _all_rows(
        self,
        parts: list[Any],
        tiles: list[tuple[int, int]],
        tensors: Mapping[str, torch.Tensor],
    ) -> Any:
        if (joined := _joined(parts, [end - start for start, end in tiles])) is not None:
            return joined
        # It gives something else than a row for each row.
        self.rows = 0
        return self.inner.forward(dict(tensors))

    def _choose(self, tensors: dict[str, torch.Tensor]) -> None:
        """Settles on the fastest, if it gives what the whole batch gives."""
        if self.rows is not None:
            return
        seconds = {tile: median(took[1:]) for tile, took in self._took.items()}
        best = min(seconds, key=lambda tile: seconds[tile])
        if seconds[best] > (1 - _WORTH) * seconds[0]:
            best = 0
        if best:
            whole = self.inner.forward(tensors)
            tiled = self._by(_tiles(0, _rows_of(tensors), best), tensors)
            best = best if _are_close(whole, tiled) else 0
        self.rows = best


def _tiles(start: int, end: int, rows: int) -> list[tuple[int, int]]:
    """The rows from `start` on before `end`, in tiles of so many."""
    return [(at, min(at + rows, end)) for at in range(start, end, rows)]


def _rows_of(tensors: Mapping[str, Any]) -> int:
    """How many rows all tensors have; 0 where something is no tensor, or they differ."""
    counts = {
        one.shape[0] if isinstance(one, torch.Tensor) and one.ndim else 0
        for one in tensors.values()
    }
    return counts.pop() if len(counts) == 1 else 0


def _joined(parts: list[Any], sizes: list[int]) -> Any:
    """The outputs of tiles behind each other; None where they do not have a row for each row."""
    first = parts[0]
    if isinstance(first, torch.Tensor):
        fits = all(
            isinstance(part, torch.Tensor) and part.ndim and part.shape[0] == size
            for part, size in zip(parts, sizes, strict=True)
        )
        return torch.cat(parts) if fits else None
    if type(first) is dict:
        found = {name: _joined([part[name] for part in parts], sizes) for name in first}
        return None if any(one is None for one in found.values()) else found
    if type(first) in (tuple, list):
        made = [_joined([part[at] for part in parts], sizes) for at in range(len(first))]
        return None if any(one is None for one in made) else type(first)(made)
    return None


def _are_close(whole: Any, tiled: Any) -> bool:
    if isinstance(whole, torch.Tensor):
        same = whole.shape == tiled.shape and whole.dtype == tiled.dtype
        return same and torch.allclose(whole, tiled, **_CLOSE, equal_nan=True)
    pairs = (
        [(whole[name], tiled[name]) for name in whole]
        if isinstance(whole, dict)
        else list(zip(whole, tiled, strict=True))
    )
    return all(_are_close(one, other) for one, other in pairs)
