"""Frame 0 on a pretended GPU: every preset optimises, grows and prunes where its tensors lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from igs.config import RunConfig, load_config
from igs.config.resources import config_path
from igs.frame0.make import make_frame0
from igs.gaussians import Gaussians
from igs.gaussians.optimizer import GaussianOptimizer

from .conftest import ToySource
from .pretended_gpu import GPU
from .test_pretended_gpu import launches  # noqa: F401

QUICK = [
    "frame0.iterations=12",
    "frame0.schedule_length=null",
    "frame0.sh_degree=1",
    "frame0.sh_interval=4",
    "frame0.filter_interval=5",
    "frame0.init.mode=random",
    "frame0.init.depth_range=[1.5,4]",
    "frame0.init.max_points=120",
    "frame0.density.start=2",
    "frame0.density.interval=3",
    "frame0.density.until=10",
    "frame0.density.max_num=300",
    "frame0.depth_normal.weight=0.05",
    "frame0.depth_normal.from_iteration=6",
]


class Contiguous(torch.autograd.Function):
    """Autograd copies gradients with holes inside C++, to the device the wrapper really has."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return gradient.contiguous().clone()


@pytest.fixture
def allow_for_the_pretence(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads a tensor's device in C++ finds the CPU; a GPU would not."""
    given = GaussianOptimizer.gaussians.fget
    assert given is not None

    def gaussians(self: GaussianOptimizer) -> Gaussians:
        leaves = self._parameters
        self._parameters = {
            name: Contiguous.apply(leaf) if leaf.requires_grad else leaf
            for name, leaf in leaves.items()
        }
        try:
            return given(self)
        finally:
            self._parameters = leaves

    def quantile(values: torch.Tensor, share: torch.Tensor | float) -> torch.Tensor:
        if isinstance(share, torch.Tensor):
            assert share.device == values.device
            share = float(share)
        found = np.quantile(values.tolist(), share)
        return torch.tensor(float(found), device=values.device)

    monkeypatch.setattr(GaussianOptimizer, "gaussians", property(gaussians))
    monkeypatch.setattr(torch, "quantile", quantile)


def optimised(preset: str, device: str) -> Gaussians:
    source = ToySource(1)
    frame, cameras = source.frame(0), list(source.cameras.values())
    config = load_config(RunConfig, config_path(f"frame0_{preset}.yaml"), QUICK).frame0
    return make_frame0(
        config,
        cameras,
        frame.images,
        root=Path(),
        ply=None,
        background=torch.zeros(3, device=device),
        seed=0,
        stations=cameras,
    )


@pytest.mark.usefixtures("allow_for_the_pretence")
@pytest.mark.parametrize("preset", ["fast", "plain", "rig"])
def test_frame0_stays_on_the_device(launches: dict[str, int], preset: str) -> None:  # noqa: F811
    there = optimised(preset, "cuda")
    assert all(tensor.device == GPU for tensor in there.tensors().values())
    assert launches["ssim_backward"] == 12
    assert len(there) > 0
