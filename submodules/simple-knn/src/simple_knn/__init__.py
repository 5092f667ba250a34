"""Mean squared distance to the three nearest neighbours, the initial size of Gaussians."""

from simple_knn.knn import distCUDA2

__all__ = ["distCUDA2"]
