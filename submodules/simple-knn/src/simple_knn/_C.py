# ruff: noqa: N999 - the name is the original package's
"""The import path of the original package: `from simple_knn._C import distCUDA2`."""

from simple_knn.knn import distCUDA2

__all__ = ["distCUDA2"]
