"""Figures of one way to carry a key frame's Gaussians to the frames after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from igs.gaussians import Gaussians
from igs.metrics import decibels
from igs.render import render
from igs.scene import Camera


@dataclass(frozen=True)
class View:
    """What a held-out camera saw.

    Attributes:
        camera: at the size of the images.
        image: (3, H, W) float32, 0..1, of the candidate frame.
        moving: (H, W) bool, what changed since the key frame.
    """

    camera: Camera
    image: Tensor
    moving: Tensor


def moving_region(key: Tensor, candidate: Tensor, change: float, margin: int) -> Tensor:
    """Pixels that changed between two images of one camera, and their surroundings.

    Args:
        key: (3, H, W) float32, 0..1.
        candidate: the same of another frame.
        change: least change of a channel that counts, 0..1.
        margin: pixels that the region is widened by; what is not at least a pixel and its
            neighbours large is noise and left out.

    Returns:
        (H, W) bool.
    """
    changed = ((candidate - key).abs().amax(dim=0) > change).float()[None]
    solid = -F.max_pool2d(-F.pad(changed, (1, 0, 1, 0)), 2, stride=1)
    reach = margin + 1
    return F.max_pool2d(solid, 2 * reach + 1, stride=1, padding=reach)[0] > 0


@dataclass
class CandidateScores:
    """Mean figures of one candidate step over groups and cameras.

    `moving` and `whole` are decibels per image; `epe` and `epe_none` sums of end-point errors over
    moving Gaussians, of the prediction and of no motion, in half diagonals of the box.
    """

    moving: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    epe: float = 0.0
    epe_none: float = 0.0

    def look(self, gaussians: Gaussians, views: Iterable[View], background: Tensor) -> None:
        """Add the PSNR of Gaussians in held-out views; values are clamped to 0..1."""
        for view in views:
            with torch.no_grad():
                seen = render(gaussians, view.camera, background).color.clamp(0, 1)
            squared = (seen - view.image).square().mean(dim=0)
            self.whole.append(decibels(float(squared.mean())))
            if bool(view.moving.any()):
                self.moving.append(decibels(float(squared[view.moving].mean())))

    def end_points(self, predicted: Tensor | None, true: Tensor, unit: float) -> None:
        """Add the errors of (n, 3) translations of moving Gaussians; None stands for no motion."""
        still = true.norm(dim=1) / unit
        self.epe_none += float(still.sum())
        error = still if predicted is None else (predicted - true).norm(dim=1) / unit
        self.epe += float(error.sum())


class MotionScores:
    """The same for every step ahead of the key frame.

    Args:
        steps: candidates per key frame.
    """

    def __init__(self, steps: int) -> None:
        self.steps = [CandidateScores() for _ in range(steps)]

    def __getitem__(self, step: int) -> CandidateScores:
        """Scores of a step, counted from 1."""
        return self.steps[step - 1]

    def row(self) -> dict[str, float | list[float] | None]:
        """Means over steps: `moving` and `whole` dB, `epe_share`; `steps`: moving dB of each."""
        moving = [_mean(step.moving) for step in self.steps]
        whole = [_mean(step.whole) for step in self.steps]
        none = sum(step.epe_none for step in self.steps)
        share = sum(step.epe for step in self.steps) / none if none > 0 else None
        return {
            "moving": _mean([m for m in moving if not math.isnan(m)]),
            "whole": _mean(whole),
            "steps": moving,
            "epe_share": share,
        }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def motion_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows of `MotionScores.row` as plain text, each with its gain over the first."""
    steps = max((len(row["steps"]) for row in rows.values()), default=0)
    titles = [
        "",
        "moving dB",
        "gain",
        "whole dB",
        "gain",
        "epe",
        *(f"+{i + 1}" for i in range(steps)),
    ]
    lines = [titles]
    first = next(iter(rows.values()), None)
    for name, row in rows.items():
        assert first is not None
        figures = [_figure(row["moving"]), _gain(row["moving"], first["moving"])]
        figures += [_figure(row["whole"]), _gain(row["whole"], first["whole"])]
        figures += ["-" if row["epe_share"] is None else f"{row['epe_share']:.3f}"]
        lines.append([name, *figures, *(_figure(value) for value in row["steps"])])
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _gain(value: float, base: float) -> str:
    return "-" if math.isnan(value - base) else f"{value - base:+.2f}"
