"""A model that cannot take every row, for whoever asks what becomes of the others."""

from __future__ import annotations

import torch


class RefusesHugeSizes(torch.nn.Module):
    """A linear layer that raises where a standardised size is above 10: rows to learn from have
    none.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if bool((features[:, 0] > 10).any()):
            raise ValueError("this size is too large for me")
        return self.layer(features)
