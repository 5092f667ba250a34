"""Checks of training settings that types alone cannot express; each error names the key."""

from __future__ import annotations

from igs.config.load import ConfigError
from igs.config.training import (
    FlowSizes,
    FlowTrainConfig,
    LoopConfig,
    TrainConfig,
    TrainDataConfig,
)
from igs.config.validate import at_least, one_of, share

PRESETS = ("full", "small")


def check_train(config: TrainConfig) -> None:
    """Refuse values that the training of AGM-Net cannot run with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    _check_loop(config)
    _check_data(config.data, config.steps_per_epoch)
    one_of("network.preset", config.network.preset, PRESETS)
    for name in ("network_size", "anchors", "neighbours", "width", "heads", "blocks", "groups"):
        value = getattr(config.network, name)
        if value is not None:
            at_least(f"network.{name}", value, 1)
    _check_flow_sizes("network.flow", config.network.flow)
    losses = config.losses
    for name in ("lambda_l1", "lambda_dssim", "lambda_motion", "rotation"):
        at_least(f"losses.{name}", getattr(losses, name), 0)
    if losses.lambda_l1 + losses.lambda_dssim + losses.lambda_motion == 0:
        raise ConfigError("losses: all of lambda_l1, lambda_dssim and lambda_motion are 0")
    share("losses.moving_share", losses.moving_share)
    _above("losses.softness", losses.softness, 0)
    if config.losses.outlier is not None:
        _above("losses.outlier", config.losses.outlier, 0)
    if losses.lambda_motion and config.data.kind == "igs_data":
        raise ConfigError(
            "losses.lambda_motion: data.kind=igs_data does not know the true motion; set 0"
        )
    if not config.weights and not config.flow_weights:
        raise ConfigError(
            "flow_weights: name the flow features to build on (a file that `igs train flow` wrote, "
            "or GMFlow's), or say flow_weights=untrained"
        )


def check_flow_train(config: FlowTrainConfig) -> None:
    """Refuse values that the training of GMFlow cannot run with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    _check_loop(config)
    share("warped_share", config.warped_share)
    if config.warped_share < 1:
        _check_data(config.data, config.steps_per_epoch)
        if config.data.kind == "igs_data":
            raise ConfigError("warped_share: data.kind=igs_data has no true flow; set 1")
    one_of("network.preset", config.network.preset, PRESETS)
    _check_flow_sizes("network.sizes", config.network.sizes)
    if config.steps_per_epoch is None:
        raise ConfigError("steps_per_epoch: the pairs have no end; say how many steps are an epoch")
    share("gamma", config.gamma)
    _above("max_flow", config.max_flow, 0)
    _above("warp.min_share", config.warp.min_share, 0)
    share("warp.max_motion", config.warp.max_motion)
    share("warp.jitter", config.warp.jitter)
    share("warp.noise", config.warp.noise)
    at_least("warp.layers", config.warp.layers, 0)
    at_least("size", config.size, 16)


def _check_loop(config: LoopConfig) -> None:
    one_of("device", config.device, ("auto", "cpu"))
    one_of("precision", config.precision, ("fp32", "fp16", "bf16"))
    for name in ("batch", "epochs", "log_every"):
        at_least(name, getattr(config, name), 1)
    for name in ("threads", "steps_per_epoch", "keep_epochs"):
        if getattr(config, name) is not None:
            at_least(name, getattr(config, name), 1)
    at_least("workers", config.workers, 0)
    at_least("save_minutes", config.save_minutes, 0)
    optimiser, validation = config.optimiser, config.validation
    _above("optimiser.rate", optimiser.rate, 0)
    _above("optimiser.clip_norm", optimiser.clip_norm, 0)
    at_least("optimiser.weight_decay", optimiser.weight_decay, 0)
    at_least("optimiser.warmup_steps", optimiser.warmup_steps, 0)
    share("optimiser.warmup_share", optimiser.warmup_share)
    at_least("optimiser.flow_rate", optimiser.flow_rate, 0)
    if len(optimiser.betas) != 2 or not all(0 <= beta < 1 for beta in optimiser.betas):
        raise ConfigError(f"optimiser.betas: needs two numbers in 0..1, got {optimiser.betas}")
    at_least("validation.every_epochs", validation.every_epochs, 1)
    at_least("validation.samples", validation.samples, 0)
    at_least("validation.images", validation.images, 0)
    if validation.samples and validation.seed == config.seed:
        raise ConfigError(f"validation.seed: {validation.seed} is the seed of training; change it")


def _check_data(data: TrainDataConfig, steps_per_epoch: int | None) -> None:
    one_of("data.kind", data.kind, ("synthetic", "igs_data"))
    if data.kind == "igs_data" and not data.root:
        raise ConfigError("data.root: data.kind=igs_data needs the folder of the scenes")
    if data.kind == "synthetic" and steps_per_epoch is None:
        raise ConfigError(
            "steps_per_epoch: data.kind=synthetic has no end; say how many steps are an epoch"
        )


def _check_flow_sizes(key: str, sizes: FlowSizes) -> None:
    for name in ("channels", "blocks", "expansion", "windows", "upsampler_width"):
        if getattr(sizes, name) is not None:
            at_least(f"{key}.{name}", getattr(sizes, name), 1)
    if sizes.widths is not None and (len(sizes.widths) != 3 or min(sizes.widths) < 1):
        raise ConfigError(f"{key}.widths: needs three numbers above 0, got {sizes.widths}")


def _above(key: str, value: float, bound: float) -> None:
    if not value > bound:
        raise ConfigError(f"{key}: {value} must be above {bound:g}")
