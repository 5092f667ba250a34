"""Bad input: one line that names the thing and says what would be right."""

from __future__ import annotations

from typing import Any

import diff_gaussian_rasterization as dgr
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from raster_scenes import gaussians, view, with_gradients

NAMES = {"means": "means", "quats": "rotations", "scales": "scales", "opacities": "opacities",
         "sh": "sh", "colors": "colors", "cov3d": "cov3D"}  # fmt: skip


def variant(name: str, count: int) -> dict[str, Any]:
    """A scene that holds the input `name`."""
    scene = gaussians(count, 0)
    if name == "colors":
        scene.pop("sh")
        scene["colors"] = torch.rand(count, 3)
    if name == "cov3d":
        scene["quats"] = scene["scales"] = None
        scene["cov3d"] = torch.tensor([0.01, 0, 0, 0.01, 0, 0.01]).repeat(count, 1)
    return scene


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(NAMES)),
    bad=st.sampled_from([float("nan"), float("inf"), -float("inf")]),
    where=st.integers(0, 10**6),
    second=st.integers(0, 2999),
)
def test_nan_and_inf_are_refused(name: str, bad: float, where: int, second: int) -> None:
    scene = variant(name, 3000)
    flat = scene[name].view(3000, -1)
    first = where % 3000
    flat[first, where % flat.shape[1]] = bad
    flat[second, 0] = bad
    with pytest.raises(
        ValueError, match=rf"^{NAMES[name]} of Gaussian {min(first, second)} is NaN"
    ):
        dgr.rasterize(**scene, view=view())


@pytest.mark.parametrize("field", ["viewmatrix", "projmatrix", "campos"])
def test_nan_in_the_view(field: str) -> None:
    bad = getattr(view(), field).clone()
    bad.view(-1)[1] = float("nan")
    with pytest.raises(ValueError, match=f"^{field} holds NaN or Inf"):
        dgr.rasterize(**gaussians(3, 0), view=view()._replace(**{field: bad}))


def test_nan_in_the_background() -> None:
    with pytest.raises(ValueError, match=r"^background holds NaN or Inf"):
        dgr.rasterize(
            **gaussians(3, 0), view=view(), background=torch.tensor([0.0, float("nan"), 0.0])
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["means", "quats", "scales", "opacities"])
def test_only_float32(name: str, dtype: torch.dtype) -> None:
    scene = gaussians(3, 0)
    scene[name] = scene[name].to(dtype)
    with pytest.raises(TypeError, match=f"^{name} must be float32, got torch"):
        dgr.rasterize(**scene, view=view())


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("means", (4, 2), r"means must have shape \(any, 3\), got \(4, 2\)"),
        ("quats", (4, 3), r"quats must have shape \(3, 4\), got \(4, 3\)"),
        ("scales", (3,), r"scales must have shape \(3, 3\), got \(3,\)"),
        ("opacities", (2, 1), r"opacities must have shape \(3, 1\), got \(2, 1\)"),
        ("sh", (3, 9, 4), r"sh must have shape \(3, any, 3\), got \(3, 9, 4\)"),
    ],
)
def test_shapes(name: str, shape: tuple[int, ...], wanted: str) -> None:
    scene = gaussians(3, 0)
    scene[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=wanted):
        dgr.rasterize(**scene, view=view())


def test_too_few_sh_coefficients() -> None:
    scene = gaussians(3, 0, degree=1)
    with pytest.raises(ValueError, match="sh holds 4 coefficients per Gaussian; degree 3 needs 16"):
        dgr.rasterize(**scene, view=view(), sh_degree=3)


def test_other_devices() -> None:
    scene = gaussians(3, 0)
    meta = {k: v.to("meta") for k, v in scene.items()}
    with pytest.raises(NotImplementedError, match="means is on meta: pass CPU or CUDA"):
        dgr.rasterize(**meta, view=view())
    scene["scales"] = scene["scales"].to("meta")
    with pytest.raises(ValueError, match="all tensors must be on one device"):
        dgr.rasterize(**scene, view=view())


def test_choices() -> None:
    scene = gaussians(3, 0)
    with pytest.raises(ValueError, match="exactly one of sh and colors"):
        dgr.rasterize(**scene, colors=torch.zeros(3, 3), view=view())
    with pytest.raises(ValueError, match="exactly one of cov3d and the pair"):
        dgr.rasterize(**scene, cov3d=torch.zeros(3, 6), view=view())
    with pytest.raises(ValueError, match="unknown output 'disparity'"):
        dgr.rasterize(**scene, view=view(), want=["disparity"])
    with pytest.raises(ValueError, match="counts=True renders colour and alpha only"):
        dgr.rasterize(**scene, view=view(), want=["depth"], counts=True)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (70000, 5)])
def test_image_size(width: int, height: int) -> None:
    bad = view()._replace(image_width=width, image_height=height)
    with pytest.raises(ValueError, match="image size must be 1 to 65535"):
        dgr.rasterize(**gaussians(3, 0), view=bad)


def test_nan_gradient_is_named() -> None:
    leaves = with_gradients(gaussians(20, 2))
    out = dgr.rasterize(**leaves, view=view(), nan_assertions=True)
    grad = torch.ones_like(out.color)
    grad[0, 15, 20] = float("nan")
    with pytest.raises(AssertionError, match=r"gradient of .* is NaN, first at Gaussian"):
        out.color.backward(grad)


def test_thread_count() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        dgr.set_num_threads(0)
