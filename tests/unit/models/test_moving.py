"""Who moves a batch's tensors, and pictures whose channels lie beside each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from batchinfer.models.compiled import Compiled
from batchinfer.models.device_layout import takes_moved, to_channels_last
from batchinfer.models.handler import Handler, Regressor
from batchinfer.models.precision import Lowered


class Own(Regressor):
    def forward(self, tensors: dict[str, torch.Tensor]) -> Any:
        return tensors["features"].cpu()


class Derived(Regressor):
    """Decodes alone."""


@pytest.mark.parametrize(("class_", "moved"), [(Regressor, True), (Derived, True), (Own, False)])
def test_a_handler_with_a_forward_of_its_own_moves_by_itself(
    class_: type[Handler], moved: bool
) -> None:
    handler = class_(torch.nn.Linear(2, 1))
    assert takes_moved(handler) is moved
    assert (
        takes_moved(Compiled(Lowered(handler, class_(torch.nn.Linear(2, 1)), "bf16"), "bf16"))
        is moved
    )
    assert not takes_moved(object())


class Pictures(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = torch.nn.Conv2d(3, 4, 3)
        self.seen: list[bool] = []

    def forward(self, features: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        self.seen.append(features.is_contiguous(memory_format=torch.channels_last))
        return self.convolution(features).mean(dim=(2, 3)) + ids[:, None, 0, 0]


def test_pictures_and_weights_are_turned_once_and_nothing_else_changes() -> None:
    plain, turned = Pictures().eval(), Pictures().eval()
    assert to_channels_last(turned)
    pictures, ids = torch.randn(5, 3, 9, 9), torch.arange(5).reshape(5, 1, 1, 1)
    torch.testing.assert_close(turned(pictures, ids=ids), plain(pictures, ids=ids))
    torch.testing.assert_close(turned(features=pictures, ids=ids), plain(pictures, ids))
    assert (turned.seen, plain.seen) == ([True, True], [False, False])
    assert turned.convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_network_without_convolutions_is_left_alone() -> None:
    module = torch.nn.Linear(2, 1)
    assert not to_channels_last(module)
    assert not module._forward_pre_hooks
