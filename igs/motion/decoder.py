"""From an interpolated feature to a translation and a rotation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLIGHT_TURN = (1.0, 0.01, 0.01, 0.01)  # rotation that an untrained network gives


class MotionDecoder(nn.Module):
    """A three-layer perceptron and two linear heads.

    Source: spec `agm_net.md`, sections 10 and 12.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(channels, channels) for _ in range(3))
        self.translation = nn.Linear(channels, 3)
        self.rotation = nn.Linear(channels, 4)
        with torch.no_grad():
            self.translation.weight.zero_()
            self.translation.bias.zero_()
            self.rotation.weight.zero_()
            self.rotation.bias.copy_(torch.tensor(SLIGHT_TURN))

    def start_at_rest(self) -> None:
        """Let the untrained decoder turn nothing, for networks that know rotations otherwise."""
        with torch.no_grad():
            self.rotation.bias.copy_(torch.tensor((1.0, 0.0, 0.0, 0.0)))

    def hidden(self, features: Tensor) -> Tensor:
        """(n, C) features to the (n, C) input of both heads."""
        for layer in self.layers[:-1]:
            features = F.silu(layer(features))
        return self.layers[-1](features)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(n, C) to (n, 3) translation and (n, 4) quaternion, w first, of any length."""
        hidden = self.hidden(features)
        return self.translation(hidden), self.rotation(hidden)
