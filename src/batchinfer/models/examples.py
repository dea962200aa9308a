"""Labelled rows on disk: written once as they come, read many times in shuffled batches, larger than memory if need be.

Owns the files, the split into rows to learn from and rows to validate on, and the order of rows. Knows no network.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from batchinfer.errors import InputError, StorageError

# Rows are shuffled in blocks that are read at one go, and then within as many blocks as fit the buffer: a full shuffle where
# all fit, and long reads instead of one per row where they do not.
BLOCK_ROWS = 4096
BUFFER_BYTES = 256 * 2**20
_FILES = ("learn_x", "learn_y", "valid_x", "valid_y")


@dataclass(frozen=True)
class Examples:
    """Rows on disk.

    Attributes:
        features: (rows, width) float32, read from disk as they are touched.
        target: (rows,) float64.
    """

    features: np.ndarray
    target: np.ndarray

    def __len__(self) -> int:
        return len(self.target)

    def batches(self, batch_rows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All rows in their order, `batch_rows` at a time."""
        for first in range(0, len(self), batch_rows):
            yield self._read(slice(first, first + batch_rows))

    def shuffled(self, batch_rows: int, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All rows once, in an order that only the generator decides; no batch of one row, unless there is but one."""
        blocks = -(-len(self) // BLOCK_ROWS)
        order = torch.randperm(blocks, generator=generator).tolist()
        held = max(1, BUFFER_BYTES // (BLOCK_ROWS * 4 * (self.features.shape[1] + 1)))
        for first in range(0, blocks, held):
            parts = [self._read(slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS)) for block in order[first : first + held]]
            features, target = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
            places = torch.randperm(len(target), generator=generator)
            for chosen in _batches(places, batch_rows):
                yield features[chosen], target[chosen]

    def _read(self, rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(np.array(self.features[rows])), torch.from_numpy(np.array(self.target[rows]))


def _batches(places: torch.Tensor, batch_rows: int) -> list[torch.Tensor]:
    parts = list(torch.split(places, batch_rows))
    if len(parts) > 1 and len(parts[-1]) == 1:  # normalisation over a batch cannot be learnt from one row
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


class ExampleWriter:
    """Appends batches to two sets of files below a folder: rows to learn from and rows to validate on.

    Attributes:
        dropped: rows left out because they have no target.
    """

    def __init__(self, folder: Path, width: int, validation_share: float) -> None:
        self.width = width
        self.dropped = 0
        self._folder = folder
        self._threshold = np.uint64(int(validation_share * 2.0**64))
        self._seen = 0

    def write(self, batches: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> tuple[Examples, Examples]:
        """Writes all batches of (features, target, key hash or validation mask or None): (to learn from, to validate on).

        Raises:
            InputError: features of another width, or not finite.
            StorageError: the disk is full or the folder cannot be written.
        """
        with contextlib.ExitStack() as stack:
            files = {name: stack.enter_context(self._open(name)) for name in _FILES}
            for features, target, split in batches:
                self._append(features, target, split, files)
            with self._storing():
                for file in files.values():
                    file.flush()
        return self._examples("learn"), self._examples("valid")

    def _open(self, name: str) -> IO[bytes]:
        with self._storing():
            return (self._folder / name).open("wb")

    @contextlib.contextmanager
    def _storing(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"training data cannot be kept in {self._folder}: {error.strerror or error}") from error

    def _append(self, features: np.ndarray, target: np.ndarray, split: np.ndarray | None, files: Mapping[str, IO[bytes]]) -> None:
        self._check(features, target)
        valid = self._validation(split, len(target))
        known = ~np.isnan(target)
        self.dropped += int(len(target) - known.sum())
        with self._storing():
            for name, chosen in (("learn", known & ~valid), ("valid", known & valid)):
                files[f"{name}_x"].write(np.ascontiguousarray(features[chosen], dtype=np.float32).data)
                files[f"{name}_y"].write(np.ascontiguousarray(target[chosen], dtype=np.float64).data)

    def _check(self, features: np.ndarray, target: np.ndarray) -> None:
        if features.shape != (len(target), self.width):
            raise InputError(f"got features of shape {features.shape}; expected ({len(target)}, {self.width})")
        bad = ~np.isfinite(features).all(axis=1)
        if bad.any():
            places = np.flatnonzero(~np.isfinite(features).all(axis=0)).tolist()
            raise InputError(
                f"got not-a-number or infinity in features {places} of {int(bad.sum())} rows; allowed: finite numbers"
            )
        if np.isinf(target).any():
            raise InputError(f"got an infinite target in {int(np.isinf(target).sum())} rows; allowed: finite numbers")

    def _validation(self, split: np.ndarray | None, rows: int) -> np.ndarray:
        first, self._seen = self._seen, self._seen + rows
        if split is None:
            split = mixed(np.arange(first, first + rows, dtype=np.uint64))
        return split if split.dtype == np.bool_ else split.astype(np.uint64, copy=False) < self._threshold

    def _examples(self, name: str) -> Examples:
        x, y = self._folder / f"{name}_x", self._folder / f"{name}_y"
        rows = y.stat().st_size // 8
        if not rows or not self.width:  # an empty file cannot be mapped
            return Examples(np.empty((rows, self.width), np.float32), np.fromfile(y, np.float64))
        features = np.memmap(x, np.float32, "r", shape=(rows, self.width))
        return Examples(features, np.memmap(y, np.float64, "r", shape=(rows,)))


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
