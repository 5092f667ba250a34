"""Adaptive density control: which Gaussians to clone, split and prune, and doing so.

A decision (`plan_densification`) reads Gaussians and statistics and changes nothing; carrying it
out (`densify`) draws the new positions and takes the Adam moments along. Sources: spec `frame0.md`,
section 3 (training: the rule of Gaussian Opacity Fields) and section 7 (key frames: the cap),
faults 2, 4 and 23 of section 8; `streaming.md`, section 5 and fault 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from igs.gaussians.gaussians import Gaussians
from igs.gaussians.optimizer import GaussianOptimizer
from igs.gaussians.statistics import DensityStatistics

_SPLIT_SHRINK = 1.6
_SAMPLES_PER_SPLIT = 2


@dataclass(frozen=True)
class DensityRule:
    """Settings of one kind of density control.

    Attributes:
        grad_threshold: mean screen-space gradient (per unit of normalised device coordinates) from
            which on a Gaussian is cloned or split.
        min_opacity: fainter ones are pruned.
        percent_dense: a candidate whose largest scale is at most this share of the scene's extent
            is cloned, a larger one split. 0 never clones, as the original does at key frames.
        max_num: most Gaussians after growth; only those of largest gradient grow. None is no cap.
        prune_to_cap: if more than `max_num` would remain, prune the faintest too.
        use_absolute: also take those whose mean absolute gradient reaches the quantile that the
            plain rule passes (Gaussian Opacity Fields).
        guard_absolute: a zero absolute gradient never counts, even where that quantile is 0.
        sample_clones: draw the clone's centre from the Gaussian instead of putting it at the same
            place (Gaussian Opacity Fields).
        max_scale: largest scale as a share of the extent; larger ones are pruned. None keeps all.
        max_screen_radius: largest radius on screen since the last reset, pixels; larger ones are
            pruned. None keeps all, as the original does in effect.
    """

    grad_threshold: float = 0.0002
    min_opacity: float = 0.005
    percent_dense: float = 0.01
    max_num: int | None = None
    prune_to_cap: bool = False
    use_absolute: bool = False
    guard_absolute: bool = True
    sample_clones: bool = False
    max_scale: float | None = None
    max_screen_radius: float | None = None


@dataclass(frozen=True)
class DensityPlan:
    """What to do with N Gaussians.

    The result has its rows in this order: those not split, the clones, the first samples of the
    split ones, their second samples; then the pruned rows are left out.

    Attributes:
        clone: (C,) int64, rows to copy.
        split: (S,) int64, rows to replace by two samples of themselves.
        prune: (N + C + S,) bool, rows of the *result* to leave out.
        sample_clones: whether clones are placed at a sample too.
        num: N.
    """

    clone: torch.Tensor
    split: torch.Tensor
    prune: torch.Tensor
    sample_clones: bool
    num: int

    @property
    def num_samples(self) -> int:
        """Rows of standard-normal noise that carrying it out takes: clones first, then splits."""
        clones = len(self.clone) if self.sample_clones else 0
        return clones + _SAMPLES_PER_SPLIT * len(self.split)

    @property
    def parents(self) -> torch.Tensor:
        """(N + C + S,) int64, the row that each row of the result comes from, before pruning."""
        stays = torch.ones(self.num, dtype=torch.bool, device=self.split.device)
        stays[self.split] = False
        return torch.cat([stays.nonzero()[:, 0], self.clone, self.split, self.split])


@dataclass(frozen=True)
class DensityResult:
    """What was done.

    Attributes:
        parents: (M,) int64, the old row that each new one comes from.
        num_cloned: clones made.
        num_split: Gaussians replaced by two.
        num_pruned: rows left out, new ones included.
    """

    parents: torch.Tensor
    num_cloned: int
    num_split: int
    num_pruned: int


def absolute_threshold(mean_grad: torch.Tensor, mean_abs: torch.Tensor, limit: float) -> float:
    """Quantile of the absolute statistic that as large a share passes as passes `limit` plainly."""
    share = (mean_grad >= limit).to(mean_abs.dtype).mean()
    return float(torch.quantile(mean_abs, 1 - share))


def plan_densification(
    gaussians: Gaussians, statistics: DensityStatistics, rule: DensityRule, extent: float
) -> DensityPlan:
    """Decide what to clone, split and prune; changes nothing.

    With `rule.max_num`, at most ``max(0, max_num - N)`` Gaussians grow, so that the count does not
    pass the cap; if N is above it already, none grows and, unless `rule.prune_to_cap`, N stays.

    Args:
        gaussians: N Gaussians, scales and opacities as the tests shall see them.
        statistics: of the same N.
        rule: settings.
        extent: size of the scene, world units.

    Raises:
        ValueError: statistics of another number of Gaussians.
    """
    if len(statistics) != len(gaussians):
        raise ValueError(f"{len(gaussians)} Gaussians but statistics of {len(statistics)}")
    with torch.no_grad():
        grows = _candidates(statistics, rule, len(gaussians))
        largest = gaussians.scales.amax(dim=-1)
        small = largest <= rule.percent_dense * extent
        plan = DensityPlan(
            clone=(grows & small).nonzero()[:, 0],
            split=(grows & ~small).nonzero()[:, 0],
            prune=torch.zeros(0, dtype=torch.bool, device=gaussians.device),
            sample_clones=rule.sample_clones,
            num=len(gaussians),
        )
        prune = _prune_mask(plan, gaussians, statistics, rule, extent)
    return DensityPlan(plan.clone, plan.split, prune, plan.sample_clones, plan.num)


def _candidates(statistics: DensityStatistics, rule: DensityRule, num: int) -> torch.Tensor:
    grad = statistics.mean_grad
    grows = grad >= rule.grad_threshold
    if rule.use_absolute and num:
        grad_abs = statistics.mean_grad_abs
        reaches = grad_abs >= absolute_threshold(grad, grad_abs, rule.grad_threshold)
        grows = grows | (reaches & (grad_abs > 0) if rule.guard_absolute else reaches)
    if rule.max_num is None:
        return grows
    room = max(0, rule.max_num - num)
    if int(grows.sum()) <= room:
        return grows
    # A stable sort settles ties by row, so that a plan is the same on every run.
    ranked = torch.where(grows, grad, -1).argsort(descending=True, stable=True)
    kept = torch.zeros_like(grows)
    kept[ranked[:room]] = True
    return kept


def _prune_mask(
    plan: DensityPlan,
    gaussians: Gaussians,
    statistics: DensityStatistics,
    rule: DensityRule,
    extent: float,
) -> torch.Tensor:
    parents = plan.parents
    opacities = gaussians.opacities[parents]
    prune = opacities < rule.min_opacity
    num_children = _SAMPLES_PER_SPLIT * len(plan.split)
    if rule.max_scale is not None:
        largest = gaussians.scales.amax(dim=-1)[parents]
        largest[len(parents) - num_children :] /= _SPLIT_SHRINK
        prune |= largest > rule.max_scale * extent
    if rule.max_screen_radius is not None:
        # New rows have not been seen yet.
        survivors = len(parents) - num_children - len(plan.clone)
        prune[:survivors] |= statistics.max_radii[parents[:survivors]] > rule.max_screen_radius
    if rule.prune_to_cap and rule.max_num is not None:
        surplus = int((~prune).sum()) - rule.max_num
        if surplus > 0:
            ranked = torch.where(prune, torch.inf, opacities).argsort(stable=True)
            prune[ranked[:surplus]] = True
    return prune


def densified(
    gaussians: Gaussians, plan: DensityPlan, noise: torch.Tensor
) -> tuple[Gaussians, torch.Tensor, torch.Tensor]:
    """Carry a plan out on values alone.

    Args:
        gaussians: N Gaussians.
        plan: made for them.
        noise: (plan.num_samples, 3) standard-normal numbers; clones (if sampled) in order, then
            the first samples of all split ones, then the second.

    Returns:
        The M new Gaussians, outside any graph; (M,) int64 parents; (M,) bool, which are new.

    Raises:
        ValueError: a plan or noise made for another number.
    """
    if plan.num != len(gaussians):
        raise ValueError(f"a plan for {plan.num} Gaussians cannot serve {len(gaussians)}")
    if noise.shape != (plan.num_samples, 3):
        raise ValueError(f"noise {tuple(noise.shape)} must be ({plan.num_samples}, 3)")
    parents, kept = plan.parents, ~plan.prune
    values = gaussians.detach()
    means, log_scales = values.means[parents], values.log_scales[parents]
    if plan.num_samples:
        sampled = slice(len(parents) - plan.num_samples, None)
        quats = values.quats[parents[sampled]]
        means[sampled] += sample_offsets(log_scales[sampled].exp(), quats, noise)
    if len(plan.split):
        children = slice(len(parents) - _SAMPLES_PER_SPLIT * len(plan.split), None)
        log_scales[children] -= math.log(_SPLIT_SHRINK)
    is_new = torch.arange(len(parents), device=parents.device) >= plan.num - len(plan.split)
    parents = parents[kept]
    grown = values.select(parents).replace(means=means[kept], log_scales=log_scales[kept])
    return grown, parents, is_new[kept]


def sample_offsets(scales: torch.Tensor, quats: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Offsets from the centres of Gaussians, ``R(q) (s * noise)``.

    Args:
        scales: (N, 3) standard deviations, world units.
        quats: (N, 4) rotations, w first, of any length.
        noise: (N, 3) standard-normal numbers.

    Returns:
        (N, 3) world units and axes.
    """
    w, v = F.normalize(quats, dim=-1).split((1, 3), dim=-1)
    local = scales * noise.to(scales)
    turned = 2 * torch.linalg.cross(v, local)
    return local + w * turned + torch.linalg.cross(v, turned)


def densify(
    optimizer: GaussianOptimizer,
    plan: DensityPlan,
    *,
    generator: torch.Generator | None = None,
    noise: torch.Tensor | None = None,
) -> DensityResult:
    """Carry a plan out on an optimizer's Gaussians.

    Moments of kept rows stay, new rows start without; gradients of this iteration are dropped, so
    call it behind `step` unless the original's lost gradient is wanted.

    Args:
        optimizer: owns N Gaussians.
        plan: made for them.
        generator: draws the noise, on its own device; needed unless `noise` is given.
        noise: see `densified`.

    Raises:
        ValueError: neither or both of generator and noise, or a plan for another number.
    """
    if (generator is None) == (noise is None):
        raise ValueError("densify needs either a generator or noise")
    if noise is None:
        assert generator is not None
        noise = torch.randn(plan.num_samples, 3, generator=generator, device=generator.device)
    gaussians, parents, is_new = densified(optimizer.gaussians, plan, noise)
    optimizer.rebuild(gaussians, parents, is_new)
    return DensityResult(parents, len(plan.clone), len(plan.split), int(plan.prune.sum()))


def outside_box(means: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """(N,) bool, centres outside the axis-aligned box.

    One-sided cuts, such as the original's world ``z < 4.5``, have infinite other bounds.

    Args:
        means: (N, 3) centres, world units and axes.
        low: (3,) smallest coordinates that stay.
        high: (3,) largest coordinates that stay.
    """
    return ((means < low.to(means)) | (means > high.to(means))).any(dim=-1)
