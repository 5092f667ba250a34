"""The Gaussians of the first frame."""

from igs.frame0.initial import gaussians_from_points, initial_points
from igs.frame0.make import make_frame0
from igs.frame0.plane_sweep import SweepSettings, plane_sweep
from igs.frame0.train import Frame0Trainer

__all__ = [
    "Frame0Trainer",
    "SweepSettings",
    "gaussians_from_points",
    "initial_points",
    "make_frame0",
    "plane_sweep",
]
