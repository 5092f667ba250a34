"""The Gaussians themselves, their files and how their number changes."""

from igs.gaussians.gaussians import MAX_SH_DEGREE, Gaussians

__all__ = ["MAX_SH_DEGREE", "Gaussians"]
