"""Adam, without what torch's own optimizer brings along.

Owns the update rule. `torch.optim` loads torch's compiler the first time one is made, which takes
longer than training a small network does; a test holds this one to torch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

_BETA_1 = 0.9
_BETA_2 = 0.999
_EPSILON = 1e-8


class Adam:
    """Updates parameters in place from their gradients.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, algorithm 1 with
    its default constants.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [0] * len(self._parameters)

    def clear(self) -> None:
        """Forgets the gradients, before the next batch."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One update; a parameter without a gradient stays as it is."""
        for place, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                continue
            self._steps[place] += 1
            step, mean, square = self._steps[place], self._means[place], self._squares[place]
            mean.lerp_(parameter.grad, 1 - _BETA_1)
            square.mul_(_BETA_2).addcmul_(parameter.grad, parameter.grad, value=1 - _BETA_2)
            scale = square.sqrt().div_(math.sqrt(1 - _BETA_2**step)).add_(_EPSILON)
            parameter.addcdiv_(mean, scale, value=-self.learning_rate / (1 - _BETA_1**step))
