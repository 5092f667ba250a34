"""Every setting of LightGaussian compression and of the mesh, with its type and its default.

Source of the defaults: spec `frame0.md`, sections 4 and 5, with the faults of section 8 that are
named at the fields mended.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from igs.config.checks import at_least, one_of, share
from igs.config.load import ConfigError

IMPORTANCES = ("opacity", "opacity_t", "alpha_t")
PRUNE_TYPES = (
    "v_important_score",
    "important_score",
    "max_v_important_score",
    "count",
    "opacity",
)
MESH_DEPTHS = ("depth", "median_depth")


@dataclass
class PruneConfig:
    """Which Gaussians are left out.

    share: fraction removed in the first round; round i removes ``share * decay^i``.
    type: one of PRUNE_TYPES. importance: what is summed over the pixels of all training views,
    one of IMPORTANCES: the opacity (as IGS), opacity times transmittance (LightGaussian's last
    version) or alpha times transmittance, the weight in the image (fault 7). v_pow: power of the
    relative volume. clip_volume: limit the relative volume to 1, as in the paper (fault 8).
    """

    share: float = 0.45
    type: str = "v_important_score"
    importance: str = "opacity"
    v_pow: float = 0.1
    clip_volume: bool = False
    rounds: int = 1
    decay: float = 1.0


@dataclass
class RecoverConfig:
    """Fine-tuning after pruning, shared out over the rounds.

    freeze_means: hold all positions still, as the original does by mistake (fault 1).
    rate_decay: factor on all rates but the means' after every `rate_interval` iterations;
    LightGaussian has 0.95 every 400. rate_final: share of their start that these rates fall to in
    each round along half a cosine; 1 keeps them, as IGS does.
    """

    iterations: int = 1000
    freeze_means: bool = False
    rate_decay: float = 1.0
    rate_interval: int = 400
    rate_final: float = 1.0


@dataclass
class DistillConfig:
    """A student of lower SH degree learns from the renders of the model before compression.

    jitter: standard deviation per axis by which two of three views are displaced, as a share of
    the scene's extent; 0 keeps to the training views. train: groups of the student that learn,
    among means, sh, opacity_logits, log_scales, quats. rate_decay: factor on all rates after every
    `rate_interval` iterations.
    """

    enabled: bool = False
    sh_degree: int = 2
    iterations: int = 1000
    lambda_l1: float = 0.8
    jitter: float = 0.01
    train: list[str] = field(default_factory=lambda: ["sh", "log_scales", "quats"])
    rate_decay: float = 0.9
    rate_interval: int = 500


@dataclass
class QuantiseConfig:
    """Vector quantisation of the SH of the least significant Gaussians.

    share: fraction of the Gaussians that share the codebook. codebook: entries; never more than a
    quarter of the Gaussians that share it. steps, batch, decay, replaced: of the k-means by moving
    averages; published are 1000 steps of 80000 samples, which takes a GPU. keep_dc: store the
    constant colour of every Gaussian and quantise the rest only.
    """

    enabled: bool = False
    share: float = 0.6
    codebook: int = 8192
    steps: int = 100
    batch: int = 16_384
    decay: float = 0.8
    replaced: int = 10
    keep_dc: bool = False


@dataclass
class CompressConfig:
    """LightGaussian: pruning, recovery, and on request distillation and quantisation."""

    prune: PruneConfig = field(default_factory=PruneConfig)
    recover: RecoverConfig = field(default_factory=RecoverConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)
    quantise: QuantiseConfig = field(default_factory=QuantiseConfig)


@dataclass
class MeshConfig:
    """Fusion of depth maps into a mesh.

    resolution: voxels along the longest side of the region. truncation: reach of the signed
    distance on either side of a surface, voxels. depth: one of MESH_DEPTHS. min_alpha: pixels
    that are more transparent say nothing. min_views: views that must have seen a voxel.
    min_share: connected parts with fewer faces than this share of the largest are dropped.
    """

    resolution: int = 256
    truncation: float = 4.0
    depth: str = "median_depth"
    min_alpha: float = 0.5
    min_views: int = 2
    min_share: float = 0.01


def check_compress(config: CompressConfig) -> None:
    """Refuse values compression cannot run with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    prune, recover = config.prune, config.recover
    one_of("prune.type", prune.type, PRUNE_TYPES)
    one_of("prune.importance", prune.importance, IMPORTANCES)
    share("prune.share", prune.share)
    share("prune.decay", prune.decay)
    at_least("prune.v_pow", prune.v_pow, 0)
    at_least("prune.rounds", prune.rounds, 1)
    at_least("recover.iterations", recover.iterations, 0)
    share("recover.rate_decay", recover.rate_decay)
    share("recover.rate_final", recover.rate_final)
    at_least("recover.rate_interval", recover.rate_interval, 1)
    check_distill(config.distill)
    check_quantise(config.quantise)


def check_distill(config: DistillConfig) -> None:
    """Refuse values distillation cannot run with. Raises as `check_compress` does."""
    groups = ("means", "sh", "opacity_logits", "log_scales", "quats")
    if not 0 <= config.sh_degree <= 3:
        raise ConfigError(f"distill.sh_degree: {config.sh_degree} must be 0 to 3")
    at_least("distill.iterations", config.iterations, 0)
    at_least("distill.jitter", config.jitter, 0)
    share("distill.lambda_l1", config.lambda_l1)
    share("distill.rate_decay", config.rate_decay)
    at_least("distill.rate_interval", config.rate_interval, 1)
    for name in config.train:
        one_of("distill.train", name, groups)


def check_quantise(config: QuantiseConfig) -> None:
    """Refuse values quantisation cannot run with. Raises as `check_compress` does."""
    share("quantise.share", config.share)
    share("quantise.decay", config.decay)
    if not 1 <= config.codebook <= 65_536:
        raise ConfigError(f"quantise.codebook: {config.codebook} must be 1 to 65536")
    at_least("quantise.steps", config.steps, 0)
    at_least("quantise.batch", config.batch, 1)
    at_least("quantise.replaced", config.replaced, 0)


def check_mesh(config: MeshConfig) -> None:
    """Refuse values the mesh cannot be made with. Raises as `check_compress` does."""
    at_least("mesh.resolution", config.resolution, 8)
    at_least("mesh.truncation", config.truncation, 1)
    at_least("mesh.min_views", config.min_views, 1)
    one_of("mesh.depth", config.depth, MESH_DEPTHS)
    share("mesh.min_alpha", config.min_alpha)
    share("mesh.min_share", config.min_share)
