"""From a run's config to the things it works on: frames, rig, box, network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from igs.config import ConfigError
from igs.config.schema import MotionSettings, RunConfig, ViewsConfig
from igs.motion import AGMNet, find_weights, load_agm
from igs.scene import (
    Box,
    Dataset,
    FrameSource,
    ImageFolderSource,
    LoopedSource,
    Rig,
    Schedule,
    VideoFolderSource,
    read_box,
    read_pairs,
    read_rig,
    resolve_views,
)


@dataclass(frozen=True)
class RunInputs:
    """What a run works on.

    Attributes:
        source: the frames.
        held_out: cameras that the camera file sets apart.
        views: the config's roles by name, of cameras that the source has. The config's positions
            count in the whole camera file, excluded cameras included.
        box: region that may move, None where the config has none.
        root: what relative paths of the config are relative to.
        frame0_ply: file of the first frame's Gaussians; None when they are optimised here.
    """

    source: FrameSource
    held_out: tuple[str, ...]
    views: ViewsConfig
    box: Box | None
    root: Path
    frame0_ply: Path | None


def open_inputs(config: RunConfig) -> RunInputs:
    """Open the capture that a config names and check it against the schedule.

    Raises:
        ConfigError: a setting that does not fit the capture.
        FileNotFoundError: data.root or a file in it that is not there.
        ValueError: bad cameras, videos, boxes or pair files; one line that names the thing.
    """
    data = config.data
    root = Path(data.root)
    if not root.is_dir():
        raise FileNotFoundError(f"data.root {root}: no such folder")
    rig = _open_rig(config, root)
    views, only = _by_name(config.views, rig)
    source = _open_source(config, root, rig, views, only)
    if data.pairs is not None:
        _check_pairs(config, root / data.pairs, source.num_frames)
    if data.loops > 1:
        source = LoopedSource(source, data.loops, prefetch=data.prefetch)
    held_out = tuple(name for name in rig.held_out if name in source.cameras)
    box, ply = _open_box(config, root), _frame0_ply(config, root)
    return RunInputs(source, held_out, views, box, root, ply)


def open_network(settings: MotionSettings) -> AGMNet | None:
    """The motion network that the config asks for; None when motion is off.

    Raises:
        FileNotFoundError: a weight file is not there.
        ValueError: a weight file that does not fit.
    """
    if settings.mode == "none":
        return None
    assert settings.weights is not None, "checked by check_stream"
    flow = settings.flow_weights
    return load_agm(find_weights(settings.weights), None if flow is None else find_weights(flow))


def _open_rig(config: RunConfig, root: Path) -> Rig:
    data = config.data
    if data.kind == "layout" and data.cameras is None:
        return Dataset.open(root).scene(data.scene).rig()
    return read_rig(root / (data.cameras or "cameras.json"), undistort=data.undistort)


def _by_name(views: ViewsConfig, rig: Rig) -> tuple[ViewsConfig, list[str] | None]:
    """The same roles with names for positions, and which cameras to use (None: all)."""
    excluded = resolve_views(views.exclude, rig.cameras)
    if len(excluded) == len(rig.cameras):
        raise ConfigError(f"views.exclude: all {len(excluded)} cameras are excluded")
    inputs = resolve_views(views.inputs, rig.cameras)
    for name in inputs:
        if name in excluded:
            raise ConfigError(f"views.inputs: camera {name!r} is excluded by views.exclude")
    held_out = None
    if views.held_out is not None:
        held_out = [n for n in resolve_views(views.held_out, rig.cameras) if n not in excluded]
    only = [name for name in rig.cameras if name not in excluded] if excluded else None
    return ViewsConfig(held_out, inputs), only


def _open_source(
    config: RunConfig, root: Path, rig: Rig, views: ViewsConfig, only: list[str] | None
) -> FrameSource:
    """The frames of all cameras that are not excluded."""
    data = config.data
    # A looped source prefetches by itself, so that the inner one need not start thread on thread.
    prefetch = data.prefetch if data.loops == 1 else 0
    if data.kind == "layout":
        uses_network = config.motion.mode == "agm"
        return ImageFolderSource(
            root,
            data.scene,
            data.images,
            data.network_images if uses_network else None,
            cameras=rig,
            only=only,
            network_views=views.inputs or None,
            num_frames=data.num_frames,
            fps=data.fps,
            prefetch=prefetch,
            threads=data.decode_threads,
        )
    return VideoFolderSource(
        root / data.videos,
        rig,
        only=only,
        size=None if data.size is None else (data.size[0], data.size[1]),
        num_frames=data.num_frames,
        on_missing="drop" if data.on_missing == "drop" else "error",
        prefetch=prefetch,
        threads=data.decode_threads,
    )


def _frame0_ply(config: RunConfig, root: Path) -> Path | None:
    """The file of Gaussians to load, None when frame 0 is optimised."""
    frame0 = config.frame0
    if frame0.mode != "load":
        return None
    if frame0.ply is not None:
        return root / frame0.ply
    model = Dataset.open(root).scene(config.data.scene).start_model
    return model.find_ply(frame0.iteration)


def _open_box(config: RunConfig, root: Path) -> Box | None:
    box = config.box
    if box.bounds is not None:
        if len(box.bounds) != 2:
            raise ConfigError("box.bounds: needs two corners, [[x, y, z], [x, y, z]]")
        try:
            return Box(np.array(box.bounds[0]), np.array(box.bounds[1]))
        except ValueError as error:
            raise ConfigError(f"box.bounds: {error}") from None
    if box.file is not None:
        scene = box.scene or config.data.scene
        if not scene:
            raise ConfigError("box.scene: name the entry of box.file")
        return read_box(root / box.file, scene)
    if config.motion.mode == "agm":
        raise ConfigError("box: motion=agm needs box.bounds or box.file, the region that may move")
    return None


def _check_pairs(config: RunConfig, path: Path, num_frames: int | None) -> None:
    """Pairs of further frames than are streamed do not matter."""
    scene = config.data.scene
    pairs = [p for p in read_pairs(path).val if not scene or p.scene == scene]
    if num_frames is not None:
        pairs = pairs[: num_frames - 1]
    try:
        schedule = Schedule(config.schedule.interval, num_frames)
        schedule.check_pairs(pairs, interval_from="schedule.interval")
    except ValueError as error:
        whose = f" of scene {scene!r}" if scene else ""
        raise ValueError(f"{path}{whose}: {error}") from None
