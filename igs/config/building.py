"""Settings of building Gaussians for every frame of every scene of a data set (`igs build`)."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from igs.config.checks import at_least, one_of
from igs.config.compress import CompressConfig
from igs.config.frame0 import Frame0Config
from igs.config.frame0_run import Frame0RunConfig, check_frame0_run
from igs.config.load import ConfigError

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045

ENGINES = ("local", "ray")
EXTRAS = ("plain", "renders")
_MOST_AUTO_THREADS = 4


@dataclass
class WorkersConfig:
    """Who does the work. Nothing here changes what is built.

    engine: `local` processes, or `ray` for a cluster. address: of the Ray cluster; None takes
    RAY_ADDRESS or starts a runtime on this machine. device: `cpu`, `cuda` (one worker a GPU) or
    `auto`. count: workers; None is one a GPU, or cores divided by `threads`. threads: of one
    worker; None is up to four cores, or the GPU's share of the cores. retries: further attempts
    after one that failed or whose worker died. lock_seconds: how long to wait for a frame that
    another process holds.
    """

    engine: str = "local"
    address: Optional[str] = None
    device: str = "auto"
    count: Optional[int] = None
    threads: Optional[int] = None
    retries: int = 2
    lock_seconds: float = 300.0

    def num_threads(self, gpus: int = 0) -> int:
        """Threads of one worker on this machine, which has so many GPUs to share it with."""
        cores = os.cpu_count() or 1
        if self.threads is not None:
            return self.threads
        if gpus:
            return max(1, cores // max(gpus, self.count or 0))
        return max(1, cores // self.count) if self.count else min(_MOST_AUTO_THREADS, cores)


@dataclass
class RateConfig:
    """What one frame takes, where it is known; None measures it on the first frame built."""

    seconds: Optional[float] = None
    bytes: Optional[float] = None


@dataclass
class PairsConfig:
    """The training set's pair file and camera groups, written when frames are built.

    reach: farthest distance of two frames of a pair. validation: scenes whose pairs are for
    validation. seed: of the camera groups.
    """

    enabled: bool = True
    reach: int = 5
    validation: list[str] = field(default_factory=list)
    seed: int = 0


@dataclass
class BuildConfig:
    """A run of `igs build`.

    source: folder of the scenes, ``<source>/<scene>/colmap_<i>/{images, sparse/0}``. output: where
    ``<scene>/colmap_<i>/3dgs_rade`` goes; None is the source itself. scenes: their names; none is
    all. frames: ``60``, ``0:300`` or ``0:300:2``; None is all. images, resolution: see
    `igs.frame0.photographs.read_photographs`. held_out: cameras that only measure; they are left
    out of the model's cameras.json, whose positions number the renders. iteration: the name to
    save under instead of the counted one (such as 10000_compress). extras: what is kept besides the
    compressed Gaussians, `gt` and depth: `plain` (before compression) and `renders`.
    """

    source: str = "."
    output: Optional[str] = None
    scenes: list[str] = field(default_factory=list)
    frames: Optional[str] = None
    images: str = "images"
    resolution: int = -1
    held_out: list[Any] = field(default_factory=list)
    seed: int = 0
    background: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    frame0: Frame0Config = field(default_factory=Frame0Config)
    compression: bool = True
    compress: CompressConfig = field(default_factory=CompressConfig)
    iteration: Optional[str] = None
    extras: list[str] = field(default_factory=lambda: list(EXTRAS))
    checkpoint_interval: int = 500
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    rate: RateConfig = field(default_factory=RateConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)

    def frame_run(self, root: str, output: str, device: str) -> Frame0RunConfig:
        """The settings of `igs.frame0.run.run_frame0` for one frame."""
        return Frame0RunConfig(
            root=root,
            output=output,
            images=self.images,
            resolution=self.resolution,
            held_out=list(self.held_out),
            seed=self.seed,
            device=device,
            background=list(self.background),
            checkpoint_interval=self.checkpoint_interval,
            render=[],
            frame0=self.frame0,
            compression=self.compression,
            compress=self.compress,
        )


def result_settings(config: BuildConfig) -> dict[str, Any]:
    """The settings that decide what a frame's folder holds, as plain nested values."""
    values = asdict(config)
    for name in ("source", "output", "scenes", "frames", "checkpoint_interval"):
        del values[name]
    for name in ("workers", "rate", "pairs"):
        del values[name]
    values["extras"] = sorted(config.extras)
    return values


def check_build(config: BuildConfig) -> None:
    """Refuse values that building cannot work with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    check_frame0_run(config.frame_run(".", ".", "cpu"))
    for extra in config.extras:
        one_of("extras", extra, EXTRAS)
    if config.iteration is not None and not config.iteration.replace("_", "").isalnum():
        raise ConfigError(
            f"iteration: {config.iteration!r} must be a number, or one such as 10000_compress"
        )
    workers = config.workers
    one_of("workers.engine", workers.engine, ENGINES)
    one_of("workers.device", workers.device, ("auto", "cpu", "cuda"))
    at_least("workers.count", workers.count, 1)
    at_least("workers.threads", workers.threads, 1)
    at_least("workers.retries", workers.retries, 0)
    at_least("workers.lock_seconds", workers.lock_seconds, 0)
    if workers.address is not None and workers.engine != "ray":
        raise ConfigError("workers.address: is of a Ray cluster; workers.engine=ray goes with it")
    at_least("rate.seconds", config.rate.seconds, 0)
    at_least("rate.bytes", config.rate.bytes, 0)
    at_least("pairs.reach", config.pairs.reach, 1)
