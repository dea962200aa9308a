"""Batches whose rows go through the module in tiles: the same outputs, faster where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from batchinfer.models.device_layout import TILE_ROWS, Tiled, in_tiles
from batchinfer.models.elsewhere.as_fitted import AsFittedValues
from batchinfer.models.foreign import ForeignOutput
from batchinfer.models.handler import Handler, RawOutput

ROWS = 8192


class Net(torch.nn.Module):
    """Counts the rows of each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)
        self.passes: list[int] = []

    def forward(self, features: torch.Tensor) -> Any:
        self.passes.append(len(features))
        return self.output(self.layer(features))

    def output(self, found: torch.Tensor) -> Any:
        return found


class Clock:
    """Seconds that forward passes take: as many as a function says of the rows of each."""

    def __init__(self, net: Net, cost: Any) -> None:
        self.net, self.cost = net, cost

    def __call__(self) -> float:
        return float(sum(self.cost(rows) for rows in self.net.passes))


def features(rows: int = ROWS) -> dict[str, torch.Tensor]:
    return {"features": torch.from_numpy(np.random.default_rng(0).random((rows, 4), np.float32))}


def tiled(net: Net, cost: Any) -> Tiled:
    return Tiled(RawOutput(net, params={"width": 3}), Clock(net, cost))


def chosen(handler: Tiled, batches: int = 40) -> int | None:
    given = features()
    with torch.inference_mode():
        for _ in range(batches):
            handler.forward(given)
    return handler.rows


def test_the_tile_that_takes_the_least_time_stays() -> None:
    net = Net()
    # The square of the rows: the smaller a tile, the less it costs, but for what each pass costs.
    handler = tiled(net, lambda rows: rows * rows + 300_000)
    assert chosen(handler) == 512
    net.passes.clear()
    handler.forward(features())
    assert net.passes == [512] * (ROWS // 512)


def test_where_a_pass_costs_the_same_for_any_rows_batches_go_whole() -> None:
    net = Net()
    handler = tiled(net, lambda rows: 1.0)
    assert chosen(handler) == 0
    net.passes.clear()
    handler.forward(features())
    assert net.passes == [ROWS]


def test_a_gain_that_is_noise_changes_nothing() -> None:
    net = Net()
    assert chosen(tiled(net, lambda rows: rows * (1.0 if rows == ROWS else 0.98))) == 0


def test_all_sizes_give_what_the_whole_batch_gives() -> None:
    net = Net()
    expected = net(**features(ROWS + 77))
    for rows in TILE_ROWS:
        handler = tiled(net, lambda rows: rows)
        handler.rows = rows
        found = handler.forward(features(ROWS + 77))
        torch.testing.assert_close(found, expected)


def test_few_batches_tell_which_tile_is_fastest() -> None:
    """Each of them is told by stretches of one batch; a search for batch sizes is done by then."""
    net = Net()
    handler = tiled(net, lambda rows: rows * rows + 300_000)
    assert chosen(handler, batches=8) == 512
    first = net.passes[: net.passes.index(ROWS)]
    assert set(first) == set(TILE_ROWS)
    assert sum(first) == ROWS


def test_small_batches_go_whole_and_decide_nothing() -> None:
    net = Net()
    handler = tiled(net, lambda rows: rows * rows)
    for _ in range(40):
        handler.forward(features(2 * max(TILE_ROWS) - 1))
    assert handler.rows is None
    assert set(net.passes) == {2 * max(TILE_ROWS) - 1}


class Several(Net):
    def output(self, found: torch.Tensor) -> Any:
        return {"mean": found.mean(1), "all": (found, [found * 2])}


def test_outputs_of_several_tensors_are_joined() -> None:
    net = Several()
    handler = tiled(net, lambda rows: rows)
    handler.rows = 1024
    found, expected = handler.forward(features()), net(**features())
    assert type(found["all"]) is tuple
    assert type(found["all"][1]) is list
    torch.testing.assert_close(found["mean"], expected["mean"])
    torch.testing.assert_close(found["all"][1][0], expected["all"][1][0])


class OneValue(Net):
    def output(self, found: torch.Tensor) -> Any:
        return found.sum()


class Named(Net):
    def output(self, found: torch.Tensor) -> Any:
        return [f"row {row}" for row in range(len(found))]


@pytest.mark.parametrize("net", [OneValue(), Named()], ids=["one value", "texts"])
def test_outputs_that_are_no_rows_of_tensors_are_of_whole_batches(net: Net) -> None:
    handler = tiled(net, lambda rows: rows * rows)
    given, found = features(), []
    for _ in range(10):
        found.append(handler.forward(given))
    assert handler.rows == 0
    expected = net(**given)
    for one in found:
        assert torch.equal(one, expected) if isinstance(one, torch.Tensor) else one == expected


class OfTheBatch(Net):
    def output(self, found: torch.Tensor) -> Any:
        return found - found.mean(0) * len(found)


def test_a_module_whose_rows_depend_on_the_batch_gets_it_whole() -> None:
    assert chosen(tiled(OfTheBatch(), lambda rows: rows * rows)) == 0


class Owns(Handler):
    """Encodes itself: nobody knows whether its tensors have rows of the batch."""

    output: Mapping[str, str] = {"prediction": "double"}

    def encode(self, batch: pa.RecordBatch) -> dict[str, torch.Tensor]:
        return {"ids": torch.arange(batch.num_rows), "offsets": torch.arange(batch.num_rows)}


class Passes(Handler):
    output: Mapping[str, str] = {"prediction": "double"}

    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        return tensors["features"]


@pytest.mark.parametrize("class_", [Owns, Passes])
def test_handlers_with_code_of_their_own_are_left_alone(class_: type[Handler]) -> None:
    handler = class_(Net())
    assert in_tiles(handler) is handler


FEED = {"input": "features", "type": "float32", "columns": list("abcd"), "flat": False}


@pytest.mark.parametrize("class_", [RawOutput, ForeignOutput, AsFittedValues])
def test_handlers_of_our_own_are_tiled(class_: type[Handler]) -> None:
    params = {"width": 3, "feeds": [FEED]}
    handler = class_(Net(), params=params, columns=tuple("abcd"))
    found = in_tiles(handler)
    assert isinstance(found, Tiled)
    rows = pa.record_batch({name: np.arange(5, dtype=np.float32) for name in "abcd"})
    encoded = found.encode(rows)
    assert encoded["features"].shape == (5, 4)
    with torch.inference_mode():
        assert found.decode(found.forward(encoded))["prediction"].type == pa.list_(pa.float64())


def _mixed() -> Iterator[dict[str, Any]]:
    yield {"features": torch.zeros(ROWS, 4), "lengths": torch.zeros(3)}
    yield {"features": torch.zeros(ROWS, 4), "words": ["a"] * ROWS}
    yield {"features": torch.tensor(1.0)}


@pytest.mark.parametrize("tensors", list(_mixed()), ids=["lengths", "texts", "a number"])
def test_inputs_that_are_no_rows_of_tensors_go_whole(tensors: dict[str, Any]) -> None:
    handler = Tiled(Passes(Net()))
    handler.rows = 512
    assert handler.forward(tensors) is tensors["features"]
