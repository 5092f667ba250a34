"""The call signatures that other programs use (spec `rasterizer.md`, sections 7 to 9)."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import diff_gaussian_rasterization as plain
import diff_gaussian_rasterization_compress as compress
import diff_gaussian_rasterization_rade as rade
import diff_gaussian_rasterization_rade_clamp as clamp
import pytest
import torch
from raster_scenes import gaussians, view

FORWARD = ["self", "means3D", "means2D", "opacities", "shs", "colors_precomp", "scales",
           "rotations", "cov3D_precomp"]  # fmt: skip
PLAIN = ["image_height", "image_width", "tanfovx", "tanfovy", "bg", "scale_modifier", "viewmatrix",
         "projmatrix", "sh_degree", "campos", "prefiltered", "debug"]  # fmt: skip
RADE = ["image_height", "image_width", "tanfovx", "tanfovy", "kernel_size", "bg", "scale_modifier",
        "viewmatrix", "projmatrix", "sh_degree", "campos", "prefiltered", "require_depth",
        "require_coord", "debug"]  # fmt: skip
FIELDS = [(plain, PLAIN), (rade, RADE), (clamp, RADE), (compress, [*PLAIN, "f_count"])]


def settings(module: ModuleType, **changes: Any) -> Any:
    v = view()
    values: dict[str, Any] = {
        **v._asdict(),
        "bg": torch.tensor([0.1, 0.2, 0.3]),
        "scale_modifier": 1.0,
        "kernel_size": 0.0,
        "sh_degree": 2,
        "prefiltered": False,
        "require_depth": True,
        "require_coord": True,
        "debug": False,
        "f_count": False,
        **changes,
    }
    fields = module.GaussianRasterizationSettings._fields
    return module.GaussianRasterizationSettings(**{k: values[k] for k in fields})


def inputs(count: int = 40) -> dict[str, torch.Tensor]:
    s = gaussians(count, 12)
    named = {
        "means3D": s["means"],
        "means2D": torch.zeros(count, 3),
        "opacities": s["opacities"],
        "shs": s["sh"],
        "scales": s["scales"],
        "rotations": s["quats"],
    }
    return {k: v.requires_grad_() for k, v in named.items()}


@pytest.mark.parametrize(("module", "fields"), FIELDS)
def test_settings_and_forward(module: ModuleType, fields: list[str]) -> None:
    assert list(module.GaussianRasterizationSettings._fields) == fields
    assert list(inspect.signature(module.GaussianRasterizer.forward).parameters) == FORWARD
    rasterizer = module.GaussianRasterizer(settings(module))
    visible = rasterizer.markVisible(torch.tensor([[0.0, 0, 1], [0, 0, 0.1]]))
    assert visible.tolist() == [True, False]
    assert isinstance(rasterizer, torch.nn.Module)


@pytest.mark.parametrize("module", [plain, rade, clamp, compress])
def test_function_and_module_agree(module: ModuleType) -> None:
    s, x, empty = settings(module), inputs(), torch.empty(0)
    a = module.GaussianRasterizer(s)(**x)
    b = module.rasterize_gaussians(
        x["means3D"], x["means2D"], x["shs"], empty, x["opacities"], x["scales"], x["rotations"],
        empty, s,
    )  # fmt: skip
    assert len(a) == len(b) == (8 if "kernel_size" in s._fields else 2)
    assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("module", [plain, rade, clamp, compress])
def test_refuses_wrong_choices(module: ModuleType) -> None:
    rasterizer, x = module.GaussianRasterizer(settings(module)), inputs()
    with pytest.raises(ValueError, match="exactly one of shs and colors_precomp"):
        rasterizer(**x, colors_precomp=torch.zeros(40, 3))
    x.pop("rotations")
    with pytest.raises(ValueError, match="exactly one of cov3D_precomp"):
        rasterizer(**x)


@pytest.mark.parametrize("module", [plain, rade, clamp, compress])
def test_empty_scene(module: ModuleType) -> None:
    x = inputs(0)
    color = module.GaussianRasterizer(settings(module))(**x)[0]
    assert torch.allclose(color, torch.tensor([0.1, 0.2, 0.3])[:, None, None].expand_as(color))
    color.sum().backward()
    assert x["shs"].grad is not None
    assert x["shs"].grad.shape == (0, 9, 3)


def test_rade_without_planes() -> None:
    out = rade.GaussianRasterizer(settings(rade, require_depth=False, require_coord=False))(
        **inputs()
    )
    for k in (2, 3, 4, 5, 7):
        assert not out[k].any()
        assert not out[k].requires_grad
    assert out[6].any()


def test_clamp_limits_only_its_own() -> None:
    weight = 1e4
    grads = []
    for module in (rade, clamp):
        x = inputs()
        (module.GaussianRasterizer(settings(module))(**x)[0].sum() * weight).backward()
        grads.append({k: v.grad for k, v in x.items()})
    free, limited = grads
    for name in ("means3D", "shs", "opacities", "scales", "rotations"):
        assert free[name].abs().max() > 15.0
        assert torch.equal(limited[name], free[name].clamp(-15.0, 15.0)), name
    assert torch.equal(limited["means2D"], free["means2D"])


def test_counting() -> None:
    rasterizer = compress.GaussianRasterizer(settings(compress, f_count=True))
    count, score, color, radii = rasterizer(**inputs())
    assert count.dtype == torch.int32
    assert score.dtype == torch.float32
    assert not color.requires_grad
    again = rasterizer.forward_count(**inputs())
    assert all(torch.equal(a, b) for a, b in zip((count, score, color, radii), again, strict=True))


def test_plain_has_no_absolute_statistic() -> None:
    x = inputs()
    plain.GaussianRasterizer(settings(plain))(**x)[0].sum().backward()
    grad = x["means2D"].grad
    assert grad is not None
    assert grad[:, :2].any()
    assert not grad[:, 2].any()
