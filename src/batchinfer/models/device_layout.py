"""What a model needs to lie well on a device: who moves its inputs, and the order in which a
picture's numbers lie.

Owns these two questions. Knows neither batches nor devices' queues.
"""

from __future__ import annotations

from typing import Any

import torch

from batchinfer.models.handler import Handler


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
