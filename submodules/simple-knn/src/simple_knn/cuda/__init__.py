"""Point kernels for CUDA tensors; needs the extra ``cuda``.

Imported when the first CUDA tensor arrives.
"""

from simple_knn.cuda.points import PointKernels, default_kernels

__all__ = ["PointKernels", "default_kernels"]
