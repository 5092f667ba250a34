"""Settings of the container's encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class FvvConfig:
    """How finely Gaussians are stored, and how a stream is cut.

    Attributes:
        position: step of positions, as a share of the size of small Gaussians (the 20th percentile
            of the second largest standard deviation in the first frame).
        quat: steps from 0 to 1 of a unit quaternion's component.
        log_scale: step of the natural logarithm of scales.
        opacity: steps from opacity 0 to 1.
        color: step of colour, of 0..1.
        sh: step of the coefficients of SH degree 1; twice that for degrees 2 and 3.
        hold: a value is kept from the frame before as long as it is at most this many steps
            farther off than rounding would leave it. Errors are at most ``0.5 + hold`` steps.
        hold_most: where the encoder knows how much values matter in renders, those that matter
            little are held this many steps, and those that matter much fewer than `hold`; None
            holds all alike.
        refine: steps of the base are this many times coarser than those above, and what is missing
            stands in a layer of its own, which a server can leave out; 1 for none.
        intra_interval: frames from one frame that needs no other to the next, at least; seeking
            begins there.
        codec: "zstd", "deflate" (which browsers know by themselves), or "raw".
        level: effort of the codec; zstd 1..22, deflate 1..9.

    Raises:
        ValueError: a setting out of range; names it.
    """

    position: float = 0.04
    quat: int = 54
    log_scale: float = 0.053
    opacity: int = 44
    color: float = 1 / 185
    sh: float = 0.0215
    hold: float = 1.9
    hold_most: float | None = None
    refine: int = 1
    intra_interval: int = 60
    codec: str = "zstd"
    level: int = 19

    def __post_init__(self) -> None:
        for name in ("position", "log_scale", "color", "sh"):
            if not 0 < getattr(self, name) < 100:
                raise ValueError(f"fvv.{name}: {getattr(self, name)} must be above 0")
        for name in ("quat", "opacity"):
            if not 1 <= getattr(self, name) <= 32767:
                raise ValueError(f"fvv.{name}: {getattr(self, name)} must be within 1..32767")
        if not 0 <= self.hold <= 10:
            raise ValueError(f"fvv.hold: {self.hold} must be within 0..10 steps")
        if self.hold_most is not None and not self.hold <= self.hold_most <= 40:
            raise ValueError(f"fvv.hold_most: {self.hold_most} must be within hold..40 steps")
        if not 1 <= self.refine <= 64:
            raise ValueError(f"fvv.refine: {self.refine} must be within 1..64")
        if self.intra_interval < 1:
            raise ValueError(f"fvv.intra_interval: {self.intra_interval} must be at least 1")
        if self.codec not in ("zstd", "deflate", "raw"):
            raise ValueError(f"fvv.codec: {self.codec!r}; choose zstd, deflate or raw")
        if not 1 <= self.level <= 22:
            raise ValueError(f"fvv.level: {self.level} must be within 1..22")

    @property
    def largest_hold(self) -> float:
        """Steps of tolerance that no value exceeds."""
        return self.hold if self.hold_most is None else self.hold_most

    def coarser(self, factor: float) -> FvvConfig:
        """The same with all steps times `factor` (finer below 1)."""
        return replace(
            self,
            position=min(self.position * factor, 50.0),
            quat=int(min(max(round(self.quat / factor), 3), 32767)),
            log_scale=min(self.log_scale * factor, 2.0),
            opacity=int(min(max(round(self.opacity / factor), 3), 32767)),
            color=min(self.color * factor, 0.5),
            sh=min(self.sh * factor, 2.0),
        )


PRESETS = {
    "small": FvvConfig().coarser(2.0),
    "balanced": FvvConfig(),
    "fine": replace(FvvConfig().coarser(0.5), hold=1.0),
    "live": replace(FvvConfig(), level=3, intra_interval=30, refine=2),
}
