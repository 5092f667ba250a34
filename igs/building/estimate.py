"""How long the work takes and what it takes of the disk, before most of it is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igs.config.building import RateConfig
from igs.prepare.disk import free_bytes
from igs.scene import SceneError

_MARGIN = 1.1  # later frames may hold more than those measured


@dataclass(frozen=True)
class FrameRate:
    """What one frame takes: seconds of one worker and bytes; None where it is not known yet."""

    seconds: float | None = None
    bytes: float | None = None

    @property
    def known(self) -> bool:
        """Both are known."""
        return self.seconds is not None and self.bytes is not None


@dataclass(frozen=True)
class Estimate:
    """What is still to come.

    Attributes:
        frames: to be built.
        slots: side by side.
        seconds_per_frame: of one worker.
        bytes_per_frame: of a finished frame.
        free: bytes free where the output is.
    """

    frames: int
    slots: int
    seconds_per_frame: float
    bytes_per_frame: float
    free: int

    @property
    def hours(self) -> float:
        """Until all are built."""
        waves = self.frames / min(self.slots, max(self.frames, 1))
        return self.seconds_per_frame * waves / 3600

    @property
    def needed(self) -> int:
        """Bytes, with a margin."""
        return round(self.frames * self.bytes_per_frame * _MARGIN)

    def __str__(self) -> str:
        return (
            f"{self.frames} frames of {self.seconds_per_frame:.3g} s, {self.slots} at a time: "
            f"about {self.hours:.2g} hours; {self.bytes_per_frame / 1e6:.3g} MB each: about "
            f"{self.needed / 1e9:.3g} GB to write, {self.free / 1e9:.3g} GB free"
        )


def measured_rate(receipts: Sequence[dict[str, Any]], stated: RateConfig) -> FrameRate:
    """What is stated, else the mean of frames that are built, else unknown."""

    def mean(key: str) -> float | None:
        values = [float(receipt[key]) for receipt in receipts if receipt.get(key) is not None]
        return sum(values) / len(values) if values else None

    return FrameRate(
        mean("seconds") if stated.seconds is None else stated.seconds,
        mean("bytes") if stated.bytes is None else stated.bytes,
    )


def estimate(rate: FrameRate, frames: int, slots: int, output: Path) -> Estimate:
    """What so many frames take on the disk that the output is on."""
    assert rate.seconds is not None
    assert rate.bytes is not None
    return Estimate(frames, slots, rate.seconds, rate.bytes, free_bytes(output))


def require_disk(need: Estimate, output: Path) -> None:
    """Refuse what the disk cannot hold.

    Raises:
        SceneError: with the figures and what would help.
    """
    if need.needed > need.free:
        fit = int(need.free / (need.bytes_per_frame * _MARGIN))
        raise SceneError(
            f"{output}: the disk is too small: {need}; {fit} frames would fit. Fewer frames "
            "(--frames), extras=[] (no renders, nothing uncompressed), a larger resolution "
            "divisor or another output would help"
        )
