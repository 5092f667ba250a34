"""The two differentiable functions, dispatched to a kernel or to the torch twin."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fused_ssim import _native, reference
from fused_ssim._graphs import outside_graphs


class _Means(torch.autograd.Function):
    """`constant + l1_weight * mean|image - target| + ssim_weight * SSIM`.

    The loss is a scalar, so its gradient is known up to the incoming factor: the forward pass
    computes it at once, while the rows are in cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        target: Tensor,
        constant: float,
        l1_weight: float,
        ssim_weight: float,
    ) -> Tensor:
        gradient = torch.empty_like(image) if ctx.needs_input_grad[0] else None
        absolute, ssim_mean = _native.l1_ssim(
            image.detach(), target, gradient, l1_weight, ssim_weight, torch.get_num_threads()
        )
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return image.new_tensor(constant + l1_weight * absolute + ssim_weight * ssim_mean)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0], None, None, None, None


class _MeansOnGpu(torch.autograd.Function):
    """The same by CUDA kernels, which nothing here waits for.

    The forward pass keeps the derivatives of the SSIM, the backward pass makes the gradient of
    them: an image that turns out to need none costs none.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kernels: Any,
        image: Tensor,
        target: Tensor,
        constant: float,
        l1_weight: float,
        ssim_weight: float,
    ) -> Tensor:
        means, derivatives = kernels.means(image.detach(), target, ctx.needs_input_grad[1])
        ctx.kernels, ctx.weights = kernels, (l1_weight, ssim_weight)
        if derivatives is not None:
            ctx.save_for_backward(image, target, derivatives)
        return (constant + l1_weight * means[0] + ssim_weight * means[1]).to(image.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        image, target, derivatives = ctx.saved_tensors
        upstream = grad_outputs[0].to(torch.float32).contiguous()
        gradient = ctx.kernels.gradient(image.detach(), target, derivatives, upstream, *ctx.weights)
        return None, gradient, None, None, None, None


def _check(image: Tensor, target: Tensor) -> None:
    for name, tensor in (("image", image), ("target", target)):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} is {type(tensor).__name__}, expected a torch tensor")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} is {tensor.dtype}, expected torch.float32 or torch.float64")
    if image.dtype != target.dtype:
        raise TypeError(f"image is {image.dtype} but target is {target.dtype}; give both one dtype")
    if image.device != target.device:
        raise ValueError(f"image is on {image.device} but target on {target.device}")
    if image.shape != target.shape:
        raise ValueError(
            f"image has shape {tuple(image.shape)} but target {tuple(target.shape)}; "
            "they must be equal"
        )
    if image.dim() not in (3, 4) or image.numel() == 0:
        raise ValueError(
            f"image has shape {tuple(image.shape)}, expected a non-empty (C, H, W) or (B, C, H, W)"
        )


def _has_kernel(image: Tensor, target: Tensor) -> bool:
    wants_target = target.requires_grad and torch.is_grad_enabled()
    known = image.device.type in ("cpu", "cuda") and image.dtype == torch.float32
    return known and not wants_target


def _gpu_kernels() -> Any:
    try:
        from fused_ssim.cuda import default_kernels
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"CUDA tensors need the package {error.name}, which is not installed: "
            "pip install 'igs[cuda]', or pass CPU tensors"
        ) from error
    return default_kernels()


@outside_graphs
def _kernel_means(
    image: Tensor, target: Tensor, constant: float, l1_weight: float, ssim_weight: float
) -> Tensor:
    planes = (-1, image.shape[-2], image.shape[-1])
    flat_image = image.contiguous().view(planes)
    flat_target = target.detach().contiguous().view(planes)
    weights = constant, l1_weight, ssim_weight
    if image.device.type == "cpu":
        result = _Means.apply(flat_image, flat_target, *weights)
    else:
        result = _MeansOnGpu.apply(_gpu_kernels(), flat_image, flat_target, *weights)
    assert isinstance(result, Tensor)
    return result


def photometric_loss(image: Tensor, target: Tensor, *, lambda_l1: float = 0.8) -> Tensor:
    """L1 + SSIM loss of Gaussian optimisation, differentiable in `image`.

    `lambda_l1 * mean|image - target| + (1 - lambda_l1) * (1 - SSIM)` with an 11x11 Gaussian
    window of sigma 1.5, zero padding of 5, C1 = 0.01^2, C2 = 0.03^2, means over all channels
    and pixels.

    Args:
        image: (C, H, W) or (B, C, H, W), data range 1. float32 takes the native kernel on the CPU
            and the CUDA kernels on a GPU (extra ``cuda``); float64 and other devices take the same
            formula in plain torch (`fused_ssim.reference`), as does a `target` that requires a
            gradient.
        target: same shape, dtype and device.
        lambda_l1: weight of the L1 part, 0 to 1.

    Returns:
        Scalar tensor of the inputs' dtype and device. NaN in the images is passed on.

    Raises:
        TypeError: if a dtype is neither float32 nor float64, or the two differ.
        ValueError: if shapes or devices differ, an image is empty, or `lambda_l1` is not
            between 0 and 1.
        RuntimeError: CUDA tensors without the compiler or the driver; the message says how to
            install them.

    Source: spec `frame0.md`, section 3; spec `streaming.md`, section 5.
    """
    _check(image, target)
    if not (math.isfinite(lambda_l1) and 0 <= lambda_l1 <= 1):
        raise ValueError(f"lambda_l1 is {lambda_l1}, expected a number from 0 to 1")
    if not _has_kernel(image, target):
        return reference.photometric_loss(image, target, lambda_l1=lambda_l1)
    weight = 1 - lambda_l1
    return _kernel_means(image, target, weight, lambda_l1, -weight)


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Mean structural similarity, differentiable in `image`.

    Arguments, errors and the choice of implementation are those of `photometric_loss`.

    Returns:
        Scalar tensor, 1 for equal images.
    """
    _check(image, target)
    if not _has_kernel(image, target):
        return reference.ssim(image, target)
    return _kernel_means(image, target, 0.0, 0.0, 1.0)
