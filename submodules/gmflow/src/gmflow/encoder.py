"""Convolutional encoder: an image to features at an eighth of its size."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gmflow.config import GMFlowConfig


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with instance norm and ReLU, added to a shortcut.

    The ReLU stands before the addition as well as after it. The shortcut is the input itself or,
    where stride or width change, a normalised 1x1 convolution of it.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        reshapes = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if reshapes else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.first(x)))
        y = F.relu(F.instance_norm(self.second(y)))
        if self.shortcut is not None:
            x = F.instance_norm(self.shortcut(x))
        return F.relu(x + y)


class Encoder(nn.Module):
    """(B, 3, H, W) normalised images to (B, C, H/8, W/8) features.

    Source: spec `gmflow.md`, section 3.
    """

    def __init__(self, config: GMFlowConfig) -> None:
        super().__init__()
        half, quarter, eighth = config.widths
        self.stem = nn.Conv2d(3, half, 7, stride=2, padding=3, bias=False)
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(inputs, width, stride), ResidualBlock(width, width, 1))
            for inputs, width, stride in [(half, half, 1), (half, quarter, 2), (quarter, eighth, 2)]
        )
        self.project = nn.Conv2d(eighth, config.channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(F.instance_norm(self.stem(images)))
        for stage in self.stages:
            x = stage(x)
        return self.project(x)
