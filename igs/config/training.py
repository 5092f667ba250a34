"""Every setting of a training run, with its type and its default.

Source of the defaults: spec `streaming.md`, section 11, with faults 23 to 26 and 34 mended, and
`gmflow.md`, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045

UNTRAINED = "untrained"  # stands for a weights file where random weights are meant


@dataclass
class FlowSizes:
    """Sizes of the flow features that differ from the preset's; None keeps the preset's."""

    widths: Optional[list[int]] = None
    channels: Optional[int] = None
    blocks: Optional[int] = None
    expansion: Optional[int] = None
    windows: Optional[int] = None
    upsampler_width: Optional[int] = None


@dataclass
class NetworkSizes:
    """The motion network: a preset, and what differs from it; None keeps the preset's.

    preset `full` is the published size (but images are normalised once), `small` is for CPUs.
    """

    preset: str = "small"
    network_size: Optional[int] = None
    anchors: Optional[int] = None
    neighbours: Optional[int] = None
    distance_weight: Optional[float] = None
    width: Optional[int] = None
    heads: Optional[int] = None
    blocks: Optional[int] = None
    groups: Optional[int] = None
    double_normalise: Optional[bool] = None
    normalise_world: Optional[bool] = None
    visible_mean: Optional[bool] = None
    triangulate: Optional[bool] = None
    flow: FlowSizes = field(default_factory=FlowSizes)


@dataclass
class FlowNetworkSizes:
    """The flow network: a preset, and what differs from it."""

    preset: str = "small"
    sizes: FlowSizes = field(default_factory=FlowSizes)


@dataclass
class LossWeights:
    """Weights of the losses; a loss of weight 0 is not computed.

    lambda_l1, lambda_dssim: of rendered views, `l1 * L1 + dssim * (1 - SSIM)`.
    lambda_motion: of the true motion, where it is known. Its translations are measured in half
    diagonals of the box and its rotations in radians times `rotation`; `moving_share` of the
    weight goes to the Gaussians that move, however few they are. `softness` is where the
    Charbonnier loss turns from square to straight, `outlier` where it turns from straight to
    logarithmic (None: nowhere), so that motions which cannot be seen do not teach timidity.
    """

    lambda_l1: float = 1.0
    lambda_dssim: float = 0.2
    lambda_motion: float = 0.0
    rotation: float = 0.1
    moving_share: float = 0.5
    softness: float = 0.001
    outlier: Optional[float] = None


@dataclass
class OptimiserConfig:
    """AdamW under a one-cycle schedule.

    warmup_steps: steps up to the highest rate, at most `warmup_share` of all steps (the original
    failed on runs shorter than its warm-up).
    cycle_momentum: let the schedule move beta1 from 0.95 to 0.85 and back whatever `betas` says,
    as the original did unawares.
    flow_rate: learning rate of the flow features under `fine_tune_flow`, as a share of `rate`.
    """

    rate: float = 4e-4
    weight_decay: float = 0.05
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    warmup_steps: int = 750
    warmup_share: float = 0.3
    cycle_momentum: bool = False
    clip_norm: float = 1.0
    flow_rate: float = 0.1


@dataclass
class ValidationConfig:
    """Held-out samples: the same ones every time, of a seed that training does not use."""

    every_epochs: int = 1
    samples: int = 20
    seed: int = 1_000_003
    images: int = 4  # samples whose images are logged


@dataclass
class LoopConfig:
    """What every training run needs, whatever it trains.

    batch: samples per process and step. epochs: epochs of `steps_per_epoch` steps; a data set
    with an end may leave the latter None: every sample once, an incomplete last batch dropped.
    weights: file to start from (a new run; `--resume` goes on with an old one).
    precision: fp32, fp16 (with loss scaling) or bf16; geometry, rendering and losses stay in
    float32.
    workers: processes that make samples; 0 makes them in the training process.
    save_minutes: least time between two checkpoints inside an epoch; 0 saves at its end alone.
    keep_epochs: epoch folders to keep; None keeps all.
    """

    output: str = "outputs/train"
    seed: int = 0
    device: str = "auto"  # or cpu
    threads: Optional[int] = None
    precision: str = "fp32"
    batch: int = 1
    epochs: int = 15
    steps_per_epoch: Optional[int] = None
    workers: int = 0
    log_every: int = 100
    save_minutes: float = 10.0
    keep_epochs: Optional[int] = None
    weights: Optional[str] = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)


@dataclass
class TrainDataConfig:
    """Where samples come from.

    kind `synthetic`: scenes made on the fly, without end. `igs_data`: the public layout in
    `root`. `photos`: a folder of photographs whose cut-outs serve as textures. `synthetic`: what
    scenes are drawn from, the fields of `SyntheticDataConfig` with its sections `scene` and
    `appearance`. `igs_data`: how stored scenes are read, the fields of `IgsDataConfig`;
    `igs_data_validation`: what is otherwise for the held-out pairs. What is left out keeps its
    default.
    """

    kind: str = "synthetic"
    root: Optional[str] = None
    photos: Optional[str] = None
    synthetic: dict[str, Any] = field(default_factory=dict)
    igs_data: dict[str, Any] = field(default_factory=dict)
    igs_data_validation: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainConfig(LoopConfig):
    """A run of `igs train` or `main.py`.

    flow_weights: flow features to start from, a file of GMFlow's or ours; `untrained` for random
    ones. Not needed where `weights` holds them.
    fine_tune_flow: also train the flow features.
    """

    network: NetworkSizes = field(default_factory=NetworkSizes)
    flow_weights: Optional[str] = None
    fine_tune_flow: bool = False
    data: TrainDataConfig = field(default_factory=TrainDataConfig)
    losses: LossWeights = field(default_factory=LossWeights)


@dataclass
class WarpConfig:
    """Image pairs with known flow, cut from textures and photographs and warped smoothly.

    max_motion: largest displacement as a share of the image side. min_share: how little of it a
    layer may use, log-uniform between. layers: most foreground
    patches, each with a motion of its own. jitter: change of brightness, contrast and colour
    between the two images. noise: standard deviation of what is added to each.
    """

    max_motion: float = 0.15
    min_share: float = 0.01
    layers: int = 6
    jitter: float = 0.15
    noise: float = 0.01


@dataclass
class FlowTrainConfig(LoopConfig):
    """A run of `igs train flow`.

    size: side of the square training images, pixels. warped_share: share of the pairs that are
    warped images; the others are views of `data`. gamma, max_flow: of the sequence loss.
    lambda_matching: weight of the cross-entropy of global matching, without which short runs
    rest at no flow.
    """

    network: FlowNetworkSizes = field(default_factory=FlowNetworkSizes)
    size: int = 256
    warped_share: float = 0.5
    gamma: float = 0.9
    max_flow: float = 400.0
    lambda_matching: float = 1.0
    data: TrainDataConfig = field(default_factory=TrainDataConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
