"""The precision that flow and motion network compute in; geometry keeps float32 by itself."""

from __future__ import annotations

import torch

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_FIRST_WITH_BF16 = 8  # compute capability


def network_dtype(precision: str, device: torch.device | str) -> torch.dtype | None:
    """What `motion.precision` means on a device; None for float32.

    `auto` is float32 on the CPU, and on a GPU bf16, or fp16 where that has no bf16 units.
    """
    device = torch.device(device)
    if precision != "auto":
        return _DTYPES.get(precision)
    if device.type != "cuda":
        return None
    major, _ = torch.cuda.get_device_capability(device)
    return torch.bfloat16 if major >= _FIRST_WITH_BF16 else torch.float16
