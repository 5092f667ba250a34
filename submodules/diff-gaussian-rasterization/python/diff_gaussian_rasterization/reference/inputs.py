"""Checked inputs of the twin: Gaussians, and what the settings mean in numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

MAX_SH_DEGREE = 3
PLAIN_LOW_PASS = 0.3


def as_float32(value: float) -> float:
    """`value` rounded to float32, the precision in which the originals hold their constants."""
    return torch.tensor(value, dtype=torch.float32).item()


@dataclass(frozen=True)
class Gaussians:
    """N Gaussians; exactly one of each alternative is set.

    means (N, 3), means2D (N, 3) or None, opacities (N, 1); shs (N, M, 3) or colors (N, 3);
    scales (N, 3) with rotations (N, 4; w, x, y, z), or covariances (N, 6; upper triangle).
    """

    means: Tensor
    means2D: Tensor | None  # noqa: N815 - the name of the argument in every rasterizer
    opacities: Tensor
    shs: Tensor | None
    colors: Tensor | None
    scales: Tensor | None
    rotations: Tensor | None
    covariances: Tensor | None

    def select(self, index: Tensor) -> Gaussians:
        """The Gaussians of the given indices, in that order."""
        return self._each(lambda value: value[index])

    def detach(self) -> Gaussians:
        """The same without a graph."""
        return self._each(Tensor.detach)

    def _each(self, function: Callable[[Tensor], Tensor]) -> Gaussians:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {
            name: None if value is None else function(value) for name, value in values.items()
        }
        return Gaussians(**changed)


@dataclass(frozen=True)
class View:
    """The settings in numbers; matrices in the row-vector convention of the spec."""

    width: int
    height: int
    tan_x: float
    tan_y: float
    low_pass: float
    compensate: bool
    scale_modifier: float
    background: Tensor  # (3,)
    view: Tensor  # (4, 4)
    projection: Tensor  # (4, 4)
    centre: Tensor  # (3,)
    sh_degree: int
    want_depth: bool
    want_coord: bool

    @property
    def focal_x(self) -> float:
        return self.width / (2 * self.tan_x)

    @property
    def focal_y(self) -> float:
        return self.height / (2 * self.tan_y)

    @property
    def rotation(self) -> Tensor:
        """World-to-camera rotation (3, 3), for column vectors."""
        return self.view[:3, :3].T


def read_view(settings: Any, plain: bool, like: Tensor) -> View:
    """Turn a settings tuple into numbers of the dtype and device of `like`."""

    def tensor(value: Tensor) -> Tensor:
        return value.detach().to(like)

    return View(
        width=int(settings.image_width),
        height=int(settings.image_height),
        tan_x=as_float32(settings.tanfovx),
        tan_y=as_float32(settings.tanfovy),
        low_pass=as_float32(PLAIN_LOW_PASS if plain else settings.kernel_size),
        compensate=not plain,
        scale_modifier=as_float32(settings.scale_modifier),
        background=tensor(settings.bg),
        view=tensor(settings.viewmatrix),
        projection=tensor(settings.projmatrix),
        centre=tensor(settings.campos),
        sh_degree=min(int(settings.sh_degree), MAX_SH_DEGREE),
        want_depth=not plain and bool(settings.require_depth),
        want_coord=not plain and bool(settings.require_coord),
    )


def _none_if_empty(value: Tensor | None) -> Tensor | None:
    """Callers may pass an empty tensor for an argument that is not given."""
    return None if value is not None and value.dim() == 1 and value.numel() == 0 else value


def _complete_empty(g: Gaussians, coefficients: int) -> Gaussians:
    """No Gaussians: whatever was left out is empty too, so that the rest needs no exception."""
    has_shs = g.shs is not None and g.shs.dim() == 3 and g.shs.shape[1] >= coefficients
    has_factors = g.scales is not None and g.rotations is not None
    return Gaussians(
        g.means,
        g.means2D,
        g.opacities.reshape(0, 1),
        g.shs if has_shs else None,
        None if has_shs else g.means.new_zeros(0, 3),
        g.scales if has_factors else None,
        g.rotations if has_factors else None,
        None if has_factors else g.means.new_zeros(0, 6),
    )


def _check_alternatives(g: Gaussians) -> None:
    if (g.shs is None) == (g.colors is None):
        raise ValueError("give exactly one of shs and colors_precomp")
    has_factors = g.scales is not None and g.rotations is not None
    has_any_factor = g.scales is not None or g.rotations is not None
    if has_factors == (g.covariances is not None) or has_any_factor != has_factors:
        raise ValueError("give exactly one of the pair scales and rotations, and cov3D_precomp")


def _check_tensor(name: str, value: Tensor, shape: tuple[int | None, ...], like: Tensor) -> None:
    if value.dtype != like.dtype or value.device != like.device:
        raise ValueError(
            f"{name} is {value.dtype} on {value.device}, "
            f"means3D is {like.dtype} on {like.device}; give both alike"
        )
    fits = value.dim() == len(shape) and all(
        want is None or have == want for have, want in zip(value.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {shape}")
    bad = ~torch.isfinite(value.detach()).flatten(1).all(dim=1)
    if name != "means2D" and bool(bad.any()):
        raise ValueError(f"{name} is not finite at Gaussian {int(bad.nonzero()[0])}")


def read_gaussians(
    means3D: Tensor,
    means2D: Tensor | None,
    opacities: Tensor,
    shs: Tensor | None,
    colors_precomp: Tensor | None,
    scales: Tensor | None,
    rotations: Tensor | None,
    cov3D_precomp: Tensor | None,
    sh_degree: int,
) -> Gaussians:
    """Check shapes, dtypes, devices, alternatives and finiteness.

    Raises:
        RuntimeError: if means3D is not (N, 3).
        ValueError: for anything else, naming the array and the first bad Gaussian.
    """
    if means3D.dim() != 2 or means3D.shape[1] != 3:
        raise RuntimeError(f"means3D has shape {tuple(means3D.shape)}, expected (N, 3)")
    count = means3D.shape[0]
    optional = [shs, colors_precomp, scales, rotations, cov3D_precomp]
    g = Gaussians(means3D, means2D, opacities, *(_none_if_empty(v) for v in optional))
    if count == 0:
        return _complete_empty(g, (sh_degree + 1) ** 2)
    _check_alternatives(g)
    columns = {"means": 3, "means2D": 3, "opacities": 1, "colors": 3, "scales": 3}
    columns |= {"rotations": 4, "covariances": 6}
    arguments = {"means": "means3D", "colors": "colors_precomp", "covariances": "cov3D_precomp"}
    for field, width in columns.items():
        value = getattr(g, field)
        if value is not None:
            _check_tensor(arguments.get(field, field), value, (count, width), means3D)
    if g.shs is not None:
        _check_tensor("shs", g.shs, (count, None, 3), means3D)
        need = (sh_degree + 1) ** 2
        if g.shs.shape[1] < need:
            raise ValueError(
                f"shs holds {g.shs.shape[1]} coefficients, SH degree {sh_degree} needs {need}"
            )
    return g
