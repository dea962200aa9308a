"""Examples on disk: every row once an epoch, and positions spread by a hash that never changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from batchinfer.errors import InputError
from batchinfer.models import examples
from batchinfer.models.examples import ExampleWriter, Shapes, mixed


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 60),
    batch_rows=st.integers(1, 20),
    block=st.integers(1, 16),
    held=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_an_epoch_gives_every_row_once_however_little_fits_the_memory(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    batch_rows: int,
    block: int,
    held: int,
    seed: int,
) -> None:
    shapes = Shapes(1, {"word": (100, None), "words": (100, 2)})
    writer = ExampleWriter(tmp_path_factory.mktemp("rows"), shapes, 0.1)
    numbers = np.arange(rows)
    inputs = {
        "features": numbers.astype(np.float32)[:, None],
        "word": numbers,
        "words": np.stack([numbers, numbers], axis=1),
    }
    learn, _ = writer.write([(inputs, np.arange(rows, dtype=np.float64), np.zeros(rows, bool))])
    assert all(isinstance(learn.inputs[name], np.memmap) for name in shapes.names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples, "BLOCK_ROWS", block)
        patch.setattr(examples, "BUFFER_BYTES", held * block * shapes.row_bytes)
        orders = []
        for _ in range(2):
            batches = list(learn.shuffled(batch_rows, torch.Generator().manual_seed(seed)))
            for x, y in batches:
                assert torch.equal(x["features"][:, 0].double(), y) and torch.equal(
                    x["word"], y.long()
                )
                assert torch.equal(x["words"], torch.stack([y.long(), y.long()], dim=1))
            orders.append(torch.cat([y for _, y in batches]).tolist())
    assert orders[0] == orders[1] and sorted(orders[0]) == list(range(rows))


def test_the_hash_of_positions_is_spread_evenly_and_never_changes() -> None:
    hashes = mixed(np.arange(100_000, dtype=np.uint64))
    assert hashes[:3].tolist() == [16294208416658607535, 10451216379200822465, 10905525725756348110]
    assert abs(np.mean(hashes < np.uint64(2**64 // 10)) - 0.1) < 0.005


def test_features_that_are_not_finite_are_told_by_their_names(tmp_path: Path) -> None:
    features = np.zeros((3, 30), np.float32)
    features[1, 1], features[2, 2] = np.inf, np.nan
    names = [f"place_{place}" for place in range(30)]
    batches = [({"features": features}, np.zeros(3), None)]
    with pytest.raises(InputError, match=r"infinity in features place_1, place_2 of 2 rows"):
        ExampleWriter(tmp_path, Shapes(30), 0.1, names=names).write(batches)
    with pytest.raises(InputError, match=r"infinity in features place_1 of 1 rows"):
        ExampleWriter(tmp_path, Shapes(30), 0.1, names=names, missing=True).write(batches)
    features[:] = np.inf
    with pytest.raises(InputError, match=r"place_18, place_19 and 10 more of 3 rows"):
        ExampleWriter(tmp_path, Shapes(30), 0.1, names=names).write(batches)
