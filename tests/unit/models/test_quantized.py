"""Linear layers that multiply int8: nearly the same, each row by itself, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from batchinfer.errors import ModelError
from batchinfer.models.handler import RawOutput
from batchinfer.models.manifest import check_precision
from batchinfer.models.precision import TOLERANCES, Int8Linear, Lowered, lower

INT8: Any = "int8"


def net(*layers: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(4)
    return torch.nn.Sequential(*layers).eval()


def mlp() -> torch.nn.Module:
    torch.manual_seed(4)
    return net(
        torch.nn.Linear(20, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64, bias=False),
        torch.nn.ReLU(), torch.nn.Linear(64, 3),
    )  # fmt: skip


def test_outputs_are_nearly_the_same() -> None:
    exact, whole = mlp(), mlp()
    lower(whole, INT8)
    assert [type(one) for one in whole.children()] == [
        *[Int8Linear, torch.nn.ReLU] * 2, torch.nn.Linear,
    ]  # fmt: skip
    rows = torch.randn(500, 20) * torch.logspace(-3, 3, 500)[:, None]
    with torch.inference_mode():
        expected, found = exact(rows), whole(rows)
    assert found.dtype == torch.float32
    # Of each row, small as it may be: its scale is its own.
    off = (found - expected).abs().amax(1) / expected.abs().amax(1)
    assert 0 < float(off.max()) < 0.1


@pytest.mark.parametrize("beside", [1e6, float("nan"), float("inf")])
def test_a_row_depends_on_no_other(beside: float) -> None:
    module: Any = mlp()
    lower(module, INT8)
    # What stays in float32 is summed up in another order in other batches.
    whole = module[:4]
    rows = torch.randn(33, 20)
    other = rows.clone()
    other[7] = beside
    with torch.inference_mode():
        alone = torch.cat([whole(row[None]) for row in rows])
        found, among = whole(rows), whole(other)
    assert torch.equal(found, alone)
    kept = [row for row in range(33) if row != 7]
    assert torch.equal(among[kept], alone[kept])
    assert bool(module(other)[7].isfinite().any()) == (beside == 1e6)


def test_rows_of_nothing_but_zeros_and_layers_of_zeros_give_the_bias() -> None:
    layer = torch.nn.Linear(4, 2)
    found = Int8Linear(layer)(torch.zeros(3, 4))
    assert torch.equal(found, layer.bias.detach().expand(3, 2))
    torch.nn.init.zeros_(layer.weight)
    assert torch.equal(Int8Linear(layer)(torch.ones(3, 4)), layer.bias.detach().expand(3, 2))


def test_words_of_a_text_are_rows_too() -> None:
    layer = torch.nn.Linear(8, 5)
    words = torch.randn(3, 7, 8)
    whole = Int8Linear(layer)
    found = whole(words)
    assert found.shape == (3, 7, 5)
    assert torch.equal(found[1, 2], whole(words[1, 2][None])[0])
    torch.testing.assert_close(whole.weight, layer.weight.detach(), rtol=0, atol=0.01)


class Watched(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(4, 64)
        self.narrow = torch.nn.Linear(4, 63)
        self.watched = torch.nn.Linear(4, 64)
        self.watched.register_forward_pre_hook(lambda _, given: given)
        self.double = torch.nn.Linear(4, 64, dtype=torch.float64)
        self.long = torch.nn.Linear(140_000, 64)
        self.encoder = torch.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)


def test_layers_that_others_read_or_watch_stay_as_they_are() -> None:
    module = Watched()
    lower(module, INT8)
    changed = [name for name, part in module.named_modules() if isinstance(part, Int8Linear)]
    assert changed == ["inner"]


@pytest.mark.parametrize(
    "module", [torch.nn.Conv1d(3, 3, 1), torch.nn.Linear(3, 64)], ids=["no layer", "itself"]
)
def test_a_module_without_such_layers_is_refused(module: torch.nn.Module) -> None:
    with pytest.raises(ModelError, match=r"model.quantize: got int8; .*; allowed: none"):
        lower(module, INT8)


def test_what_is_too_far_off_ends_the_run_in_the_words_of_the_setting() -> None:
    exact = mlp()
    whole: Any = mlp()
    lower(whole, INT8)
    whole[2].scales.mul_(3)
    handler = Lowered(
        RawOutput(whole, params={"width": 3}), RawOutput(exact, params={"width": 3}), INT8
    )
    handler._sample = 9, *[{"input": torch.ones(9, 20)}] * 2
    with pytest.raises(ModelError, match=r"model.quantize: got int8; the largest") as caught:
        handler.forward({"input": torch.ones(9, 20)})
    assert caught.value.hint is not None
    assert "quantize: none" in str(caught.value.hint)
    assert pytest.approx(0.063, abs=0.001) == TOLERANCES["int8"]


def test_bundles_of_other_formats_are_refused_before_the_run() -> None:
    manifest = {"module": None, "handler": {"class": "a:B"}}
    with pytest.raises(ModelError, match=r"model.quantize: got int8.* allowed: none"):
        check_precision(manifest, "int8")
