"""Labelled rows on disk: written once as they come, read many times in shuffled batches, larger
than memory if need be.

Owns the files, the split into rows to learn from and rows to validate on, and the order of rows.
Knows no network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import torch

from batchinfer.config.suggestions import listed
from batchinfer.errors import InputError, StorageError

# Rows are shuffled in blocks that are read at one go, and then within as many blocks as fit the
# buffer: a full shuffle where all fit, and long reads instead of one per row where they do not.
BLOCK_ROWS = 4096
BUFFER_BYTES = 256 * 2**20
FEATURES = "features"
_TARGET = "target"
_SHOWN = 20
_PARTS = ("learn", "valid")

Inputs = Mapping[str, np.ndarray]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Shapes:
    """What a model gets of each row.

    Attributes:
        width: length of the float32 vector `features`; 0: there is none.
        integers: of each named integer input how many different integers there are (from 0 up), and
            how many of them a row has; None: one, so that the input is (rows,).
    """

    width: int
    integers: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)

    def of(self, name: str, rows: int) -> tuple[int, ...]:
        """The shape of an input."""
        length = self.width if name == FEATURES else self.integers[name][1]
        return (rows,) if length is None else (rows, length)

    @property
    def names(self) -> list[str]:
        return [*([FEATURES] if self.width or not self.integers else []), *self.integers]

    @property
    def row_bytes(self) -> int:
        """About what a row takes in memory."""
        return 4 * (self.width + 2) + sum(8 * (length or 1) for _, length in self.integers.values())


@dataclass(frozen=True)
class Examples:
    """Rows on disk.

    Attributes:
        inputs: of the model, by name: `features` (rows, width) float32, integer inputs int32; read
            as they are touched.
        target: (rows,) float64.
        row_bytes: about what a row takes in memory.
    """

    inputs: Inputs
    target: np.ndarray
    row_bytes: int

    def __len__(self) -> int:
        return len(self.target)

    def batches(self, batch_rows: int) -> Iterator[tuple[Tensors, torch.Tensor]]:
        """All rows in their order, `batch_rows` at a time."""
        for first in range(0, len(self), batch_rows):
            yield self._read(slice(first, first + batch_rows))

    def shuffled(
        self, batch_rows: int, generator: torch.Generator
    ) -> Iterator[tuple[Tensors, torch.Tensor]]:
        """All rows once, in an order that only the generator decides; no batch of one row, unless
        there is but one.
        """
        blocks = -(-len(self) // BLOCK_ROWS)
        order = torch.randperm(blocks, generator=generator).tolist()
        held = max(1, BUFFER_BYTES // (BLOCK_ROWS * self.row_bytes))
        for first in range(0, blocks, held):
            parts = [
                self._read(slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS))
                for block in order[first : first + held]
            ]
            inputs = {name: torch.cat([part[0][name] for part in parts]) for name in self.inputs}
            target = torch.cat([part[1] for part in parts])
            places = torch.randperm(len(target), generator=generator)
            for chosen in _batches(places, batch_rows):
                yield {name: tensor[chosen] for name, tensor in inputs.items()}, target[chosen]

    def _read(self, rows: slice) -> tuple[Tensors, torch.Tensor]:
        inputs = {
            name: torch.from_numpy(
                np.array(array[rows], np.float32 if array.dtype.kind == "f" else np.int64)
            )
            for name, array in self.inputs.items()
        }
        return inputs, torch.from_numpy(np.array(self.target[rows]))


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _batches(places: torch.Tensor, batch_rows: int) -> list[torch.Tensor]:
    parts = list(torch.split(places, batch_rows))
    if (
        len(parts) > 1 and len(parts[-1]) == 1
    ):  # normalisation over a batch cannot be learnt from one row
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


class ExampleWriter:
    """Appends batches to two sets of files below a folder: rows to learn from and rows to validate
    on.

    Args:
        missing: a feature may be not-a-number, which is a missing one.
        names: of the features, in order, for messages; none: they are told by their places.

    Attributes:
        dropped: rows left out because they have no target.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Shapes,
        validation_share: float,
        *,
        missing: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        self._names = names
        self.shapes = shapes
        self._missing = missing
        self.dropped = 0
        self._folder = folder
        self._threshold = np.uint64(int(validation_share * 2.0**64))
        self._seen = 0
        # Files by number: a column's name may be no name of a file.
        self._places = {name: str(place) for place, name in enumerate([*shapes.names])} | {
            _TARGET: _TARGET
        }

    def write(
        self, batches: Iterable[tuple[Inputs, np.ndarray, np.ndarray | None]]
    ) -> tuple[Examples, Examples]:
        """Writes all batches of (inputs, target, key hash or validation mask or None): (to learn
        from, to validate on).

        Raises:
            InputError: inputs of another shape, features that are not finite.
            StorageError: the disk is full or the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            files = {
                (part, name): stack.enter_context(self._open(part, name))
                for part in _PARTS
                for name in (*self.shapes.names, _TARGET)
            }
            for inputs, target, split in batches:
                self._append(inputs, target, split, files)
            with self._storing():
                for file in files.values():
                    file.flush()
        return self._examples("learn"), self._examples("valid")

    def _path(self, part: str, name: str) -> Path:
        return self._folder / f"{part}_{self._places[name]}"

    def _open(self, part: str, name: str) -> IO[bytes]:
        with self._storing():
            return self._path(part, name).open("wb")

    @contextlib.contextmanager
    def _storing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"training data cannot be kept in {self._folder}: {error.strerror or error}"
            ) from error

    def _append(
        self,
        inputs: Inputs,
        target: np.ndarray,
        split: np.ndarray | None,
        files: Mapping[tuple[str, str], IO[bytes]],
    ) -> None:
        self._check(inputs, target)
        valid = self._validation(split, len(target))
        known = ~np.isnan(target)
        self.dropped += int(len(target) - known.sum())
        with self._storing():
            for part, chosen in (("learn", known & ~valid), ("valid", known & valid)):
                for name in self.shapes.names:
                    files[part, name].write(
                        np.ascontiguousarray(inputs[name][chosen], dtype=_dtype(name)).data
                    )
                files[part, _TARGET].write(
                    np.ascontiguousarray(target[chosen], dtype=np.float64).data
                )

    def _check(self, inputs: Inputs, target: np.ndarray) -> None:
        for name in self.shapes.names:
            expected = self.shapes.of(name, len(target))
            if inputs[name].shape != expected:
                raise InputError(f"got {name} of shape {inputs[name].shape}; expected {expected}")
        features = inputs.get(FEATURES)
        bad = np.zeros(0, bool)
        if features is not None:
            bad = np.isinf(features) if self._missing else ~np.isfinite(features)
        if bad.any():
            places = np.flatnonzero(bad.any(axis=0)).tolist()
            named = [self._names[place] if self._names else str(place) for place in places]
            what = "infinity" if self._missing else "not-a-number or infinity"
            raise InputError(
                f"got {what} in features {listed(named[:_SHOWN])}"
                f"{_and_more(len(named) - _SHOWN)} of "
                f"{int(bad.any(axis=1).sum())} rows; allowed: finite numbers",
                "a step clip with lower_quantile: 0.01 and upper_quantile: 0.99, before the steps "
                "that scale the column, bounds infinite values",
            )
        if np.isinf(target).any():
            raise InputError(
                f"got an infinite target in {int(np.isinf(target).sum())} rows; allowed: finite "
                "numbers"
            )

    def _validation(self, split: np.ndarray | None, rows: int) -> np.ndarray:
        first, self._seen = self._seen, self._seen + rows
        if split is None:
            split = mixed(np.arange(first, first + rows, dtype=np.uint64))
        return (
            split
            if split.dtype == np.bool_
            else split.astype(np.uint64, copy=False) < self._threshold
        )

    def _examples(self, part: str) -> Examples:
        rows = self._path(part, _TARGET).stat().st_size // 8
        inputs = {
            name: _mapped(self._path(part, name), _dtype(name), self.shapes.of(name, rows))
            for name in self.shapes.names
        }
        return Examples(
            inputs, _mapped(self._path(part, _TARGET), np.float64, (rows,)), self.shapes.row_bytes
        )


def _dtype(name: str) -> type[np.generic]:
    return np.float32 if name == FEATURES else np.int32


def _mapped(path: Path, dtype: type[np.generic], shape: tuple[int, ...]) -> np.ndarray:
    if 0 in shape:  # an empty file cannot be mapped
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", shape=shape)


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Hashes of whole numbers: (n,) uint64 -> (n,) uint64, as if drawn at random.

    Runs on: driver.
    Source: the finalizer of SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
    """
    with np.errstate(over="ignore"):
        z = numbers + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
