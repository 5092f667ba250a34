"""Tiles that are drawn and tiles that are not, on the CPU engine and the emulated CUDA engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diff_gaussian_rasterization as dgr
import pytest
import torch
from cuda_support import emulated_engine, engine, gpu, moved
from diff_gaussian_rasterization import _cpu
from raster_scenes import ALL, gaussians, view, with_gradients

CAMERA = view(75, 58, 70.0)  # 5 x 4 tiles, cut at the right and at the bottom
BACKGROUND = torch.tensor([0.2, 0.4, 0.6])


@pytest.fixture(params=["cpu", "emulated"])
def any_engine(request: pytest.FixtureRequest) -> Iterator[None]:
    with engine(_cpu.CpuEngine() if request.param == "cpu" else emulated_engine()):
        yield


def some_tiles(seed: int = 0) -> torch.Tensor:
    return torch.rand(4, 5, generator=torch.Generator().manual_seed(seed)) < 0.4


def pixels_of(tiles: torch.Tensor, height: int = 58, width: int = 75) -> torch.Tensor:
    return tiles.repeat_interleave(16, 0).repeat_interleave(16, 1)[:height, :width]


def run(
    scene: dict[str, Any], pixels: torch.Tensor, **options: Any
) -> tuple[dgr.RasterOutput, dict[str, torch.Tensor | None]]:
    """Forward, and backward of a random gradient that is zero outside the pixels."""
    leaves = with_gradients(scene)
    out = dgr.rasterize(**leaves, background=BACKGROUND.to(pixels.device), **options)
    images = [i for i in (getattr(out, name) for name in ALL) if i is not None]
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(i.shape, generator=generator).to(i.device) * pixels for i in images]
    torch.autograd.backward(images, grads)
    return out, {name: leaf.grad for name, leaf in leaves.items()}


def assert_equal_on_active(scene: dict[str, Any], camera: dgr.View, tiles: torch.Tensor) -> None:
    pixels = pixels_of(tiles, camera.image_height, camera.image_width)
    for want in (("color",), ALL):
        masked, grads = run(scene, pixels, view=camera, want=want, active_tiles=tiles)
        whole, expected = run(scene, pixels, view=camera, want=want)
        assert torch.equal(masked.radii, whole.radii)
        for name in want:
            x, y = getattr(masked, name), getattr(whole, name)
            assert torch.equal(x[:, pixels], y[:, pixels]), name
            behind = BACKGROUND.to(x.device)[:, None] if name == "color" else torch.zeros(1, 1)
            assert bool((x[:, ~pixels] == behind.to(x.device)).all()), name
        for name, grad in expected.items():
            assert grad is not None
            got = grads[name]
            assert got is not None
            # The sums of a Gaussian's tiles lack zeros, which may turn their order.
            torch.testing.assert_close(got, grad, rtol=1e-5, atol=1e-6 * float(grad.abs().max()))


def test_active_tiles_are_as_without_the_mask(any_engine: None) -> None:
    assert_equal_on_active(gaussians(150, 3), CAMERA, some_tiles())


def test_large_gaussians(any_engine: None) -> None:
    """More than 32 tiles each: on CUDA their warp shares the writing."""
    camera = view(150, 130, 120.0)
    tiles = torch.rand(9, 10, generator=torch.Generator().manual_seed(5)) < 0.7
    assert_equal_on_active(gaussians(12, 6, size=1.2), camera, tiles)


def test_all_and_none(any_engine: None) -> None:
    scene = gaussians(80, 4)
    every, nothing = torch.ones(4, 5, dtype=torch.bool), torch.zeros(4, 5, dtype=torch.bool)
    plain = dgr.rasterize(**scene, view=CAMERA)
    assert torch.equal(dgr.rasterize(**scene, view=CAMERA, active_tiles=every).color, plain.color)
    out, grads = run(scene, pixels_of(every), view=CAMERA, active_tiles=nothing)
    assert out.alpha is not None
    assert not out.alpha.any()
    assert torch.equal(out.color, BACKGROUND[:, None, None].expand(3, 58, 75))
    for name, grad in grads.items():
        assert grad is not None, name
        assert not grad.any(), name


def test_counting(any_engine: None) -> None:
    scene, tiles = gaussians(60, 5), some_tiles(2)
    masked, whole, rest = (
        dgr.rasterize(**scene, view=CAMERA, counts=True, active_tiles=some)
        for some in (tiles, None, ~tiles)
    )
    assert masked.counts is not None
    assert rest.counts is not None
    assert whole.counts is not None
    assert torch.equal(masked.counts + rest.counts, whole.counts)


def test_several_views(any_engine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from diff_gaussian_rasterization import _engine, views

    if not isinstance(_engine._engines["cpu"], _cpu.CpuEngine):
        monkeypatch.setattr(views, "_loop", views._at_once)
    scene = gaussians(60, 7)
    masks = torch.stack([some_tiles(k) for k in range(3)])
    cameras = [view(75, 58, 70.0 + k) for k in range(3)]
    together = dgr.rasterize_views(**scene, views=cameras, active_tiles=masks)
    for k, camera in enumerate(cameras):
        one = dgr.rasterize(**scene, view=camera, active_tiles=masks[k])
        assert torch.equal(together.color[k], one.color)


def test_three_views_in_one_launch() -> None:
    from diff_gaussian_rasterization import views

    scene = gaussians(60, 7)
    masks = torch.stack([some_tiles(k) for k in range(3)])
    cameras = [view(75, 58, 70.0 + k) for k in range(3)]
    first = [scene.pop(n) for n in ("means", "quats", "scales", "opacities")]
    with engine(emulated_engine()):
        together = views._at_once(*first, cameras, None, None, masks, scene)  # type: ignore[arg-type]
        for k, camera in enumerate(cameras):
            one = dgr.rasterize(*first, **scene, view=camera, active_tiles=masks[k])
            assert torch.equal(together.color[k], one.color)


def test_tiles_of_pixels() -> None:
    pixels = torch.zeros(2, 58, 75, dtype=torch.bool)
    pixels[0, 57, 74] = pixels[0, 16, 31] = True
    tiles = dgr.tiles_of(pixels)
    assert tiles.shape == (2, 4, 5)
    assert tiles.nonzero().tolist() == [[0, 1, 1], [0, 3, 4]]


def test_masks_that_do_not_fit() -> None:
    scene = gaussians(3, 0)
    for bad in (torch.ones(5, 4, dtype=torch.bool), torch.ones(4, 5)):
        with pytest.raises(ValueError, match=r"active_tiles must be bool of shape \(4, 5\)"):
            dgr.rasterize(**scene, view=CAMERA, active_tiles=bad)
    with pytest.raises(ValueError, match="active_tiles of 1 views for 2"):
        dgr.rasterize_views(**scene, views=[CAMERA] * 2, active_tiles=some_tiles()[None])


@pytest.mark.gpu
def test_on_the_gpu() -> None:
    device = gpu()
    scene, camera = moved(gaussians(2000, 3), device), moved(CAMERA, device)
    assert_equal_on_active(scene, camera, some_tiles().to(device))
