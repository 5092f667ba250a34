"""Settings of `igs frame0`: what is read and written around the optimisation of one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from igs.config.checks import at_least, one_of
from igs.config.compress import CompressConfig, check_compress
from igs.config.frame0 import Frame0Config, check_frame0
from igs.config.load import ConfigError

RENDER_EXTRA = ("depth_median_mm", "alpha", "normal")

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045


@dataclass
class Frame0RunConfig:
    """A run of `igs frame0`.

    root: the scene's folder; images, resolution, split, held_out: see
    `igs.frame0.photographs.read_photographs`. compression: make a compressed model too, with the
    settings of `compress`. checkpoint_interval: iterations between checkpoints; 0 for none.
    render: which splits to render at the end; render_extra: further images of each view, of
    RENDER_EXTRA. save: iterations to save besides the last.
    """

    root: str = "."
    output: str = "outputs/frame0"
    images: str = "images"
    resolution: int = -1
    split: str = "auto"
    held_out: Optional[list[Any]] = None
    seed: int = 0
    threads: Optional[int] = None
    device: str = "cpu"
    background: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    start: Optional[str] = None  # PLY of a previous frame to go on from; no points are needed then
    checkpoint_interval: int = 500
    save: list[int] = field(default_factory=list)
    render: list[str] = field(default_factory=lambda: ["train", "test"])
    render_extra: list[str] = field(default_factory=list)
    frame0: Frame0Config = field(default_factory=Frame0Config)
    compression: bool = False
    compress: CompressConfig = field(default_factory=CompressConfig)


def check_frame0_run(config: Frame0RunConfig) -> None:
    """Refuse values that a run cannot work with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    check_frame0(config.frame0)
    check_compress(config.compress)
    one_of("frame0.mode", config.frame0.mode, ("optimise",))
    if config.save and config.frame0.attempts > 1:
        raise ConfigError(
            f"save: {config.save} with frame0.attempts={config.frame0.attempts}: only the end of "
            "the attempt that is kept is saved; leave save away, or give frame0.attempts=1"
        )
    at_least("seed", config.seed, 0)
    at_least("threads", config.threads, 1)
    at_least("checkpoint_interval", config.checkpoint_interval, 0)
    if len(config.background) != 3:
        raise ConfigError(f"background: needs 3 numbers (R, G, B), got {config.background}")
    for split in config.render:
        one_of("render", split, ("train", "test"))
    for kind in config.render_extra:
        one_of("render_extra", kind, RENDER_EXTRA)
