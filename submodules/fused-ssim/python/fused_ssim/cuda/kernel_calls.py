"""The two launches of the loss; kernels in `kernels/`, compiled at run time."""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from pathlib import Path

import torch
from nvrtc_kernels import CudaLauncher, Launcher, Program
from torch import Tensor

KERNELS = Path(__file__).parent.absolute() / "kernels"
THREADS, SIDE, DERIVATIVES = 256, 32, 3  # as in ssim.cu
MOST_BLOCKS = 2**31 - 1


class SsimArgs(ctypes.Structure):
    """What both kernels take by value, field for field as in `kernels/ssim.cu`."""

    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("image", "target", "derivatives", "sums", "upstream", "gradient")
        ),
        *((name, ctypes.c_int) for name in ("planes", "height", "width", "tiles_x", "tiles_y")),
        *((name, ctypes.c_float) for name in ("l1_scale", "ssim_scale")),
    ]


@cache  # one object, as long as the process lives
def program() -> Program:
    """Both kernels."""
    return Program(file=KERNELS / "ssim.cu")


class SsimKernels:
    """The kernels over a launcher: the GPU's, or an emulator's in the tests."""

    def __init__(self, launcher: Launcher | None = None) -> None:
        self._launcher = CudaLauncher() if launcher is None else launcher

    def means(
        self, image: Tensor, target: Tensor, with_derivatives: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Mean |image - target| and mean SSIM.

        Args:
            image: (N, H, W) float32, contiguous and not empty.
            target: the same.
            with_derivatives: keep what `gradient` needs: three times the image's memory.

        Returns:
            (2,) float64 on the images' device, without waiting for it; and the derivatives.

        Raises:
            ValueError: an image too large for one launch.
        """
        args, blocks = _arguments(image, target)
        derivatives = image.new_empty(DERIVATIVES, *image.shape) if with_derivatives else None
        sums = torch.empty(blocks, 2, dtype=torch.float64, device=image.device)
        args.sums = sums.data_ptr()
        args.derivatives = None if derivatives is None else derivatives.data_ptr()
        self._launcher.launch(program(), "ssim_forward", blocks, THREADS, args, image.device)
        return sums.sum(0) / image.numel(), derivatives

    def gradient(
        self,
        image: Tensor,
        target: Tensor,
        derivatives: Tensor,
        upstream: Tensor,
        l1_weight: float,
        ssim_weight: float,
    ) -> Tensor:
        """Gradient of ``upstream * (l1_weight * l1 + ssim_weight * ssim)`` by the image.

        Args:
            image: as in `means`.
            target: as in `means`.
            derivatives: from `means`.
            upstream: one float32 number on the images' device.
            l1_weight: factor of the mean absolute difference.
            ssim_weight: factor of the mean SSIM.
        """
        args, blocks = _arguments(image, target)
        gradient = torch.empty_like(image)
        args.derivatives, args.gradient = derivatives.data_ptr(), gradient.data_ptr()
        args.upstream = upstream.data_ptr()
        args.l1_scale, args.ssim_scale = l1_weight / image.numel(), ssim_weight / image.numel()
        self._launcher.launch(program(), "ssim_backward", blocks, THREADS, args, image.device)
        return gradient


def _arguments(image: Tensor, target: Tensor) -> tuple[SsimArgs, int]:
    """What the launches have in common, and the number of blocks."""
    planes, height, width = image.shape
    args = SsimArgs(planes=planes, height=height, width=width)
    args.tiles_x, args.tiles_y = -(-width // SIDE), -(-height // SIDE)
    args.image, args.target = image.data_ptr(), target.data_ptr()
    blocks = planes * args.tiles_x * args.tiles_y
    if blocks > MOST_BLOCKS:
        raise ValueError(f"an image of shape {tuple(image.shape)} is too large for one call")
    return args, blocks


@lru_cache(maxsize=1)
def default_kernels() -> SsimKernels:
    """The GPU's kernels, one set for the whole process."""
    return SsimKernels()
