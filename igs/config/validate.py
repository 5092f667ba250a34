"""Checks of values that types alone cannot express; each error names the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from igs.config.checks import at_least, one_of, share
from igs.config.frame0 import check_frame0
from igs.config.gpu import check_gpu
from igs.config.load import ConfigError
from igs.config.schema import (
    FREE_VIEW_PATHS,
    PRECISIONS,
    REFINE_ITERATIONS,
    DataConfig,
    RefineConfig,
    RunConfig,
    StreamConfig,
)


def check_stream(config: StreamConfig) -> None:
    """Refuse values the engine cannot run with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    check_device(config.device)
    at_least("seed", config.seed, 0)
    at_least("threads", config.threads, 1)
    one_of("motion.mode", config.motion.mode, ("none", "agm"))
    at_least("schedule.interval", config.schedule.interval, 1)
    at_least("motion.anchors", config.motion.anchors, 1)
    one_of("motion.precision", config.motion.precision, PRECISIONS)
    check_gpu(config.gpu)
    _check_refine(config.refine)
    if len(config.background) != 3:
        raise ConfigError(f"background: needs 3 numbers (R, G, B), got {config.background}")
    for value in config.background:
        share("background", value)
    if config.motion.mode == "agm" and not config.motion.weights:
        raise ConfigError(
            "motion.weights: motion=agm needs trained weights (a .safetensors or .bin file); "
            "motion=none streams by refinement alone"
        )


def check_run(config: RunConfig) -> None:
    """Refuse values a whole run cannot work with; includes `check_stream`.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    check_stream(config)
    if not config.output:
        raise ConfigError("output: name the folder to write to")
    _check_data(config.data)
    check_frame0(config.frame0)
    if config.frame0.mode == "load" and not config.frame0.ply and config.data.kind != "layout":
        raise ConfigError("frame0.ply: frame0.mode=load needs the path of a PLY file")
    one_of("free_view.path", config.free_view.path, FREE_VIEW_PATHS)
    at_least("free_view.views", config.free_view.views, 1)
    _size("free_view.size", config.free_view.size)


def check_device(name: str) -> None:
    """Refuse a device that torch does not know or does not have.

    Raises:
        ConfigError: names the device and what would be right.
    """
    import torch  # here, so that reading a config does not load it

    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device: {name!r} must be cpu, cuda or cuda:<number>")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: {name!r} is asked for, but torch sees {torch.cuda.device_count()} CUDA "
            "devices; device=cpu works everywhere"
        )


def _check_refine(refine: RefineConfig) -> None:
    one_of("refine.mode", refine.mode, (*REFINE_ITERATIONS, "off"))
    at_least("refine.iterations", refine.iterations, 1)
    share("refine.lambda_l1", refine.lambda_l1)
    share("refine.lr_final", refine.lr_final)
    share("refine.active_threshold", refine.active_threshold)
    if refine.active_tiles and not refine.active_only:
        raise ConfigError(
            "refine.active_tiles: needs refine.active_only=true, which finds what changed"
        )
    _none_negative("refine.rates", asdict(refine.rates))
    densify = refine.densify
    at_least("refine.densify.interval", densify.interval, 1)
    at_least("refine.densify.max_num", densify.max_num, 1)
    share("refine.densify.min_opacity", densify.min_opacity)
    for key in ("until", "grad_threshold", "percent_dense"):
        at_least(f"refine.densify.{key}", getattr(densify, key), 0)


def _check_data(data: DataConfig) -> None:
    if not data.root:
        raise ConfigError("data.root: name the folder of the capture")
    one_of("data.kind", data.kind, ("videos", "layout"))
    one_of("data.on_missing", data.on_missing, ("error", "drop"))
    for key in ("loops", "num_frames", "decode_threads"):
        at_least(f"data.{key}", getattr(data, key), 1)
    at_least("data.prefetch", data.prefetch, 0)
    if not data.fps > 0:
        raise ConfigError(f"data.fps: {data.fps} must be positive")
    _size("data.size", data.size)
    if data.kind == "videos" and data.network_images is not None:
        raise ConfigError(
            "data.network_images: only data.kind=layout has them; from videos they are made"
        )
    if data.kind != "layout":
        return
    if not data.scene:
        raise ConfigError("data.scene: data.kind=layout needs the scene's folder in data.root")
    if data.size is not None:
        raise ConfigError(
            "data.size: only data.kind=videos resizes; data.images names the folder of the size "
            "to work at"
        )
    if data.on_missing != "error":
        raise ConfigError("data.on_missing: drop is for data.kind=videos; a layout is complete")


def _none_negative(key: str, values: dict[str, float]) -> None:
    for name, value in values.items():
        at_least(f"{key}.{name}", value, 0)


def _size(key: str, size: Sequence[int] | None) -> None:
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ConfigError(f"{key}: needs width and height, got {size}")
