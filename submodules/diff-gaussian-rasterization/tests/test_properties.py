"""Properties that hold for every scene: order, emptiness, sizes, bits, variants, limits."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import diff_gaussian_rasterization as dgr
import pytest
import torch
from diff_gaussian_rasterization import _core
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_scenes import ALL, backward, gaussians, view, with_gradients


@pytest.fixture
def restore_engine() -> Iterator[None]:
    threads, simd = dgr.get_num_threads(), dgr.simd_variant()
    yield
    dgr.set_num_threads(threads)
    _core.select_simd(simd)


def run(scene: dict[str, Any], **options: Any) -> tuple[dgr.RasterOutput, dict[str, torch.Tensor]]:
    """Forward and backward with all outputs; the gradients by input name."""
    leaves = with_gradients(scene)
    options.setdefault("want", ALL)
    out = dgr.rasterize(**leaves, view=options.pop("view", view()), **options)
    backward(out)
    return out, {k: v.grad for k, v in leaves.items() if v.grad is not None}


def assert_same_bits(a: Any, b: Any) -> None:
    for x, y in zip(a, b, strict=True):
        assert (x is None) == (y is None)
        assert x is None or torch.equal(x, y)


def test_same_bits_for_any_thread_count(restore_engine: None) -> None:
    scene = gaussians(400, 3)
    results = []
    for threads in (1, 2, 3, 1):
        dgr.set_num_threads(threads)
        results.append(run(scene))
    for out, grads in results[1:]:
        assert_same_bits(out, results[0][0])
        assert_same_bits(grads.values(), results[0][1].values())


@pytest.mark.parametrize("want", [("color",), ALL])
def test_simd_variants_agree(want: tuple[str, ...], restore_engine: None) -> None:
    scene = gaussians(300, 4)
    reference: tuple[dgr.RasterOutput, dict[str, torch.Tensor]] | None = None
    compared = 0
    for name in ("baseline", "avx2", "avx512"):
        try:
            _core.select_simd(name)
        except ValueError:
            continue
        result = run(scene, want=want)
        if reference is None:
            reference = result
            continue
        compared += 1
        for key in want:
            a, b = getattr(result[0], key).detach(), getattr(reference[0], key).detach()
            # A threshold may fall the other way at single pixels.
            close = (a - b).abs() <= 3e-5 * max(1.0, float(b.abs().max()))
            assert close.float().mean() > 0.995, key
        for key, grad in reference[1].items():
            error = (result[1][key] - grad).norm() / grad.norm().clamp_min(1e-12)
            assert error < 2e-2, key
    if not compared:
        pytest.skip("this machine has one SIMD variant only")


@settings(max_examples=15, deadline=None)
@given(count=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_permutation(count: int, seed: int) -> None:
    scene = gaussians(count, seed)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    shuffled = {k: v[order] for k, v in scene.items()}
    out, grads = run(scene)
    out_s, grads_s = run(shuffled)
    assert torch.equal(out.radii[order], out_s.radii)
    for name in ALL:
        assert torch.equal(getattr(out, name), getattr(out_s, name)), name
    for name, grad in grads.items():
        assert torch.equal(grad[order], grads_s[name]), name


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 70), height=st.integers(1, 70), seed=st.integers(0, 10**6))
def test_any_size(width: int, height: int, seed: int) -> None:
    scene = gaussians(20, seed, size=0.4)
    small = view(width, height)
    out, grads = run(scene, view=small)
    assert out.color.shape == (3, height, width)
    assert all(torch.isfinite(getattr(out, name)).all() for name in ALL)
    assert all(torch.isfinite(g).all() for g in grads.values())
    assert out.alpha is not None
    assert 0.0 <= float(out.alpha.detach().min()) <= float(out.alpha.detach().max()) <= 1.0


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(60, 95))
def test_crop(seed: int, width: int) -> None:
    """The same camera with fewer columns shows the same picture on those it has."""
    scene = gaussians(30, seed, size=0.1)
    whole = dgr.View.from_pinhole(96, 80, 60.0, 60.0, torch.eye(4))
    part = dgr.View.from_pinhole(width, 80, 60.0, 60.0, torch.eye(4), cx=48.0, cy=40.0)
    inside = width // 16 * 16  # the last tile column may hold fewer Gaussians' tiles
    a = dgr.rasterize(**scene, view=whole).color[..., :inside]
    b = dgr.rasterize(**scene, view=part).color[..., :inside]
    assert ((a - b).abs() < 1e-4).float().mean() > 0.999


def test_one_pixel() -> None:
    out, grads = run(gaussians(5, 0, size=1.0), view=view(1, 1))
    assert out.color.shape == (3, 1, 1)
    assert float(grads["sh"].abs().sum()) > 0


def test_no_gaussians() -> None:
    background = torch.tensor([0.2, 0.4, 0.6])
    out, grads = run(gaussians(0, 0), background=background)
    assert torch.equal(out.color, background[:, None, None].expand(3, 30, 40))
    assert all(not getattr(out, name).any() for name in ALL if name != "color")
    assert out.radii.shape == (0,)
    assert grads["sh"].shape == (0, 9, 3)


def test_all_culled() -> None:
    scene = gaussians(30, 1)
    scene["means"][:, 2] *= -1
    background = torch.tensor([1.0, 0.5, 0.0])
    out, grads = run(scene, background=background)
    assert torch.equal(out.color, background[:, None, None].expand(3, 30, 40))
    assert not out.radii.any()
    assert all(not g.any() for g in grads.values())


def test_outputs_do_not_change_each_other() -> None:
    """What is wanted beside the colour leaves colour and its gradients alone."""
    scene = gaussians(200, 5)
    results = []
    for want in (("color",), ("color", "depth"), ("color", "coord", "normal"), ALL):
        leaves = with_gradients(scene)
        out = dgr.rasterize(**leaves, view=view(), want=want)
        out.color.backward(torch.ones_like(out.color))
        results.append((out.color, *(v.grad for v in leaves.values())))
    for other in results[1:]:
        assert_same_bits(results[0], other)


def test_unwanted_outputs_are_absent() -> None:
    out = dgr.rasterize(**gaussians(10, 0), view=view(), want=["depth"])
    assert out.depth is not None
    assert out.median_depth is None
    assert out.alpha is None
    assert out.counts is None


def test_noncontiguous_inputs() -> None:
    scene = gaussians(50, 6)
    strided = {k: torch.stack([v, v], -1)[..., 0] for k, v in scene.items()}
    assert not strided["scales"].is_contiguous()
    out, grads = run(scene)
    out_s, grads_s = run(strided)
    assert_same_bits(out, out_s)
    assert_same_bits(grads.values(), grads_s.values())


def test_gradient_limit() -> None:
    leaves = with_gradients(gaussians(50, 7))
    free = with_gradients(gaussians(50, 7))
    for scene, limit in ((leaves, 0.5), (free, None)):
        dgr.rasterize(**scene, view=view(), gradient_limit=limit).color.sum().backward()
    for name in ("means", "sh", "opacities", "scales", "quats"):
        assert torch.equal(leaves[name].grad, free[name].grad.clamp(-0.5, 0.5)), name
    assert torch.equal(leaves["means2d"].grad, free["means2d"].grad)


def test_counts() -> None:
    scene = gaussians(80, 8)
    out = dgr.rasterize(**scene, view=view(), counts=True, kernel_size=0.3, compensate=False)
    plain = dgr.rasterize(**scene, view=view(), kernel_size=0.3, compensate=False)
    assert torch.equal(out.color, plain.color)
    assert out.counts is not None
    assert out.scores is not None
    torch.testing.assert_close(out.scores, out.counts * scene["opacities"][:, 0])
    by_light = dgr.rasterize(
        **scene,
        view=view(),
        counts=True,
        score_by_transmittance=True,
        kernel_size=0.3,
        compensate=False,
    )
    assert by_light.scores is not None
    assert (by_light.scores <= out.scores * 1.0001).all()
    assert int(out.counts.sum()) > 0


def test_many_entries_in_one_tile() -> None:
    """Faint layers, so that no pixel stops early: lists of many batches."""
    count = 3000
    scene = gaussians(count, 9, degree=0, size=0.5)
    scene["opacities"] = torch.full((count, 1), 0.005)
    out, grads = run(scene, view=view(16, 16))
    assert out.alpha is not None
    assert 0.5 < float(out.alpha.detach().max()) < 1.0
    assert all(torch.isfinite(g).all() for g in grads.values())


def test_state_is_freed_with_the_graph() -> None:
    leaves = with_gradients(gaussians(20, 10))
    out = dgr.rasterize(**leaves, view=view())
    node: Any = out.color.grad_fn
    state = weakref.ref(node.state)
    del node
    out.color.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        out.color.sum().backward()
    del out
    gc.collect()
    assert state() is None


def test_backward_twice() -> None:
    leaves = with_gradients(gaussians(20, 10))
    out = dgr.rasterize(**leaves, view=view())
    first = torch.autograd.grad(out.color.sum(), leaves["means"], retain_graph=True)[0]
    second = torch.autograd.grad(out.color.sum(), leaves["means"])[0]
    assert torch.equal(first, second)


def test_environment_variables() -> None:
    code = "import diff_gaussian_rasterization as d; print(d.get_num_threads(), d.simd_variant())"
    environment = {**os.environ, "IGS_NUM_THREADS": "3", "IGS_SIMD": "baseline"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["3", "baseline"]


@pytest.mark.slow
def test_a_million_gaussians() -> None:
    resource = pytest.importorskip("resource", reason="memory is measured on Unix only")
    count = 1_000_000
    scene = gaussians(count, 11, degree=1, size=0.004)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, grads = run(scene, view=view(64, 48))
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert float(grads["means"].abs().max()) > 0
    assert used < 4096, f"{used:.0f} MiB"


def test_a_limit_does_not_hide_nan() -> None:
    leaves = with_gradients(gaussians(20, 2))
    out = dgr.rasterize(**leaves, view=view(), gradient_limit=0.5)
    grad = torch.ones_like(out.color)
    grad[0, 15, 20] = float("nan")
    out.color.backward(grad)
    for name in ("means", "sh"):
        assert leaves[name].grad.isnan().any()
        assert leaves[name].grad.nan_to_num().abs().max() <= 0.5
