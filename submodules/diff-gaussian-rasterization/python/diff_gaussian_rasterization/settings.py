"""Settings of the drop-in rasterizers, one NamedTuple per call signature.

This module needs torch only for its annotations and never loads the native engine, so that the
plain-torch twin can be used where nothing was compiled. Field order is part of the contract
(callers may pass positionally). Source: spec `rasterizer.md`, sections 7 and 9.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class PlainSettings(NamedTuple):
    """Plain 3DGS: colour only, low-pass of 0.3 pixels squared, no opacity compensation.

    Matrices are in the row-vector convention: ``[X, 1] @ viewmatrix`` is the camera point.
    """

    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: Tensor
    scale_modifier: float
    viewmatrix: Tensor
    projmatrix: Tensor
    sh_degree: int
    campos: Tensor
    prefiltered: bool
    debug: bool


class RadeSettings(NamedTuple):
    """RaDe: plane-based depth, coordinates and normals; compensated low-pass ``kernel_size``."""

    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    kernel_size: float
    bg: Tensor
    scale_modifier: float
    viewmatrix: Tensor
    projmatrix: Tensor
    sh_degree: int
    campos: Tensor
    prefiltered: bool
    require_depth: bool
    require_coord: bool
    debug: bool


class CompressSettings(NamedTuple):
    """Plain 3DGS with ``f_count``, which counts blended pixels per Gaussian instead of training."""

    image_height: int
    image_width: int
    tanfovx: float
    tanfovy: float
    bg: Tensor
    scale_modifier: float
    viewmatrix: Tensor
    projmatrix: Tensor
    sh_degree: int
    campos: Tensor
    prefiltered: bool
    debug: bool
    f_count: bool
