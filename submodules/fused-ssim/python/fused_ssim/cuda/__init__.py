"""The loss on CUDA tensors; needs the extra ``cuda``.

Imported when the first CUDA tensor arrives.
"""

from fused_ssim.cuda.kernel_calls import SsimKernels, default_kernels

__all__ = ["SsimKernels", "default_kernels"]
