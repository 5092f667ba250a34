"""The CUDA kernels, compiled as C++ and run thread by thread on the CPU, against the CPU engine.

Everything but the machine is what runs on a GPU: the kernels' source, the order of launches, the
memory, the sorting. See `nvrtc_kernels.emulator`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import diff_gaussian_rasterization as dgr
import pytest
import test_parity as parity
import torch
from cuda_support import emulated_engine, engine
from diff_gaussian_rasterization import _cpu
from raster_scenes import ALL, backward, gaussians, view, with_gradients

Result = tuple[dgr.RasterOutput, dict[str, torch.Tensor]]


@pytest.fixture
def emulated() -> Iterator[None]:
    with engine(emulated_engine()):
        yield


def run(scene: dict[str, Any], **options: Any) -> Result:
    leaves = with_gradients(scene)
    options.setdefault("want", ALL)
    out = dgr.rasterize(**leaves, view=options.pop("view", view()), **options)
    backward(out)
    return out, {k: v.grad for k, v in leaves.items() if v.grad is not None}


def assert_close(a: Result, b: Result) -> None:
    """Equal radii; images equal but for single pixels on a threshold; gradients alike."""
    assert torch.equal(a[0].radii, b[0].radii)
    for name in ALL:
        x, y = getattr(a[0], name), getattr(b[0], name)
        assert (x is None) == (y is None)
        if x is None:
            continue
        close = (x - y).detach().abs() <= 3e-5 * max(1.0, float(y.detach().abs().max()))
        assert close.float().mean() > 0.998, name
    for name, want in b[1].items():
        error = (a[1][name] - want).norm() / want.norm().clamp_min(1e-12)
        assert error < 5e-3, f"{name} off by {error:.1e}"


def compare(scene: dict[str, Any], **options: Any) -> None:
    with engine(emulated_engine()):
        actual = run(scene, **dict(options))
    with engine(_cpu.CpuEngine()):
        expected = run(scene, **dict(options))
    assert_close(actual, expected)


@pytest.mark.parity
@pytest.mark.skipif(not parity.SCENES, reason=f"no rasterizer fixtures in {parity.FOLDER}")
@pytest.mark.parametrize("name", parity.SCENES)
def test_fixture(name: str, emulated: None) -> None:
    parity.test_scene(name)


@pytest.mark.parity
@pytest.mark.skipif(not parity.SCENES, reason=f"no rasterizer fixtures in {parity.FOLDER}")
def test_fixtures_of_plain_and_counting(emulated: None) -> None:
    parity.test_compress_raster()
    parity.test_compress_score(False)
    parity.test_compress_score(True)


@pytest.mark.parametrize("want", [("color",), ("depth", "normal"), ("median_coord", "normal"), ALL])
def test_like_the_cpu_engine(want: tuple[str, ...]) -> None:
    compare(gaussians(300, 4), want=want, background=torch.tensor([0.2, 0.4, 0.6]))


def test_large_gaussians() -> None:
    """More than 32 tiles each: their warp shares the writing and the adding."""
    compare(gaussians(24, 6, size=1.2), view=view(150, 130, 120.0), want=("color",))


def test_lists_of_many_batches() -> None:
    scene = gaussians(900, 9, degree=0, size=0.5)
    scene["opacities"] = torch.full((900, 1), 0.006)
    compare(scene, view=view(20, 18), want=("color",))


def test_options() -> None:
    scene = gaussians(60, 8)
    compare(scene, want=("color",), kernel_size=0.3, compensate=False, scale_modifier=1.3)
    compare(scene, want=("color",), kernel_size=0.2, gradient_limit=0.5, absolute_statistic=False)


def test_long_keys(emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for images of more tiles than 16-bit keys can tell apart."""
    from diff_gaussian_rasterization.cuda import engine as module

    scene = gaussians(60, 3)
    short = dgr.rasterize(**scene, view=view(70, 50))
    monkeypatch.setattr(module, "SHORT_KEYS", 3)
    assert torch.equal(dgr.rasterize(**scene, view=view(70, 50)).color, short.color)


def test_the_order_of_threads_does_not_matter() -> None:
    """Blocks and threads in descending order: the same bits, so nothing races."""
    scene = gaussians(120, 5, size=0.4)
    results = []
    for backwards in (False, True):
        with engine(emulated_engine(backwards)):
            results.append(run(scene, want=("color",)))
    assert torch.equal(results[0][0].color, results[1][0].color)
    for name, grad in results[0][1].items():
        assert torch.equal(grad, results[1][1][name]), name


def three_views() -> list[dgr.View]:
    views = []
    for k in range(3):
        pose = torch.eye(4)
        pose[0, 3] = 0.2 * (k - 1)
        views.append(dgr.View.from_pinhole(40, 30, 45.0 + k, 44.0, pose))
    return views


def test_several_views_in_one_call(emulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from diff_gaussian_rasterization import views as module

    scene = gaussians(80, 11)
    results = []
    for together in (module._at_once, None):
        leaves = with_gradients(scene)
        leaves["means2d"] = torch.zeros(3, 80, 3, requires_grad=True)
        if together is None:
            out = dgr.rasterize_views(**leaves, views=three_views())
        else:
            dummy, rest = leaves["means2d"], dict(leaves)
            first = [rest.pop(n) for n in ("means", "quats", "scales", "opacities")]
            rest.pop("means2d")
            out = together(*first, three_views(), dummy, None, None, rest)  # type: ignore[arg-type]
        assert out.color.shape == (3, 3, 30, 40)
        backward(out)
        results.append((out, {k: v.grad for k, v in leaves.items()}))
    (a, grads), (b, expected) = results
    assert torch.equal(a.radii, b.radii)
    assert torch.equal(a.color, b.color)
    for name, want in expected.items():
        assert want is not None
        torch.testing.assert_close(grads[name], want, rtol=1e-4, atol=1e-5, msg=name)


def test_views_of_one_size() -> None:
    with pytest.raises(ValueError, match=r"images of one size"):
        dgr.rasterize_views(**gaussians(3, 0), views=[view(40, 30), view(41, 30)])


def test_nothing_in_sight(emulated: None) -> None:
    for count, shift in ((0, 0.0), (5, -20.0)):
        scene = gaussians(count, 1)
        scene["means"][:, 2] += shift
        leaves = with_gradients(scene)
        out = dgr.rasterize(**leaves, view=view(), background=torch.tensor([0.1, 0.2, 0.3]))
        assert torch.allclose(out.color, torch.tensor([0.1, 0.2, 0.3])[:, None, None])
        out.color.sum().backward()
        for name, leaf in leaves.items():
            assert leaf.grad is not None, name
            assert leaf.grad.shape == leaf.shape
            assert not leaf.grad.any()


@pytest.mark.parametrize(
    ("name", "said"), [("means", "means"), ("quats", "rotations"), ("sh", "sh")]
)
def test_nan_is_named(name: str, said: str, emulated: None) -> None:
    scene = gaussians(40, 2)
    scene[name].view(40, -1)[[31, 17], 0] = float("nan")
    with pytest.raises(ValueError, match=rf"^{said} of Gaussian 17 is NaN"):
        dgr.rasterize(**scene, view=view())


def test_nan_in_view_and_gradient(emulated: None) -> None:
    bad = view().campos.clone()
    bad[1] = float("inf")
    with pytest.raises(ValueError, match=r"^campos holds NaN or Inf"):
        dgr.rasterize(**gaussians(3, 0), view=view()._replace(campos=bad))
    out = dgr.rasterize(**with_gradients(gaussians(20, 2)), view=view(), nan_assertions=True)
    grad = torch.ones_like(out.color)
    grad[0, 15, 20] = float("nan")
    with pytest.raises(AssertionError, match=r"gradient of .* is NaN, first at Gaussian"):
        out.color.backward(grad)
