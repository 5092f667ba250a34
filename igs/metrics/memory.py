"""Memory of this process. 1 MB is 10^6 bytes."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import torch

_STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """Largest resident memory of this process since it started, MB."""
    # First the kernel's own figure for this program: getrusage's also remembers what ran in the
    # process before it became this program.
    if _STATUS.is_file():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def current_memory_mb() -> float:
    """Resident memory of this process now, MB."""
    return psutil.Process().memory_info().rss / 1e6


def peak_device_memory_mb(device: torch.device | str) -> float:
    """Largest memory that tensors took on a CUDA device, MB; 0 on the CPU."""
    if torch.device(device).type != "cuda":
        return 0.0
    return torch.cuda.max_memory_allocated(device) / 1e6
