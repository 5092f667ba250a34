"""The Gaussians themselves, their files and how their number changes."""

from igs.gaussians.density import (
    DensityPlan,
    DensityResult,
    DensityRule,
    densified,
    densify,
    outside_box,
    plan_densification,
)
from igs.gaussians.filter3d import apply_filter_3d, compute_filter_3d, reset_opacity
from igs.gaussians.gaussians import MAX_SH_DEGREE, Gaussians
from igs.gaussians.optimizer import GaussianOptimizer, exponential_decay
from igs.gaussians.ply import PointCloud, read_ply, read_points, write_ply, write_points
from igs.gaussians.statistics import DensityStatistics

__all__ = [
    "MAX_SH_DEGREE",
    "DensityPlan",
    "DensityResult",
    "DensityRule",
    "DensityStatistics",
    "GaussianOptimizer",
    "Gaussians",
    "PointCloud",
    "apply_filter_3d",
    "compute_filter_3d",
    "densified",
    "densify",
    "exponential_decay",
    "outside_box",
    "plan_densification",
    "read_ply",
    "read_points",
    "reset_opacity",
    "write_ply",
    "write_points",
]
