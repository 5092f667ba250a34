"""What a live session needs before its first frame: inputs, box, Gaussians, warm code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from igs.config import ConfigError
from igs.config.schema import DensifyConfig, RefineConfig
from igs.config.serve import CameraInput, LiveConfig
from igs.frame0 import make_frame0
from igs.frame0.camera_color import read_camera_colors
from igs.frame0.make import StageProgress
from igs.gaussians import Gaussians, read_ply
from igs.scene import Box, Camera, MultiViewFrame, read_box
from igs.serve.live_source import LiveSource
from igs.stream import refine_key_frame
from igs.stream.views import assign_views


def load_gaussians(config: LiveConfig, root: Path) -> Gaussians | None:
    """The Gaussians that the config names; None if they are to be made of the first frame."""
    frame0 = config.frame0
    if frame0.mode != "load" or frame0.ply is None:
        return None
    return read_ply(root / frame0.ply).to(config.device)


def optimise_frame0(
    config: LiveConfig,
    source: LiveSource,
    first: MultiViewFrame,
    *,
    root: Path,
    scratch: Path,
    progress: StageProgress,
) -> tuple[Gaussians, dict[str, torch.Tensor] | None]:
    """Gaussians of the first frame, and the cameras' colours if they were learned.

    Args:
        config: of the session.
        source: whose cameras they are.
        first: cameras that it misses take no part.
        root: what the config's paths are relative to.
        scratch: folder for a file that is gone afterwards.
        progress: see `make_frame0`; what it raises ends the optimisation.

    Raises:
        ValueError: images that cannot be used.
    """
    roles = assign_views(config.views, source.cameras)
    names = [name for name in roles.training if name not in first.stale]
    colors = scratch / f".{config.name}.camera_colors.json"
    gaussians = make_frame0(
        config.frame0,
        [source.cameras[name] for name in names],
        first.images,
        root=root,
        ply=None,
        background=torch.tensor(config.background, device=config.device),
        seed=config.seed,
        stations=list(source.cameras.values()),
        colors_file=colors,
        progress=progress,
    )
    if not colors.is_file():
        return gaussians, None
    learned = read_camera_colors(colors)
    colors.unlink()
    return gaussians, learned


class ContinuedSource:
    """A live source whose first frame has been taken already."""

    def __init__(
        self, source: LiveSource, first: MultiViewFrame, rest: Iterator[MultiViewFrame]
    ) -> None:
        self._source, self._frames = source, chain([first], rest)

    @property
    def cameras(self) -> Mapping[str, Camera]:
        return self._source.cameras

    @property
    def num_frames(self) -> int | None:
        return None

    @property
    def fps(self) -> float:
        return self._source.fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """The first frame and those that follow; once."""
        if start:
            raise ValueError(f"frames: a live source cannot begin at frame {start}")
        return self._frames


def found_input(entry: CameraInput, root: Path) -> CameraInput:
    """An input with a file's path made whole."""
    path = root / entry.url
    return replace(entry, url=str(path)) if path.is_file() else entry


def warm_up(gaussians: Gaussians, config: LiveConfig) -> None:
    """Refine a few Gaussians and throw them away: the first step loads and compiles code.

    On a slow disk that takes many seconds, which the first live frames should not wait for.
    """
    camera = Camera("warm up", 16, 16, 16.0, 16.0, 8.0, 8.0, np.eye(4))
    once = RefineConfig(iterations=1, densify=DensifyConfig(enabled=False))
    refine_key_frame(
        gaussians.select(torch.arange(min(len(gaussians), 8), device=gaussians.device)),
        [camera],
        {camera.name: np.zeros((16, 16, 3), np.uint8)},
        once,
        extent=1.0,
        background=torch.tensor(config.background, device=config.device),
        generator=torch.Generator().manual_seed(0),
    )


def open_box(config: LiveConfig, root: Path) -> Box | None:
    box = config.box
    if box.bounds is not None:
        if len(box.bounds) != 2:
            raise ConfigError("box.bounds: needs two corners, [[x, y, z], [x, y, z]]")
        return Box(np.array(box.bounds[0]), np.array(box.bounds[1]))
    if box.file is not None:
        if not box.scene:
            raise ConfigError("box.scene: name the entry of box.file")
        return read_box(root / box.file, box.scene)
    return None
