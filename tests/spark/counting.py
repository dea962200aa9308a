"""A module class of a user's own, that notes each time that it is made."""

from __future__ import annotations

import os

import torch


class Counted(torch.nn.Module):
    """The sum of its inputs; appends the number of its process to the file that it is made with."""

    def __init__(self, features: int, outputs: int, noted_in: str) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(features, outputs))
        with open(noted_in, "a") as loads:
            loads.write(f"{os.getpid()}\n")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features @ self.scale
