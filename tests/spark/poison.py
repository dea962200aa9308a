"""A module class of a user's own, that fails on rows it does not like."""

from __future__ import annotations

import torch


class RaisesOnLargeSizes(torch.nn.Module):
    """Scores like a linear layer; raises if any standardised size is above 1.5."""

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if not self.training and bool((features[:, 0] > 1.5).any()):
            raise ValueError("this size is too large for me")
        return self.layer(features)
