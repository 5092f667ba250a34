"""Which cameras are held out, and how large their images are."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from igs.config.prepare import ImagesConfig
from igs.prepare.capture import Capture
from igs.scene import Camera, Rig, SceneError, resolve_views
from igs.scene.rig import require_shape

logger = logging.getLogger(__name__)

_EVERY = "every:"
# With fewer cameras, each is worth more for the reconstruction than for measuring it.
_HOLD_OUT_FROM = 8


def with_held_out(rig: Rig, wanted: Sequence[Any] | None) -> Rig:
    """The rig with its held-out cameras.

    Args:
        rig: any rig.
        wanted: names, positions, or the one word ``every:8`` (the first and every 8th after it);
            an empty list holds none out. None keeps the calibration's own choice, else the first
            camera of eight or more, else none.

    Raises:
        SceneError: an unknown camera, or no camera is left to train on.
    """
    names = sorted(rig.cameras)
    if wanted is None:
        if rig.held_out:
            return rig
        chosen: Sequence[Any] = names[:1] if len(names) >= _HOLD_OUT_FROM else []
        logger.info("held out for measuring: %s", ", ".join(chosen) or "none, too few cameras")
    elif len(wanted) == 1 and str(wanted[0]).startswith(_EVERY):
        step = str(wanted[0])[len(_EVERY) :]
        if not step.isdigit() or int(step) < 2:
            raise SceneError(f"held_out: {wanted[0]!r} must look like every:8, at least every:2")
        chosen = names[:: int(step)]
    else:
        chosen = _positions(wanted, rig)
    result = rig.with_held_out(chosen)
    if not result.training:
        raise SceneError(f"held_out: all {len(names)} cameras; none is left to train on")
    return result


def input_views(rig: Rig, wanted: Sequence[Any] | None) -> list[str] | None:
    """Names of the motion network's input views that were asked for; None where none were.

    Args:
        rig: with its held-out cameras.
        wanted: names or positions.

    Raises:
        SceneError: an unknown, repeated or held-out camera, or an empty list.
    """
    if wanted is None:
        return None
    views = resolve_views(_positions(wanted, rig), rig.cameras)
    if held := [name for name in views if name in rig.held_out]:
        raise SceneError(f"inputs: camera {held[0]!r} is held out, so that it only measures")
    if not views:
        raise SceneError(
            "inputs: name at least one camera; leave the setting away to have them chosen"
        )
    return views


def _positions(wanted: Sequence[Any], rig: Rig) -> list[Any]:
    # On the command line a position is a word; a camera may be called "00" all the same.
    return [int(w) if str(w).isdigit() and w not in rig.cameras else w for w in wanted]


def at_stored_size(capture: Capture, rig: Rig) -> Rig:
    """The rig at the size of the stored pictures.

    Raises:
        SceneError: pictures whose shape does not fit their camera; names the file.
    """
    cameras = {}
    for name, camera in rig.cameras.items():
        width, height = capture.views[name].size()
        require_shape(capture.views[name].path, camera, width, height)
        cameras[name] = camera.resized(width, height)
    return replace(rig, cameras=cameras)


def different_sizes(cameras: Mapping[str, Camera]) -> str:
    """In words, which cameras have which resolution; empty where all have the same."""
    by_size: dict[tuple[int, int], list[str]] = {}
    for name, camera in cameras.items():
        by_size.setdefault((camera.width, camera.height), []).append(name)
    if len(by_size) < 2:
        return ""
    listed = "; ".join(
        f"{width} x {height}: {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}"
        for (width, height), names in by_size.items()
    )
    return f"cameras differ in resolution, each keeps its own ({listed})"


def at_output_size(rig: Rig, images: ImagesConfig) -> Rig:
    """The rig at the size of ``images/``.

    Raises:
        SceneError: a size of another shape than a camera's.
    """
    cameras = {}
    for name, camera in rig.cameras.items():
        width, height = camera.width, camera.height
        if images.size is not None:
            width, height = images.size
            if abs(width * camera.height - height * camera.width) > 0.5 * max(
                width + height, camera.width + camera.height
            ):
                raise SceneError(
                    f"images.size: {width} x {height} does not have the shape of camera {name!r} "
                    f"({camera.width} x {camera.height}); images.scale keeps every camera's shape"
                )
        elif images.scale is not None:
            width = max(round(width * images.scale), 1)
            height = max(round(height * images.scale), 1)
        cameras[name] = camera.resized(width, height)
    return replace(rig, cameras=cameras)
