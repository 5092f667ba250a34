"""Checks of the arguments, each a one-line error that says what would be right."""

from __future__ import annotations

import torch
from torch import Tensor

DEVICES = ("cpu", "cuda")  # with an engine


def check_tensor(
    name: str,
    value: Tensor,
    shape: tuple[int | None, ...],
    dtypes: tuple[torch.dtype, ...] = (torch.float32,),
) -> Tensor:
    """Return ``value`` detached and contiguous; refuse other devices, dtypes and shapes.

    Args:
        name: what to call it in the error.
        value: the argument.
        shape: wanted shape; None stands for any size.
        dtypes: allowed ones, the usual first.

    Raises:
        TypeError: not a tensor, or of another dtype.
        NotImplementedError: a tensor on a device without an engine.
        ValueError: another shape.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")
    if value.device.type not in DEVICES:
        raise NotImplementedError(f"{name} is on {value.device}: pass CPU or CUDA tensors")
    if value.dtype not in dtypes:
        known = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        raise TypeError(f"{name} must be {known}, got {value.dtype}; convert it with .float()")
    fits = value.dim() == len(shape) and all(
        want is None or want == have for want, have in zip(shape, value.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name} must have shape ({wanted}), got {tuple(value.shape)}")
    return value.detach().contiguous()


def check_one_device(tensors: dict[str, Tensor | None]) -> None:
    """Refuse tensors that lie on different devices."""
    first: tuple[str, torch.device] | None = None
    for name, value in tensors.items():
        if value is None:
            continue
        if first is None:
            first = (name, value.device)
        elif value.device != first[1]:
            raise ValueError(
                f"all tensors must be on one device: {first[0]} is on {first[1]}, "
                f"{name} on {value.device}"
            )


def check_sh(sh: Tensor, degree: int, count: int) -> tuple[Tensor, int]:
    """SH coefficients (P, M, 3), float32 or float16, M >= (degree + 1)^2; degree 3 at most."""
    if degree < 0:
        raise ValueError(f"sh_degree must be 0 to 3, got {degree}")
    degree = min(int(degree), 3)
    sh = check_tensor("sh", sh, (count, None, 3), (torch.float32, torch.float16))
    needed = (degree + 1) ** 2
    if count and sh.shape[1] < needed:
        raise ValueError(
            f"sh holds {sh.shape[1]} coefficients per Gaussian; degree {degree} needs {needed}"
        )
    return sh, degree
