"""Settings of frame 0: first points, optimisation, density control, colour per camera.

The presets `configs/frame0_plain.yaml`, `frame0_igs.yaml` and `frame0_fast.yaml` set them; `igs
frame0` and the `frame0` section of a stream's config share them. Source: spec `frame0.md`,
sections 1 to 3 and 8.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Optional

from igs.config.checks import at_least, one_of, share
from igs.config.load import ConfigError

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045

GROWTH_RULES = ("threshold", "budget")
INIT_MODES = ("auto", "sweep", "points", "random")


@dataclass
class Frame0Rates:
    """Learning rates of frame-0 training; `means` are multiplied by the scene's extent.

    final: share of their start that the rates other than those of the means have fallen to at the
    last iteration, along half a cosine; 1 keeps them constant, as the originals do.
    """

    means: float = 1.6e-4
    means_final: float = 1.6e-6
    sh0: float = 0.0025
    sh_rest: float = 0.000125
    opacity_logits: float = 0.05
    log_scales: float = 0.005
    quats: float = 0.001
    final: float = 1.0


@dataclass
class Frame0Density:
    """Adaptive density control of frame 0 (spec `frame0.md`, section 3).

    growth: `threshold` grows whatever has a large enough gradient, up to `max_num`. `budget` lets
    the count follow a fixed curve up to `max_num` and grows the largest gradients (Taming 3DGS).
    error_views: at each densification, render this many training views and grow only what covers
    pixels of large error in at least two of them (FastGS's multi-view test); 0 for no such test.
    """

    start: int = 500
    until: int = 15_000
    interval: int = 100
    grad_threshold: float = 0.0002
    min_opacity: float = 0.05
    percent_dense: float = 0.01
    max_num: Optional[int] = None
    opacity_reset_interval: int = 3000
    growth: str = "threshold"
    error_views: int = 0
    guard_absolute: bool = True  # False: fault 23 of section 8, a zero gradient may count
    max_scale: Optional[float] = 0.1  # share of the extent, applied behind the first opacity reset
    max_screen_radius: Optional[float] = None  # pixels; the original's 20 never acts (fault 2)
    min_z: Optional[float] = None  # world z below which all is deleted; 4.5 in the N3DV loader
    clear_share: float = 0.0  # of a camera's distance to the scene: how deep its view is kept free
    max_z: Optional[float] = None  # world z above which all is deleted; 20 in the ENeRF loader


@dataclass
class InitConfig:
    """Where the first points come from.

    mode `auto`: the scene's own points where it has any, else `sweep`. `sweep`: plane sweep over
    the views of frame 0. `points`: the listed files (PLY, or COLMAP's points3D.bin or .txt),
    relative to the scene's folder. `random`: on random pixels' rays, uniform in inverse depth.
    In mode `sweep`, points of `files` are added to those found.
    """

    mode: str = "sweep"
    files: list[str] = field(default_factory=list)
    max_points: int = 20_000
    depth_range: Optional[list[float]] = None  # near, far in world units; None: from the rig
    fill_stride: int = 0  # sweep: points in untextured holes, one every so many pixels; 0 for none
    background_points: int = 0  # random far points added for what no two views share


@dataclass
class DepthNormalConfig:
    """Depth-normal regularisation with RaDe's outputs (spec `frame0.md`, section 3).

    weight: of the term in the loss; 0.05 in the originals. from_iteration: 15000 in RaDe-GS, 10000
    in IGS. every: act in every so many iterations, with the weight multiplied likewise.
    """

    weight: float = 0.0
    from_iteration: int = 10_000
    median_share: float = 0.6
    every: int = 1


@dataclass
class CameraColorConfig:
    """An affine colour (3 x 4) per camera, learned with frame 0 (see `igs.frame0.camera_color`)."""

    enabled: bool = False
    rate: float = 0.002
    weight: float = 0.1  # of the squared distance from the identity
    from_iteration: int = 200


@dataclass
class ValidationConfig:
    """Training cameras set aside to stop early and to keep the best state; never test views.

    count: how many, spread over the rig; 0 for none. cameras: their names instead. interval:
    iterations between looks. patience: looks without a better figure before stopping.
    """

    count: int = 0
    cameras: list[str] = field(default_factory=list)
    interval: int = 250
    patience: int = 4


@dataclass
class CoarseToFineConfig:
    """Start at smaller images. shares: of the iterations, spent at each of `factors` in turn.

    The rest runs at full size. factors are divisors of the image's width and height.
    """

    factors: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)


@dataclass
class Frame0Config:
    """Gaussians of frame 0. mode `optimise` trains them from the images; `load` reads them.

    What is read is `ply` (relative to data.root), or else, in the dataset layout, the saved
    `iteration` of the trained first frame (such as 6000_compress; None takes the last). `colors` is
    the camera_colors.json that was learned with it, relative to data.root; None: there was none.

    attempts: optimise so many times, with seeds seed, seed + 1, ..., and keep what is best on the
    training cameras that `validation` sets aside; test views never take part.
    schedule_length: the run's length that all other iteration numbers here are meant for; they
    are stretched to `iterations`. None takes them as they are, as the originals do.
    original_order: densify before the optimiser's step, which loses that iteration's gradients, and
    no step at the last iteration (faults 5 of section 3 and 10 of section 8).
    central_point: take the principal point as central, as the originals do (fault 13).
    """

    mode: str = "optimise"
    ply: Optional[str] = None
    iteration: Optional[str] = None
    colors: Optional[str] = None
    attempts: int = 1
    iterations: int = 6000
    schedule_length: Optional[int] = None
    sh_degree: int = 3
    sh_interval: int = 1000
    decay_steps: int = 30_000  # length of the means' learning-rate decay
    lambda_l1: float = 0.8
    filter_3d: bool = True
    filter_interval: int = 100
    opacity_decay: float = 0.0  # weight of the mean opacity in the loss; thins out floaters
    scale_decay: float = 0.0  # weight of the mean scale, in units of the scene's extent
    sh_decay: float = 0.0  # weight of the mean square of the SH above the constant
    original_order: bool = False
    central_point: bool = False
    init: InitConfig = field(default_factory=InitConfig)
    rates: Frame0Rates = field(default_factory=Frame0Rates)
    density: Frame0Density = field(default_factory=Frame0Density)
    depth_normal: DepthNormalConfig = field(default_factory=DepthNormalConfig)
    camera_color: CameraColorConfig = field(default_factory=CameraColorConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    coarse_to_fine: CoarseToFineConfig = field(default_factory=CoarseToFineConfig)


def check_frame0(frame0: Frame0Config) -> None:
    """Refuse values that frame 0 cannot be made with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    one_of("frame0.mode", frame0.mode, ("optimise", "load"))
    if frame0.colors is not None and frame0.mode != "load":
        raise ConfigError(
            "frame0.colors: belongs to Gaussians that are loaded; set frame0.mode=load, or let "
            "frame0.camera_color.enabled=true learn colours"
        )
    one_of("frame0.sh_degree", frame0.sh_degree, (0, 1, 2, 3))
    counts = ("attempts", "iterations", "sh_interval", "decay_steps", "filter_interval")
    for key in (*counts, "schedule_length"):
        at_least(f"frame0.{key}", getattr(frame0, key), 1)
    _check_attempts(frame0)
    for key in ("opacity_decay", "scale_decay", "sh_decay"):
        at_least(f"frame0.{key}", getattr(frame0, key), 0)
    share("frame0.lambda_l1", frame0.lambda_l1)
    for key, value in asdict(frame0.rates).items():
        at_least(f"frame0.rates.{key}", value, 0)
    share("frame0.rates.final", frame0.rates.final)
    for key in ("means", "means_final"):
        if not getattr(frame0.rates, key) > 0:
            raise ConfigError(f"frame0.rates.{key}: must be positive, its decay is exponential")
    _check_density(frame0.density)
    _check_init(frame0.init)
    _check_terms(frame0)
    _check_coarse_to_fine(frame0.coarse_to_fine)


def _check_attempts(frame0: Frame0Config) -> None:
    aside = frame0.validation
    if frame0.attempts > 1 and not (aside.count or aside.cameras):
        raise ConfigError(
            f"frame0.attempts: {frame0.attempts} attempts are compared on training cameras that "
            "are set aside; set frame0.validation.count=1 or more"
        )


def _check_density(density: Frame0Density) -> None:
    one_of("frame0.density.growth", density.growth, GROWTH_RULES)
    for key in ("interval", "opacity_reset_interval", "max_num"):
        at_least(f"frame0.density.{key}", getattr(density, key), 1)
    for key in ("start", "until", "grad_threshold", "percent_dense", "error_views", "clear_share"):
        at_least(f"frame0.density.{key}", getattr(density, key), 0)
    for key in ("max_scale", "max_screen_radius"):
        at_least(f"frame0.density.{key}", getattr(density, key), 0)
    share("frame0.density.min_opacity", density.min_opacity)
    if density.growth == "budget" and density.max_num is None:
        raise ConfigError("frame0.density.max_num: growth=budget needs the count to grow to")


def _check_init(init: InitConfig) -> None:
    one_of("frame0.init.mode", init.mode, INIT_MODES)
    at_least("frame0.init.max_points", init.max_points, 1)
    at_least("frame0.init.background_points", init.background_points, 0)
    at_least("frame0.init.fill_stride", init.fill_stride, 0)
    depths = init.depth_range
    if depths is not None and (len(depths) != 2 or not 0 < depths[0] < depths[1]):
        raise ConfigError(f"frame0.init.depth_range: needs 0 < near < far, got {depths}")
    if init.mode == "points" and not init.files:
        raise ConfigError("frame0.init.files: frame0.init.mode=points needs at least one file")


def _check_terms(frame0: Frame0Config) -> None:
    at_least("frame0.depth_normal.weight", frame0.depth_normal.weight, 0)
    at_least("frame0.depth_normal.every", frame0.depth_normal.every, 1)
    share("frame0.depth_normal.median_share", frame0.depth_normal.median_share)
    at_least("frame0.camera_color.rate", frame0.camera_color.rate, 0)
    at_least("frame0.camera_color.weight", frame0.camera_color.weight, 0)
    at_least("frame0.validation.count", frame0.validation.count, 0)
    at_least("frame0.validation.interval", frame0.validation.interval, 1)
    at_least("frame0.validation.patience", frame0.validation.patience, 1)


def _check_coarse_to_fine(stages: CoarseToFineConfig) -> None:
    if len(stages.factors) != len(stages.shares):
        raise ConfigError(
            f"frame0.coarse_to_fine: {len(stages.factors)} factors but {len(stages.shares)} "
            "shares; each factor needs one"
        )
    for factor in stages.factors:
        at_least("frame0.coarse_to_fine.factors", factor, 1)
    for part in stages.shares:
        share("frame0.coarse_to_fine.shares", part)
    if sum(stages.shares) > 1:
        raise ConfigError("frame0.coarse_to_fine.shares: must not sum to more than 1")
