"""From a run's config to the things it works on: frames, rig, box, network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from igs.config import ConfigError
from igs.config.resources import weights_path
from igs.config.schema import MotionSettings, RunConfig
from igs.motion import AGMNet, load_agm
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
        box: region that may move, None where the config has none.
        root: what relative paths of the config are relative to.
        frame0_ply: file of the first frame's Gaussians; None when they are optimised here.
    """

    source: FrameSource
    held_out: tuple[str, ...]
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
    # A looped source prefetches by itself, so that the inner one need not start thread on thread.
    source, held_out = _open_source(config, root, data.prefetch if data.loops == 1 else 0)
    if data.loops > 1:
        source = LoopedSource(source, data.loops, prefetch=data.prefetch)
    if data.pairs is not None:
        _check_pairs(config, root / data.pairs, source)
    return RunInputs(source, held_out, _open_box(config, root), root, _frame0_ply(config, root))


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
    return load_agm(weights_path(settings.weights), None if flow is None else weights_path(flow))


def _open_source(
    config: RunConfig, root: Path, prefetch: int
) -> tuple[FrameSource, tuple[str, ...]]:
    """The frames of all cameras that are not excluded, and the camera file's held-out ones."""
    data = config.data
    if data.kind == "layout" and data.cameras is None:
        rig = Dataset.open(root).scene(data.scene).rig()
    else:
        rig = read_rig(root / (data.cameras or "cameras.json"), undistort=data.undistort)
    excluded = resolve_views(config.views.exclude, rig.cameras)
    only = [name for name in rig.cameras if name not in excluded] if excluded else None
    held_out = tuple(name for name in rig.held_out if name not in excluded)
    if data.kind == "layout":
        return _image_source(config, root, rig, only, prefetch), held_out
    source = VideoFolderSource(
        root / data.videos,
        rig,
        only=only,
        size=None if data.size is None else (data.size[0], data.size[1]),
        num_frames=data.num_frames,
        on_missing="drop" if data.on_missing == "drop" else "error",
        prefetch=prefetch,
        threads=data.decode_threads,
    )
    return source, held_out


def _image_source(
    config: RunConfig, root: Path, rig: Rig, only: list[str] | None, prefetch: int
) -> ImageFolderSource:
    data, inputs = config.data, config.views.inputs
    uses_network = config.motion.mode == "agm"
    return ImageFolderSource(
        root,
        data.scene,
        data.images,
        data.network_images if uses_network else None,
        cameras=rig,
        only=only,
        network_views=resolve_views(inputs, rig.cameras) if inputs else None,
        num_frames=data.num_frames,
        fps=data.fps,
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
        return Box(np.array(box.bounds[0]), np.array(box.bounds[1]))
    if box.file is not None:
        scene = box.scene or config.data.scene
        if not scene:
            raise ConfigError("box.scene: name the entry of box.file")
        return read_box(root / box.file, scene)
    if config.motion.mode == "agm":
        raise ConfigError("box: motion=agm needs box.bounds or box.file, the region that may move")
    return None


def _check_pairs(config: RunConfig, path: Path, source: FrameSource) -> None:
    pairs = [
        p for p in read_pairs(path).val if not config.data.scene or p.scene == config.data.scene
    ]
    if source.num_frames is not None:
        pairs = pairs[: source.num_frames - 1]
    schedule = Schedule(config.schedule.interval, source.num_frames)
    schedule.check_pairs(pairs, interval_from="schedule.interval")
