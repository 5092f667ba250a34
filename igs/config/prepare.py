"""Every setting of preparing a capture, with its type and its default, and their checks.

Source of the defaults: spec `streaming.md`, sections 2.1, 3 and 9.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Optional

from igs.config.load import ConfigError
from igs.config.validate import at_least, one_of

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045

KINDS = (
    "auto",
    "videos",
    "images",
    "n3dv",
    "meeting_room",
    "technicolor",
    "enerf",
    "nerfstudio",
    "colmap",
    "pose2sim",
)
IMAGE_FOLDERS = ("images", "images_r2", "images_512")


@dataclass
class CamerasConfig:
    """Where cameras come from.

    mode `auto` reads them where the capture has them and estimates them by COLMAP where not;
    `given` insists on the first, `estimate` on the second. file: the calibration, relative to the
    input; None looks for the usual names.
    """

    mode: str = "auto"
    file: Optional[str] = None
    exclude: list[str] = field(default_factory=list)  # cameras to leave out
    order: Optional[str] = None  # poses_bounds.npy rows follow the videos by name or by number
    model: str = "OPENCV"  # COLMAP's camera model, where cameras are estimated
    shared: bool = True  # one set of intrinsics for all cameras, where they are estimated
    max_error: float = 2.0  # warn above this mean reprojection error, pixels


@dataclass
class SyncConfig:
    """How frames of several cameras are brought together.

    Time stamps are always used. Where they are no common clock, mode `report` estimates each
    camera's offset from sound or motion and says it, `apply` also uses it; `off` does neither.
    clock: `relative` counts every video's time from its own first frame, `absolute` takes the
    files' times as those of one clock. timestamps: a CSV file with a line per camera and frame;
    `auto` takes `timestamps.csv` of the input where there is one, `none` ignores it.
    """

    mode: str = "report"
    clock: str = "relative"
    timestamps: str = "auto"
    offsets: dict[str, float] = field(
        default_factory=dict
    )  # camera to seconds to take off its times
    tolerance: Optional[float] = None  # seconds; None: half a frame
    on_missing: str = "error"  # or drop: leave out steps that a camera lacks
    seconds: float = 10.0  # of the videos that the estimate looks at


@dataclass
class ImagesConfig:
    """What images are written.

    size or scale: of `images/`, from which the others are made; both None keep the capture's.
    folders: of each frame; images_r2 is half the size, images_512 is 512 x 512 for the network.
    work: the folder that streaming works on; None takes images_r2 where `images/` is wider than
    `work_width`, and else `images`.
    """

    size: Optional[list[int]] = None
    scale: Optional[float] = None
    folders: list[str] = field(default_factory=lambda: list(IMAGE_FOLDERS))
    work: Optional[str] = None
    work_width: int = 1400
    format: str = "png"  # or jpg
    png_level: int = 1  # 0..9; above 1 is much slower and little smaller
    quality: int = 95  # of jpg


@dataclass
class PointsConfig:
    """First points. mode `auto` takes the capture's, else triangulates; `none` leaves them out."""

    mode: str = "auto"


@dataclass
class BoxSettings:
    """The box of what moves. mode `auto` finds it; `none` leaves it out; `bounds` overrides."""

    mode: str = "auto"
    bounds: Optional[list[list[float]]] = None
    samples: int = 8  # frames looked at


@dataclass
class PrepareConfig:
    """A run of `igs prepare`."""

    input: str = ""
    output: str = ""
    scene: Optional[str] = None  # None: the name of the input folder
    kind: str = "auto"
    frames: Optional[str] = None  # "60", "0:300" or "0:300:2"
    fps: Optional[float] = None  # of image folders; None: what the calibration says, else 30
    held_out: Optional[list[Any]] = None  # names or positions; None: see `igs.prepare.roles`
    inputs: Optional[list[Any]] = None  # of the motion network, likewise; None: chosen by the box
    interval: int = 5  # of the pair file: every so many frames is a key frame
    workers: Optional[int] = None  # processes; None: one a core
    seed: int = 0
    cameras: CamerasConfig = field(default_factory=CamerasConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    points: PointsConfig = field(default_factory=PointsConfig)
    box: BoxSettings = field(default_factory=BoxSettings)

    def num_workers(self) -> int:
        """Processes to use: as set, else the cores this process may run on."""
        if self.workers is not None:
            return self.workers
        affinity = getattr(os, "sched_getaffinity", None)  # not on every system
        return len(affinity(0)) if affinity else os.cpu_count() or 1


def check_prepare(config: PrepareConfig) -> None:
    """Refuse values that preparing cannot work with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    if not config.input or not config.output:
        raise ConfigError("input and output: name the capture's folder and the folder to write")
    one_of("kind", config.kind, KINDS)
    at_least("interval", config.interval, 1)
    at_least("workers", config.workers, 1)
    at_least("seed", config.seed, 0)
    _positive("fps", config.fps)
    cameras, sync = config.cameras, config.sync
    one_of("cameras.mode", cameras.mode, ("auto", "given", "estimate"))
    one_of("cameras.order", cameras.order, (None, "name", "number"))
    _positive("cameras.max_error", cameras.max_error)
    one_of("sync.mode", sync.mode, ("off", "report", "apply"))
    one_of("sync.clock", sync.clock, ("relative", "absolute"))
    one_of("sync.on_missing", sync.on_missing, ("error", "drop"))
    at_least("sync.tolerance", sync.tolerance, 0)
    _positive("sync.seconds", sync.seconds)
    one_of("points.mode", config.points.mode, ("auto", "none"))
    one_of("box.mode", config.box.mode, ("auto", "none"))
    at_least("box.samples", config.box.samples, 2)
    if config.box.bounds is not None and [len(c) for c in config.box.bounds] != [3, 3]:
        raise ConfigError("box.bounds: needs two corners, [[x, y, z], [x, y, z]]")
    _check_images(config.images)


def _check_images(images: ImagesConfig) -> None:
    if images.size is not None and (len(images.size) != 2 or min(images.size) < 1):
        raise ConfigError(f"images.size: needs width and height, got {images.size}")
    if images.size is not None and images.scale is not None:
        raise ConfigError("images.size and images.scale: give one of them")
    _positive("images.scale", images.scale)
    if not images.folders:
        raise ConfigError(f"images.folders: name at least one of {', '.join(IMAGE_FOLDERS)}")
    for name in images.folders:
        one_of("images.folders", name, IMAGE_FOLDERS)
    work = [name for name in images.folders if name != "images_512"]
    if not work:
        raise ConfigError("images.folders: needs images or images_r2 to stream from")
    one_of("images.work", images.work, (None, *work))
    one_of("images.format", images.format, ("png", "jpg"))
    one_of("images.png_level", images.png_level, range(10))
    one_of("images.quality", images.quality, range(1, 101))


def _positive(key: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise ConfigError(f"{key}: {value} must be positive")
