"""What can go wrong, each said in one line with its cure."""

from __future__ import annotations

INSTALL = "pip install 'igs[cuda]' (or: pip install 'cuda-bindings<13' 'nvidia-cuda-nvrtc-cu12')"


class CudaUnavailableError(RuntimeError):
    """CUDA kernels cannot run here: a package, the driver or a suitable GPU is missing."""


class KernelCompileError(RuntimeError):
    """NVRTC refused a kernel; the message holds its log."""
