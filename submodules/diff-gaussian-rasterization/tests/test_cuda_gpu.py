"""On a GPU: every fixture, and the CUDA engine against the CPU engine on the same scenes."""

from __future__ import annotations

from typing import Any

import diff_gaussian_rasterization as dgr
import diff_gaussian_rasterization_compress as compress
import diff_gaussian_rasterization_rade as rade
import diff_gaussian_rasterization_rade_clamp as clamp
import numpy as np
import pytest
import test_parity as parity
import torch
from cuda_support import gpu, moved
from raster_scenes import ALL, gaussians, view, with_gradients

pytestmark = pytest.mark.gpu


@pytest.fixture
def device() -> torch.device:
    return gpu()


def run(scene: dict[str, Any], device: torch.device, **options: Any) -> tuple[Any, dict[str, Any]]:
    leaves = moved(with_gradients(scene), device)
    camera = moved(options.pop("view", view()), device)
    out = dgr.rasterize(**leaves, view=camera, **options)
    images = [getattr(out, name) for name in ALL if getattr(out, name) is not None]
    generator = torch.Generator().manual_seed(1)
    grads = [torch.randn(image.shape, generator=generator).to(device) for image in images]
    torch.autograd.backward(images, grads)
    return out, {k: v.grad.cpu() for k, v in leaves.items() if v.grad is not None}


@pytest.mark.parity
@pytest.mark.skipif(not parity.SCENES, reason=f"no rasterizer fixtures in {parity.FOLDER}")
@pytest.mark.parametrize("name", parity.SCENES)
def test_fixture(name: str, device: torch.device) -> None:
    data = parity.load(name)
    inputs = moved(parity.tensors(data), device)
    out = rade.GaussianRasterizer(moved(parity.rade_settings(data), device))(**inputs)
    images: dict[str, Any] = dict(zip(("color", "radii", *parity.NAMES[1:]), out, strict=True))
    assert np.array_equal(images["radii"].cpu().numpy(), data["exact_radii"])
    for key in parity.NAMES:
        reference = data[f"exact_{key}"]
        error = np.abs(images[key].detach().cpu().numpy() - reference)[:, data["stable"]]
        assert error.max() <= 3e-5 * max(1.0, float(np.abs(reference).max())), key
    used = [k for k in parity.NAMES if images[k].requires_grad]
    torch.autograd.backward(
        [images[k] for k in used], [torch.tensor(data[f"gin_{k}"], device=device) for k in used]
    )
    on_cpu = {k: v.detach().cpu() for k, v in inputs.items()}
    for name_of, leaf in inputs.items():
        on_cpu[name_of].grad = leaf.grad.cpu()
    parity.assert_gradients_close(on_cpu, data, 2e-3)


@pytest.mark.parity
@pytest.mark.skipif(not parity.SCENES, reason=f"no rasterizer fixtures in {parity.FOLDER}")
@pytest.mark.parametrize("by_transmittance", [False, True])
def test_counting_fixture(by_transmittance: bool, device: torch.device) -> None:
    data = parity.load("compress_score.npz")
    inputs = {k: torch.tensor(data[k], device=device) for k in parity.INPUTS if k in data}
    suffix = "_score_T" if by_transmittance else "_score"
    for name in sorted(k.split("_")[0] for k in data if k.endswith("_viewmatrix")):
        settings = moved(parity.compress_settings(data, True, f"{name}_"), device)
        count, score, color, _ = compress.GaussianRasterizer(settings, by_transmittance)(
            means2D=torch.zeros_like(inputs["means3D"]), **inputs
        )
        assert np.array_equal(count.cpu().numpy(), data[f"{name}_count"])
        np.testing.assert_allclose(score.cpu().numpy(), data[name + suffix], rtol=1e-5, atol=1e-7)
        assert np.abs(color.cpu().numpy() - data[f"{name}_color"]).max() <= 2e-6


SCENES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "all outputs": (gaussians(3000, 4), {"want": ALL}),
    "colour": (gaussians(3000, 4), {"want": ("color",)}),
    "depth": (gaussians(500, 5), {"want": ("depth", "normal")}),
    "low-pass": (gaussians(500, 5), {"kernel_size": 0.3, "want": ALL}),
    "large": (gaussians(60, 6, size=1.5), {"view": view(800, 600, 600.0), "want": ALL}),
    "many tiles": (gaussians(400, 7), {"view": view(3840, 2160, 3000.0), "want": ("color",)}),
}


@pytest.mark.parametrize("name", SCENES)
def test_like_the_cpu_engine(name: str, device: torch.device) -> None:
    scene, options = SCENES[name]
    a, grads = run(scene, device, **dict(options))
    b, expected = run(scene, torch.device("cpu"), **dict(options))
    assert torch.equal(a.radii.cpu(), b.radii)
    for key in ALL:
        x, y = getattr(a, key), getattr(b, key)
        if y is None:
            continue
        error = (x.detach().cpu() - y.detach()).abs()
        close = error <= 3e-5 * max(1.0, float(y.detach().abs().max()))
        assert close.float().mean() > 0.998, key
    for key, want in expected.items():
        error = (grads[key] - want).norm() / want.norm().clamp_min(1e-12)
        assert error < 5e-3, f"{key} off by {error:.1e}"


def test_same_bits_every_time(device: torch.device) -> None:
    scene = gaussians(2000, 8, size=0.4)
    first, grads = run(scene, device, want=ALL)
    for _ in range(3):
        again, others = run(scene, device, want=ALL)
        assert torch.equal(first.color, again.color)
        assert all(torch.equal(grads[k], others[k]) for k in grads)


def test_limited_gradients(device: torch.device) -> None:
    data = parity.load(parity.SCENES[0]) if parity.SCENES else pytest.skip("no fixtures")
    limits = []
    for module in (rade, clamp):
        inputs = moved(parity.tensors(data), device)
        out = module.GaussianRasterizer(moved(parity.rade_settings(data), device))(**inputs)
        (out[0].sum() * 1e4).backward()
        limits.append(inputs["means3D"].grad)
    assert torch.equal(limits[1], limits[0].clamp(-15, 15))


def test_several_views(device: torch.device) -> None:
    scene = moved(gaussians(500, 11), device)
    poses = [torch.eye(4) for _ in range(10)]
    for k, pose in enumerate(poses):
        pose[0, 3] = 0.05 * k
    views = [moved(dgr.View.from_pinhole(64, 48, 50.0, 50.0, pose), device) for pose in poses]
    together = dgr.rasterize_views(**scene, views=views)
    for k, one in enumerate(views):
        assert torch.equal(together.color[k], dgr.rasterize(**scene, view=one).color)


def test_own_stream(device: torch.device) -> None:
    scene, camera = moved(with_gradients(gaussians(500, 12)), device), moved(view(), device)
    want = dgr.rasterize(**scene, view=camera).color
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        out = dgr.rasterize(**scene, view=camera)
        out.color.sum().backward()
    stream.synchronize()
    assert torch.equal(out.color, want)


def test_other_devices_are_refused(device: torch.device) -> None:
    scene = moved(gaussians(3, 0), device)
    with pytest.raises(ValueError, match="all tensors must be on one device"):
        dgr.rasterize(**scene, view=view())
