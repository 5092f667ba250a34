"""Which Gaussians matter: LightGaussian's scores, and what to remove by them.

All of it works on numbers that are already counted; the counting over views is
`igs.frame0.compress.count_importance`. Source: Fan et al., LightGaussian (NeurIPS 2024); spec
`frame0.md`, section 4, with fault 8 of section 8 on request.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from igs.gaussians.gaussians import Gaussians

_VOLUME_RANK = 0.9


@dataclass(frozen=True)
class Importance:
    """What N Gaussians contribute to the training views, summed over all of their pixels.

    Attributes:
        counts: (N,) int64, pixels in which each is blended.
        scores: (N,) float64, the importance summed over those pixels.
    """

    counts: torch.Tensor
    scores: torch.Tensor

    def __len__(self) -> int:
        return self.counts.shape[0]


def relative_volume(gaussians: Gaussians, *, clip: bool = False) -> torch.Tensor:
    """(N,) volume of each Gaussian over the one at rank ``int(0.9 N)`` of the descending sort.

    That reference is a small volume, so that most ratios exceed 1.

    Args:
        gaussians: N Gaussians; without the 3D filter, as the published code has it.
        clip: limit the ratio to 1, as the paper has it.
    """
    log_volume = gaussians.log_scales.detach().double().sum(-1)
    if len(log_volume) == 0:
        return log_volume
    rank = min(int(_VOLUME_RANK * len(log_volume)), len(log_volume) - 1)
    reference = log_volume.sort(descending=True).values[rank]
    ratio = (log_volume - reference).exp()
    return ratio.clamp(max=1.0) if clip else ratio


def global_significance(
    gaussians: Gaussians, importance: Importance, *, v_pow: float = 0.1, clip: bool = False
) -> torch.Tensor:
    """(N,) float64 global significance: importance times relative volume to the power `v_pow`.

    Args:
        gaussians: N Gaussians, without the 3D filter.
        importance: of the same N.
        v_pow: power of the relative volume; 0 leaves the importance alone.
        clip: see `relative_volume`.

    Raises:
        ValueError: importance of another number of Gaussians.
    """
    _check_length(gaussians, importance)
    return relative_volume(gaussians, clip=clip).pow(v_pow) * importance.scores


def prune_scores(
    gaussians: Gaussians,
    importance: Importance,
    kind: str = "v_important_score",
    *,
    v_pow: float = 0.1,
    clip: bool = False,
) -> torch.Tensor:
    """(N,) float64 scores by which Gaussians are ranked; the lowest go first.

    Args:
        gaussians: N Gaussians, without the 3D filter.
        importance: of the same N.
        kind: `v_important_score` (`global_significance`), `important_score`,
            `max_v_important_score` (importance times the largest scale), `count` or `opacity`.
        v_pow: see `global_significance`.
        clip: see `relative_volume`.

    Raises:
        ValueError: another kind, or importance of another number of Gaussians.
    """
    _check_length(gaussians, importance)
    if kind == "v_important_score":
        return global_significance(gaussians, importance, v_pow=v_pow, clip=clip)
    if kind == "important_score":
        return importance.scores
    if kind == "max_v_important_score":
        return importance.scores * gaussians.scales.detach().double().amax(-1)
    if kind == "count":
        return importance.counts.double()
    if kind == "opacity":
        return gaussians.opacities.detach().double()
    raise ValueError(
        f"prune type {kind!r} must be v_important_score, important_score, max_v_important_score, "
        "count or opacity"
    )


def prune_mask(scores: torch.Tensor, share: float) -> torch.Tensor:
    """(N,) bool, the Gaussians to remove: score at most that of rank ``int(share (N - 1))``.

    Ties with the threshold go too, so that more than the share can go (all that no view sees
    score 0). A share of 0 removes nothing.

    Args:
        scores: (N,) of any float type; NaN is refused.
        share: fraction to remove, 0 to 1.

    Raises:
        ValueError: a share outside 0..1, or a score that is NaN (names the first).
    """
    if not 0 <= share <= 1:
        raise ValueError(f"prune share {share} must lie in 0..1")
    bad = scores.isnan()
    if bad.any():
        raise ValueError(f"score of Gaussian {int(bad.int().argmax())} is not a number")
    if share == 0 or len(scores) == 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = scores.sort().values[int(share * (len(scores) - 1))]
    return scores <= threshold


def _check_length(gaussians: Gaussians, importance: Importance) -> None:
    if len(importance) != len(gaussians):
        raise ValueError(f"{len(gaussians)} Gaussians but importance of {len(importance)}")
