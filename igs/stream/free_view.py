"""The camera path of a run's free-viewpoint video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from igs.config.schema import FreeViewConfig
from igs.render.paths import focus_point, orbit_path, spiral_path, tour_path
from igs.scene import Camera
from igs.stream.inputs import RunInputs
from igs.stream.views import ViewRoles

_LEGACY_VIEWS = 299  # the original's number, for two turns


def free_view_path(config: FreeViewConfig, inputs: RunInputs, roles: ViewRoles) -> list[Camera]:
    """One camera per frame; a stream longer than the path starts it again.

    All paths but the released program's (`legacy_spiral`) look at the centre of the box, or else
    where the cameras' axes meet.

    Args:
        config: see `FreeViewConfig`.
        inputs: the rig and the box.
        roles: the path runs through the training cameras; `legacy_spiral` through all.

    Returns:
        The cameras in order; empty if the video is switched off.

    Raises:
        ValueError: a rig that has no such path, for instance one whose axes do not meet.
    """
    if not config.enabled:
        return []
    source, legacy = inputs.source, config.path == "legacy_spiral"
    names = source.cameras if legacy else roles.training
    cameras = [source.cameras[name] for name in names]
    if config.size is not None:
        cameras = [c.resized(config.size[0], config.size[1]) for c in cameras]
    if legacy:
        return spiral_path(cameras, config.views or _LEGACY_VIEWS, legacy=True)
    views = config.views or source.num_frames or _LEGACY_VIEWS
    focus = _focus(cameras, inputs)
    return camera_path(config.path, cameras, views, focus, turns=config.turns, scale=config.scale)


def camera_path(
    kind: str,
    cameras: Sequence[Camera],
    num_views: int,
    focus: np.ndarray,
    *,
    turns: float = 2.0,
    scale: float = 1.0,
) -> list[Camera]:
    """A path of a given length about a rig.

    Args:
        kind: `spiral`, `orbit` (about the rig's vertical) or `tour` (from camera to camera).
        cameras: the rig in order; the first lends size and intrinsics.
        num_views: number of cameras returned.
        focus: (3,) world point to look at.
        turns: of the spiral.
        scale: of the spiral, relative to the rig's spread.

    Raises:
        ValueError: a rig that has no such path, or a count below one.
    """
    if kind == "orbit":
        # One camera's own vertical may lean.
        up = -np.mean([camera.camera_to_world[:3, 1] for camera in cameras], axis=0)
        return orbit_path(cameras[0], focus, num_views, up=up)
    if kind == "tour":
        legs = max(1, len(cameras) - 1)
        return tour_path(cameras, -(-num_views // legs), around=focus)[:num_views]
    return spiral_path(cameras, num_views, focus=focus, turns=turns, scale=scale)


def _focus(cameras: list[Camera], inputs: RunInputs) -> np.ndarray:
    if inputs.box is not None:
        return np.asarray(inputs.box.center)
    try:
        return focus_point(cameras)
    except ValueError as error:
        raise ValueError(
            f"free_view: give box.bounds to look at or free_view.enabled=false, since {error}"
        ) from error
