"""SH coefficients in half precision: both engines, against the documented bound."""

from __future__ import annotations

from collections.abc import Iterator

import diff_gaussian_rasterization as dgr
import pytest
import torch
from cuda_support import emulated_engine, engine, gpu, moved
from diff_gaussian_rasterization import _cpu
from raster_scenes import backward, gaussians, view, with_gradients


@pytest.fixture(params=["cpu", "emulated"])
def any_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    with engine(_cpu.CpuEngine() if request.param == "cpu" else emulated_engine()):
        yield


@pytest.mark.parametrize("degree", [0, 3])
def test_halves_are_read_exactly(any_engine: None, degree: int) -> None:
    """The same bits, forward and backward, as the same numbers in float32."""
    scene = gaussians(80, 4, degree=degree)
    scene["sh"][0, 0] = torch.tensor([6e-8, -3e-5, 0.0])  # subnormal and zero
    scene["sh"] = scene["sh"].half()
    leaves, rounded = with_gradients(scene), with_gradients(scene | {"sh": scene["sh"].float()})
    a, b = (dgr.rasterize(**x, view=view(), want=("color",)) for x in (leaves, rounded))
    assert torch.equal(a.color, b.color)
    backward(a)
    backward(b)
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        assert leaf.grad.dtype == leaf.dtype
        assert torch.equal(leaf.grad, rounded[name].grad.to(leaf.dtype)), name


def test_the_documented_bound(any_engine: None) -> None:
    """No pixel is off by more than the Gaussian with the largest coefficients may be."""
    scene = gaussians(200, 9, degree=3)
    bound = 5.6e-4 * scene["sh"].norm(dim=1).amax() + 2e-7
    full = dgr.rasterize(**scene, view=view())
    half = dgr.rasterize(**(scene | {"sh": scene["sh"].half()}), view=view())
    error = (full.color - half.color).abs().max()
    # A pixel is a mean of colours with weights that sum to at most one.
    assert 0 < error <= bound


def test_infinite_halves_are_refused(any_engine: None) -> None:
    scene = gaussians(5, 1)
    scene["sh"][3, 0, 1] = 1e5
    scene["sh"] = scene["sh"].half()
    with pytest.raises(ValueError, match="sh of Gaussian 3 is NaN or Inf"):
        dgr.rasterize(**scene, view=view())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    scene = gaussians(3, 0)
    scene["sh"] = scene["sh"].to(dtype)
    with pytest.raises(TypeError, match=r"^sh must be float32 or float16, got torch"):
        dgr.rasterize(**scene, view=view())


@pytest.mark.gpu
def test_on_the_gpu() -> None:
    device = gpu()
    scene, camera = moved(gaussians(2000, 4, degree=3), device), moved(view(), device)
    half = scene["sh"].half()
    a = dgr.rasterize(**(scene | {"sh": half}), view=camera)
    b = dgr.rasterize(**(scene | {"sh": half.float()}), view=camera)
    assert torch.equal(a.color, b.color)
