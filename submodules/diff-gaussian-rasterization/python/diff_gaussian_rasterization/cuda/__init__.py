"""The CUDA engine: kernels in `kernels/`, compiled at run time, memory and sorting from torch.

Imported when the first CUDA tensor arrives; needs the extra ``cuda``.
"""
