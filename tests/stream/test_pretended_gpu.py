"""A whole stream on a pretended GPU: everything lies where it should, the result is the CPU's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from igs.config import RunConfig
from igs.gaussians import Gaussians
from igs.motion import AGMConfig, AGMNet
from igs.motion.anchors import nearest_anchors
from igs.render import render
from igs.scene import Box
from igs.stream import MultiViewEngine

from .conftest import ToySource, toy_gaussians
from .pretended_gpu import GPU, OnGpu, pretend

BOX = Box(np.array([-1.0, -0.5, 1.5]), np.array([1.0, 0.5, 2.5]))


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    mode, counts = pretend(monkeypatch)
    with mode:
        yield counts
    torch.__future__.set_overwrite_module_params_on_conversion(before)


def prepare(config: RunConfig, active: bool) -> None:
    config.schedule.interval = 2
    config.refine.active_only = config.refine.active_tiles = active
    config.refine.iterations, config.refine.densify.enabled = 2, False
    config.motion.mode, config.motion.weights = "agm", "given by hand"
    config.motion.precision = "float32"


def assert_alike(got: list[Gaussians], want: list[Gaussians]) -> None:
    """By their images: Adam turns a gradient's noise about zero into whole steps."""
    camera = ToySource().cameras["cam02"]
    for one, other in zip(got, want, strict=True):
        error = (render(one, camera).color - render(other, camera).color).abs()
        assert error.mean() < 1e-3
        assert error.max() < 0.05


def stream(config: RunConfig, device: str) -> list[Gaussians]:
    """Frame 0, a predicted frame and a key frame."""
    config.device = device
    torch.manual_seed(3)
    network = AGMNet(replace(AGMConfig.small(), network_size=64, anchors=32))
    engine = MultiViewEngine(config, toy_gaussians().to(device), network=network, box=BOX)
    return [frame.gaussians.to("cpu") for frame in engine.run(ToySource(3))]


def test_the_pretended_gpu_is_as_strict_as_one(launches: dict[str, int]) -> None:
    there = torch.ones(3, device="cuda")
    assert isinstance(there, OnGpu)
    assert there.device == GPU
    with pytest.raises(RuntimeError, match="one device, found cuda:0 and cpu"):
        there.add(torch.ones(3))
    with pytest.raises(RuntimeError, match="expected a 'cuda' generator"):
        torch.rand(3, device="cuda", generator=torch.Generator())
    with pytest.raises(TypeError, match="to numpy"):
        there.numpy()
    assert (there * 2).cpu().tolist() == [2, 2, 2]


def test_neighbours_come_in_the_order_of_the_cpu(launches: dict[str, int]) -> None:
    points, anchors = torch.rand(50, 3), torch.rand(20, 3)
    want = nearest_anchors(points, anchors, 4)
    got = nearest_anchors(points.to("cuda"), anchors.to("cuda"), 4)
    assert launches["nearest_points"] == 1
    assert torch.equal(got[0].cpu(), want[0])
    torch.testing.assert_close(got[1].cpu(), want[1])


@pytest.mark.parametrize("active", [False, True])
def test_a_stream_is_that_of_the_cpu(
    toy_config: RunConfig, launches: dict[str, int], active: bool
) -> None:
    prepare(toy_config, active)
    got = stream(toy_config, "cuda")
    for kernel in ("composite_backward", "ssim_backward", "farthest_points", "nearest_points"):
        assert launches[kernel], kernel
    assert_alike(got, stream(toy_config, "cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_stream_on_a_gpu(toy_config: RunConfig, precision: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a CUDA build of torch")
    prepare(toy_config, active=True)
    toy_config.motion.precision = precision
    got = stream(toy_config, "cuda")
    toy_config.motion.precision = "float32"
    assert_alike(got, stream(toy_config, "cpu"))
