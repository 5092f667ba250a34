"""What training minimises: the look of the other frame, the true motion, the true flow.

Every loss is the mean of one sample, so that the mean over a batch is the same however the batch
is dealt out to processes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from fused_ssim import photometric_loss
from torch import Tensor

from igs.motion import Motion

FLOW_GAMMA = 0.9
MAX_FLOW = 400.0  # pixels; longer true flows do not count


def image_loss(images: Tensor, targets: Tensor, lambda_l1: float, lambda_dssim: float) -> Tensor:
    """`lambda_l1 * mean|image - target| + lambda_dssim * (1 - SSIM)` over all views.

    Args:
        images: (T, 3, H, W) float32, rendered, not clamped.
        targets: the same, as photographed, 0..1.
        lambda_l1: weight of the first part, at least 0.
        lambda_dssim: weight of the second part, at least 0; not both may be 0.

    Returns:
        Scalar, differentiable in `images`.

    Source: spec `streaming.md`, section 11.
    """
    total = lambda_l1 + lambda_dssim
    return total * photometric_loss(images, targets, lambda_l1=lambda_l1 / total)


def charbonnier(squared: Tensor, softness: float) -> Tensor:
    """Square near 0, straight beyond `softness`, 0 at 0: `sqrt(squared + softness^2) - softness`.

    Args:
        squared: squared lengths of errors, any shape.
        softness: in the unit of the lengths, above 0.
    """
    return (squared + softness * softness).sqrt() - softness


def rotation_angle(predicted: Tensor, true: Tensor, softness: float) -> Tensor:
    """Angle between rotations, blind to the sign of the quaternions.

    Args:
        predicted: (n, 4) unit quaternions, w first.
        true: (n, 4) the same.
        softness: radians; below it the angle is rounded off like `charbonnier`, so that its
            gradient exists at 0.

    Returns:
        (n,) radians, 0..pi.
    """
    w = (predicted * true).sum(dim=-1).abs()
    # Vector part of conjugate(true) * predicted: exact where 1 - w^2 would cancel.
    w1, v1 = true[:, :1], true[:, 1:]
    w2, v2 = predicted[:, :1], predicted[:, 1:]
    vector = w1 * v2 - w2 * v1 - torch.linalg.cross(v1, v2, dim=-1)
    half = softness / 2
    sine = (vector.square().sum(dim=-1) + half * half).sqrt()
    return 2 * torch.atan2(sine, w) - 2 * torch.atan2(sine.new_tensor(half), w.new_tensor(1.0))


def balanced_mean(values: Tensor, chosen: Tensor, share: float) -> Tensor:
    """Mean in which the chosen rows have a fixed share of the weight, however few they are.

    Args:
        values: (n,), n at least 1.
        chosen: (n,) bool.
        share: 0..1, of the chosen; where all or none are chosen, the plain mean.

    Returns:
        Scalar.
    """
    count, total = int(chosen.sum()), len(chosen)
    if count in (0, total):
        return values.mean()
    of_chosen, of_others = values[chosen].mean(), values[~chosen].mean()
    return share * of_chosen + (1 - share) * of_others


def motion_losses(
    motion: Motion,
    translation: Tensor,
    rotation: Tensor,
    moving: Tensor,
    box: Tensor,
    moving_share: float = 0.5,
    softness: float = 0.001,
    outlier: float | None = None,
) -> dict[str, Tensor]:
    """Robust distance of a predicted from the true motion, free of the world's unit.

    Args:
        motion: of the n Gaussians in the box.
        translation: (N, 3) float32, true, world units.
        rotation: (N, 4) float32, true, unit quaternions in each Gaussian's own frame.
        moving: (N,) bool, which ones have `moving_share` of the weight.
        box: (2, 3); half its diagonal is the unit of length.
        moving_share: see `balanced_mean`.
        softness: of `charbonnier`, in that unit, and in radians.
        outlier: in that unit, beyond it the loss grows like a logarithm; None: nowhere.

    Returns:
        `translation` (half diagonals) and `rotation` (radians), scalars; without any Gaussian in
        the box both are 0.
    """
    if len(motion) == 0:
        nil = motion.translation.sum() * 0
        return {"translation": nil, "rotation": nil + motion.rotation.sum() * 0}
    unit = half_diagonal(box)
    rows = motion.index
    error = ((motion.translation - translation[rows]) / unit).square().sum(dim=-1)
    angle = rotation_angle(motion.rotation, rotation[rows], softness)
    distance = charbonnier(error, softness)
    if outlier is not None:
        distance = outlier * (distance / outlier).log1p()
    return {
        "translation": balanced_mean(distance, moving[rows], moving_share),
        "rotation": balanced_mean(angle, moving[rows], moving_share),
    }


def half_diagonal(box: Tensor) -> Tensor:
    """Half the diagonal of a (2, 3) box, a scalar in world units."""
    return (box[1] - box[0]).norm() / 2


def flow_loss(
    predictions: Sequence[Tensor],
    true: Tensor,
    valid: Tensor,
    gamma: float = FLOW_GAMMA,
    max_flow: float = MAX_FLOW,
) -> Tensor:
    """L1 of a sequence of ever better predictions, each step back counting `gamma` times less.

    Args:
        predictions: (B, 2, H, W) each, the best last, pixels.
        true: (B, 2, H, W).
        valid: (B, H, W) bool; other pixels, and true flows of `max_flow` pixels or more, count as
            0 in the mean over all pixels.
        gamma: 0..1.
        max_flow: pixels.

    Returns:
        Scalar.

    Source: spec `gmflow.md`, section 7.
    """
    counts = (valid & (true.norm(dim=1) < max_flow))[:, None]
    last = len(predictions) - 1
    losses = [
        gamma ** (last - i) * torch.where(counts, (flow - true).abs(), 0.0).mean()
        for i, flow in enumerate(predictions)
    ]
    return torch.stack(losses).sum()


def matching_loss(features0: Tensor, features1: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of global matching with the place where every token really goes.

    The flow loss alone has a resting point at no flow, which position encodings make easy to
    find and short motions hard to leave; this says directly which tokens belong together.

    Args:
        features0: (B, C, h, w) float32, related features of the first images.
        features1: (B, C, h, w), of the second images.
        true: (B, 2, H, W) flow, pixels; H / h is the size of a token.
        valid: (B, H, W) bool.

    Returns:
        Scalar, mean over the tokens whose centre is valid; differentiable in the features.
    """
    channels, height, width = features0.shape[1:]
    token = true.shape[-1] // width
    middle = slice(token // 2, None, token)
    flow, known = true[:, :, middle, middle] / token, valid[:, middle, middle].flatten(1)
    rows, columns = torch.meshgrid(
        torch.arange(height, device=flow.device),
        torch.arange(width, device=flow.device),
        indexing="ij",
    )
    x, y = (columns + flow[:, 0]).flatten(1), (rows + flow[:, 1]).flatten(1)
    known = known & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    scores = features0.flatten(2).transpose(1, 2) @ features1.flatten(2) / channels**0.5
    logs = scores.log_softmax(dim=2)
    total = torch.zeros_like(x)
    left, top = x.clamp(0, width - 1).floor(), y.clamp(0, height - 1).floor()
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = (left + dx).clamp(max=width - 1), (top + dy).clamp(max=height - 1)
        share = (1 - (x - left - dx).abs()).clamp(min=0) * (1 - (y - top - dy).abs()).clamp(min=0)
        there = (row * width + column).long()[..., None]
        total = total - share * logs.gather(2, there)[..., 0]
    return (total * known).sum() / known.sum().clamp(min=1)
