"""ResNet-50 in plain PyTorch, with random weights; the benchmarks need no torchvision."""

from __future__ import annotations

import torch
from torch import nn


def _convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 to four times the width, beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.layers = nn.Sequential(
            _convolution(inputs, width, 1), nn.ReLU(inplace=True),
            _convolution(width, width, 3, stride), nn.ReLU(inplace=True),
            _convolution(width, outputs, 1),
        )  # fmt: skip
        self.shortcut = (
            nn.Identity()
            if (inputs, stride) == (outputs, 1)
            else _convolution(inputs, outputs, 1, stride)
        )
        # Without training the sums of 16 blocks would grow from block to block.
        nn.init.constant_(self.layers[-1][1].weight, 0.2)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.layers(pixels) + self.shortcut(pixels))


class ResNet50(nn.Module):
    """25.6 million parameters; 4.1 GFLOP (multiply and add) a picture of 224 x 224.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015; here the
    stride is in the 3x3.
    """

    def __init__(self, outputs: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            _convolution(3, 64, 7, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        inputs = 64
        for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
            for block in range(blocks):
                layers.append(
                    Bottleneck(inputs, width, stride=2 if block == 0 and width > 64 else 1)
                )
                inputs = 4 * width
        self.layers = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, outputs)
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)
