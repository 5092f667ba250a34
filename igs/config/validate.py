"""Checks of values that types alone cannot express; each error names the key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from igs.config.load import ConfigError
from igs.config.schema import FREE_VIEW_PATHS, REFINE_ITERATIONS, RunConfig, StreamConfig


def check_stream(config: StreamConfig) -> None:
    """Refuse values the engine cannot run with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    _one_of("motion.mode", config.motion.mode, ("none", "agm"))
    _one_of("refine.mode", config.refine.mode, (*REFINE_ITERATIONS, "off"))
    _at_least("schedule.interval", config.schedule.interval, 1)
    if config.motion.anchors is not None:
        _at_least("motion.anchors", config.motion.anchors, 1)
    _at_least("refine.densify.interval", config.refine.densify.interval, 1)
    if config.refine.iterations is not None:
        _at_least("refine.iterations", config.refine.iterations, 1)
    _share("refine.lambda_l1", config.refine.lambda_l1)
    _share("refine.lr_final", config.refine.lr_final)
    if len(config.background) != 3:
        raise ConfigError(f"background: needs 3 numbers (R, G, B), got {config.background}")
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
    if not config.data.root:
        raise ConfigError("data.root: name the folder of the capture")
    _one_of("data.kind", config.data.kind, ("videos", "layout"))
    _one_of("data.on_missing", config.data.on_missing, ("error", "drop"))
    _one_of("frame0.mode", config.frame0.mode, ("optimise", "load"))
    _one_of("frame0.init.mode", config.frame0.init.mode, ("sweep", "points", "random"))
    _one_of("free_view.path", config.free_view.path, FREE_VIEW_PATHS)
    _one_of("frame0.sh_degree", config.frame0.sh_degree, (0, 1, 2, 3))
    _at_least("frame0.iterations", config.frame0.iterations, 1)
    _at_least("data.loops", config.data.loops, 1)
    _share("frame0.lambda_l1", config.frame0.lambda_l1)
    if config.data.num_frames is not None:
        _at_least("data.num_frames", config.data.num_frames, 1)
    for key, size in (("data.size", config.data.size), ("free_view.size", config.free_view.size)):
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ConfigError(f"{key}: needs width and height, got {size}")
    if config.data.kind == "layout" and not config.data.scene:
        raise ConfigError("data.scene: data.kind=layout needs the scene's folder in data.root")
    if config.frame0.mode == "load" and not config.frame0.ply and config.data.kind != "layout":
        raise ConfigError("frame0.ply: frame0.mode=load needs the path of a PLY file")
    depths = config.frame0.init.depth_range
    if depths is not None and (len(depths) != 2 or not 0 < depths[0] < depths[1]):
        raise ConfigError(f"frame0.init.depth_range: needs 0 < near < far, got {depths}")
    if config.frame0.init.mode == "points" and not config.frame0.init.files:
        raise ConfigError("frame0.init.files: frame0.init.mode=points needs at least one file")


def _one_of(key: str, value: Any, allowed: Collection[Any]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key}: {value!r} must be one of {', '.join(map(str, allowed))}")


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"{key}: {value} must be at least {least}")


def _share(key: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ConfigError(f"{key}: {value} must lie in 0..1")
