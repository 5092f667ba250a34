"""Plain-torch twin of the loss: any float dtype, any device, differentiable in both inputs.

The window is applied as shifted sums rather than by a convolution operator, because
convolutions may run in TF32 on CUDA, whose 10-bit mantissa ruins `E[x^2] - E[x]^2`.

Source: spec `frame0.md`, section 3 (Losses); SSIM after Wang et al. 2004.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW_RADIUS = 5
WINDOW_SIGMA = 1.5
C1 = 0.01**2
C2 = 0.03**2


def window_taps() -> list[float]:
    """The 11 weights of the normalised Gaussian window, in double precision."""
    offsets = torch.arange(-WINDOW_RADIUS, WINDOW_RADIUS + 1, dtype=torch.float64)
    taps = torch.exp(-(offsets**2) / (2 * WINDOW_SIGMA**2))
    return (taps / taps.sum()).tolist()


def _blur_axis(x: Tensor, dim: int) -> Tensor:
    size = x.shape[dim]
    pad = [0, 0, WINDOW_RADIUS, WINDOW_RADIUS] if dim == -2 else [WINDOW_RADIUS, WINDOW_RADIUS]
    padded = F.pad(x, pad)
    shifted = [padded.narrow(dim, k, size) for k in range(2 * WINDOW_RADIUS + 1)]
    taps = window_taps()
    total = shifted[WINDOW_RADIUS] * taps[WINDOW_RADIUS]
    for k in range(WINDOW_RADIUS):
        total = total + (shifted[k] + shifted[-1 - k]) * taps[k]
    return total


def blur(x: Tensor) -> Tensor:
    """Gaussian window over the last two axes with zero padding; same shape."""
    return _blur_axis(_blur_axis(x, -1), -2)


def ssim_map(image: Tensor, target: Tensor) -> Tensor:
    """SSIM of every channel and pixel.

    Args:
        image: (..., H, W) float, data range 1.
        target: same shape, dtype and device.

    Returns:
        Same shape as `image`; 1 where the two agree.
    """
    mean_a, mean_b = blur(image), blur(target)
    squares = mean_a * mean_a + mean_b * mean_b
    cross = mean_a * mean_b
    variances = blur(image * image + target * target) - squares
    covariance = blur(image * target) - cross
    top = (2 * cross + C1) * (2 * covariance + C2)
    return top / ((squares + C1) * (variances + C2))


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean of `ssim_map`: a scalar tensor."""
    return ssim_map(image, target).mean()


def photometric_loss(image: Tensor, target: Tensor, *, lambda_l1: float = 0.8) -> Tensor:
    """`lambda_l1 * mean|image - target| + (1 - lambda_l1) * (1 - SSIM)`: a scalar tensor."""
    absolute = (image - target).abs().mean()
    return lambda_l1 * absolute + (1 - lambda_l1) * (1 - ssim(image, target))
