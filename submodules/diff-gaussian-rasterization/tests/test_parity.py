"""The fixtures of the original programs, `exact_*` arrays (parity/rasterizer/README.md)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import diff_gaussian_rasterization_compress as compress
import diff_gaussian_rasterization_rade as rade
import numpy as np
import pytest
import torch

SHARED = Path(os.environ.get("IGS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
FOLDER = SHARED / "parity" / "rasterizer"
SCENES = sorted(p.name for p in FOLDER.glob("s[0-9]*.npz"))
INPUTS = ("means3D", "opacities", "scales", "rotations", "shs", "colors_precomp", "cov3D_precomp")
NAMES = ("color", "coord", "mcoord", "depth", "mdepth", "alpha", "normal")

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not SCENES, reason=f"no rasterizer fixtures in {FOLDER}"),
]


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / name) as file:
        return dict(file)


def tensors(data: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The scene's inputs as leaves, `means2D` included."""
    found = {k: torch.tensor(data[k]).requires_grad_() for k in INPUTS if k in data}
    found["means2D"] = torch.zeros_like(found["means3D"]).requires_grad_()
    return found


def rade_settings(data: dict[str, np.ndarray]) -> rade.GaussianRasterizationSettings:
    return rade.GaussianRasterizationSettings(
        image_height=int(data["image_height"]),
        image_width=int(data["image_width"]),
        tanfovx=float(data["tanfovx"]),
        tanfovy=float(data["tanfovy"]),
        kernel_size=float(data["kernel_size"]),
        bg=torch.tensor(data["bg"]),
        scale_modifier=float(data["scale_modifier"]),
        viewmatrix=torch.tensor(data["viewmatrix"]),
        projmatrix=torch.tensor(data["projmatrix"]),
        sh_degree=int(data["sh_degree"]),
        campos=torch.tensor(data["campos"]),
        prefiltered=False,
        require_depth=bool(data["require_depth"]),
        require_coord=bool(data["require_coord"]),
        debug=False,
    )


def compress_settings(
    data: dict[str, np.ndarray], f_count: bool, prefix: str = ""
) -> compress.GaussianRasterizationSettings:
    return compress.GaussianRasterizationSettings(
        image_height=int(data["image_height"]),
        image_width=int(data["image_width"]),
        tanfovx=float(data[f"{prefix}tanfovx"]),
        tanfovy=float(data[f"{prefix}tanfovy"]),
        bg=torch.tensor(data["bg"]),
        scale_modifier=float(data.get("scale_modifier", 1.0)),
        viewmatrix=torch.tensor(data[f"{prefix}viewmatrix"]),
        projmatrix=torch.tensor(data[f"{prefix}projmatrix"]),
        sh_degree=int(data["sh_degree"]),
        campos=torch.tensor(data[f"{prefix}campos"]),
        prefiltered=False,
        debug=False,
        f_count=f_count,
    )


def assert_gradients_close(
    inputs: dict[str, torch.Tensor], data: dict[str, np.ndarray], relative: float
) -> None:
    want = {k: data[f"exact_grad_{k}"] for k in inputs}
    floor = 1e-6 * max(float(np.abs(v).max()) for v in want.values())
    for name, reference in want.items():
        grad = inputs[name].grad
        assert grad is not None, f"no gradient for {name}"
        error = float(np.abs(grad.numpy() - reference).max())
        allowed = relative * float(np.abs(reference).max()) + floor
        assert error <= allowed, f"gradient of {name} off by {error:.2e}, allowed {allowed:.2e}"


@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str) -> None:
    data = load(name)
    inputs = tensors(data)
    out = rade.GaussianRasterizer(rade_settings(data))(**inputs)
    images: dict[str, Any] = dict(zip(("color", "radii", *NAMES[1:]), out, strict=True))
    assert np.array_equal(images["radii"].numpy(), data["exact_radii"])
    stable = data["stable"]
    for key in NAMES:
        reference = data[f"exact_{key}"]
        error = np.abs(images[key].detach().numpy() - reference)[:, stable]
        allowed = 3e-5 * max(1.0, float(np.abs(reference).max()))
        assert error.max() <= allowed, f"{key} off by {error.max():.2e}, allowed {allowed:.2e}"
    torch.autograd.backward(
        [images[k] for k in NAMES if images[k].requires_grad],
        [torch.tensor(data[f"gin_{k}"]) for k in NAMES if images[k].requires_grad],
    )
    assert_gradients_close(inputs, data, 2e-3)


@pytest.mark.parametrize("name", SCENES)
def test_visible(name: str) -> None:
    data = load(name)
    visible = rade.GaussianRasterizer(rade_settings(data)).markVisible(
        torch.tensor(data["means3D"])
    )
    assert np.array_equal(visible.numpy(), data["visible"])


def test_compress_raster() -> None:
    data = load("compress_raster.npz")
    inputs = tensors(data)
    color, radii = compress.GaussianRasterizer(compress_settings(data, False))(**inputs)
    assert np.array_equal(radii.numpy(), data["out_radii"])
    stable = data.get("stable", np.ones(color.shape[1:], dtype=bool))
    error = np.abs(color.detach().numpy() - data["exact_color"])[:, stable]
    assert error.max() <= 1e-5
    color.backward(torch.tensor(data["gin_color"]))
    assert_gradients_close(inputs, data, 1e-4)
    means2d_grad = inputs["means2D"].grad
    assert means2d_grad is not None
    assert not means2d_grad[:, 2].any()


@pytest.mark.parametrize("by_transmittance", [False, True])
def test_compress_score(by_transmittance: bool) -> None:
    data = load("compress_score.npz")
    views = sorted(k.split("_")[0] for k in data if k.endswith("_viewmatrix"))
    total = np.zeros(len(data["opacities"]), dtype=np.int64)
    suffix = "_score_T" if by_transmittance else "_score"
    inputs = {k: torch.tensor(data[k]) for k in INPUTS if k in data}
    if "means3D" not in inputs:
        pytest.fail(f"compress_score has no means3D, only {sorted(data)}")
    for view in views:
        settings = compress_settings(data, True, f"{view}_")
        rasterizer = compress.GaussianRasterizer(settings, score_by_transmittance=by_transmittance)
        count, score, color, radii = rasterizer(
            means2D=torch.zeros_like(inputs["means3D"]), **inputs
        )
        assert np.array_equal(count.numpy(), data[f"{view}_count"])
        np.testing.assert_allclose(score.numpy(), data[view + suffix], rtol=1e-5, atol=1e-7)
        assert np.abs(color.numpy() - data[f"{view}_color"]).max() <= 2e-6
        assert np.array_equal(radii.numpy(), data[f"{view}_radii"])
        assert not color.requires_grad
        total += count.numpy()
    assert np.array_equal(total, data["count_total"])
