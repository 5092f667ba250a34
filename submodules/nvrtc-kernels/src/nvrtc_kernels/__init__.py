"""CUDA kernels from source: compiled by NVRTC at run time, cached, launched on torch's stream.

Nothing is compiled ahead and no CUDA toolkit is needed: the pip packages ``cuda-bindings`` and
``nvidia-cuda-nvrtc-cu12`` (extra ``cuda``) hold the compiler, the driver loads its output.
"""

from nvrtc_kernels.cache import cache_folder
from nvrtc_kernels.compiler import Code, compile_program, nvrtc_version
from nvrtc_kernels.errors import CudaUnavailableError, KernelCompileError
from nvrtc_kernels.launcher import CudaLauncher, Launcher
from nvrtc_kernels.program import Program

__all__ = [
    "Code",
    "CudaLauncher",
    "CudaUnavailableError",
    "KernelCompileError",
    "Launcher",
    "Program",
    "cache_folder",
    "compile_program",
    "nvrtc_version",
]
