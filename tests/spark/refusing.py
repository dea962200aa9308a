"""The source of a network of a user's own that refuses the rows that a file beside it says."""

from __future__ import annotations

# Which rows the model refuses stands in a file, so that the same bundle scores them later.
NET = """
from pathlib import Path

import torch

FAULT = Path(__file__).with_name("refused")


class Net(torch.nn.Module):
    def __init__(self, features, outputs):
        super().__init__()
        self.layer = torch.nn.Linear(features, outputs)

    def forward(self, features):
        above = float(FAULT.read_text()) if FAULT.exists() and not self.training else 1e9
        if bool((features[:, 0] > above).any()):
            raise ValueError(f"a size above {above} is too large for me")
        return self.layer(features)
"""
