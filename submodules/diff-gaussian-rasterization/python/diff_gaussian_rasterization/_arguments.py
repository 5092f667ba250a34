"""The arguments of the core, checked before an engine sees them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from diff_gaussian_rasterization._checks import check_one_device, check_sh, check_tensor
from diff_gaussian_rasterization._engine import FEATURE, OUTPUTS, Inputs
from diff_gaussian_rasterization._tiles import TILE
from diff_gaussian_rasterization.view import View


def wanted(want: Iterable[str], counts: bool) -> tuple[str, ...]:
    asked = {want} if isinstance(want, str) else set(want)
    unknown = sorted(asked.difference(OUTPUTS))
    if unknown:
        raise ValueError(f"unknown output {unknown[0]!r}; know {', '.join(OUTPUTS)}")
    if counts and asked.intersection(FEATURE):
        raise ValueError("counts=True renders colour and alpha only; ask for planes separately")
    asked.add("color")
    return tuple(name for name in OUTPUTS if name in asked)


def checked_background(background: Tensor | None, device: torch.device) -> Tensor:
    if background is None:
        return torch.zeros(3, device=device)
    return _beside_means("background", check_tensor("background", background, (3,)), device)


def _beside_means(name: str, value: Tensor, device: torch.device) -> Tensor:
    if value.device != device:
        raise ValueError(
            f"all tensors must be on one device: means is on {device}, {name} on {value.device}"
        )
    return value


def checked_active(active: Tensor | None, view: View, device: torch.device) -> Tensor | None:
    """The tiles to draw of one view, contiguous."""
    if active is None:
        return None
    shape = (-(-int(view.image_height) // TILE), -(-int(view.image_width) // TILE))
    if active.dtype != torch.bool or tuple(active.shape) != shape:
        raise ValueError(
            f"active_tiles must be bool of shape {shape}, one a tile of {TILE} pixels, got "
            f"{active.dtype} {tuple(active.shape)}"
        )
    return _beside_means("active_tiles", active.detach().contiguous(), device)


def checked_view(view: View, device: torch.device) -> View:
    height, width = int(view.image_height), int(view.image_width)
    if not (0 < height < 1 << 16 and 0 < width < 1 << 16):
        raise ValueError(f"image size must be 1 to 65535 on each side, got {width} x {height}")
    if not (view.tanfovx > 0 and view.tanfovy > 0):
        raise ValueError(
            f"tanfovx and tanfovy must be positive, got {view.tanfovx} and {view.tanfovy}"
        )
    return view._replace(
        image_height=height,
        image_width=width,
        viewmatrix=_beside_means(
            "viewmatrix", check_tensor("viewmatrix", view.viewmatrix, (4, 4)), device
        ),
        projmatrix=_beside_means(
            "projmatrix", check_tensor("projmatrix", view.projmatrix, (4, 4)), device
        ),
        campos=_beside_means("campos", check_tensor("campos", view.campos, (3,)), device),
    )


def checked_inputs(
    means: Tensor,
    quats: Tensor | None,
    scales: Tensor | None,
    opacities: Tensor,
    sh: Tensor | None,
    colors: Tensor | None,
    cov3d: Tensor | None,
    means2d: Tensor | None,
    sh_degree: int | None,
    views: int | None = None,
) -> tuple[Inputs, int]:
    """Inputs in the engine's order, unchanged where they are fit (so that gradients flow).

    ``views`` is the length of the first axis of ``means2d``; None: there is no such axis.
    """
    if (sh is None) == (colors is None):
        raise ValueError("give exactly one of sh and colors")
    if (cov3d is None) == (scales is None) or (cov3d is None) == (quats is None):
        raise ValueError("give exactly one of cov3d and the pair scales and quats")
    check_one_device(
        {
            "means": means,
            "quats": quats,
            "scales": scales,
            "opacities": opacities,
            "sh": sh,
            "colors": colors,
            "cov3d": cov3d,
        }
    )
    check_tensor("means", means, (None, 3))
    count = means.shape[0]
    check_tensor("opacities", opacities, (count, 1) if opacities.dim() == 2 else (count,))
    for name, value, width in (
        ("scales", scales, 3),
        ("quats", quats, 4),
        ("cov3d", cov3d, 6),
        ("colors", colors, 3),
    ):
        if value is not None:
            check_tensor(name, value, (count, width))
    if means2d is not None:
        check_tensor("means2d", means2d, (count, 3) if views is None else (views, count, 3))
    degree = 0
    if sh is not None:
        stored = sh.shape[1] if sh.dim() == 3 else 0
        highest = max(0, int(stored**0.5) - 1)
        _, degree = check_sh(sh, highest if sh_degree is None else sh_degree, count)
    return (means, opacities, scales, quats, cov3d, sh, colors), degree
