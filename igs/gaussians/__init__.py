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
from igs.gaussians.gaussians import MAX_SH_DEGREE, SH_C0, Gaussians
from igs.gaussians.lightgaussian import (
    Importance,
    global_significance,
    prune_mask,
    prune_scores,
    relative_volume,
)
from igs.gaussians.optimizer import GaussianOptimizer, exponential_decay
from igs.gaussians.ply import (
    PointCloud,
    read_ply,
    read_ply_unfolded,
    read_points,
    write_ply,
    write_points,
)
from igs.gaussians.statistics import DensityStatistics

__all__ = [
    "MAX_SH_DEGREE",
    "SH_C0",
    "DensityPlan",
    "DensityResult",
    "DensityRule",
    "DensityStatistics",
    "GaussianOptimizer",
    "Gaussians",
    "Importance",
    "PointCloud",
    "apply_filter_3d",
    "compute_filter_3d",
    "densified",
    "densify",
    "exponential_decay",
    "global_significance",
    "outside_box",
    "plan_densification",
    "prune_mask",
    "prune_scores",
    "read_ply",
    "read_ply_unfolded",
    "read_points",
    "relative_volume",
    "reset_opacity",
    "write_ply",
    "write_points",
]
