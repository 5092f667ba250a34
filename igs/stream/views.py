"""Which camera plays which part, found by name and never by a number in the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from igs.config import ConfigError
from igs.config.schema import ViewsConfig
from igs.scene import Camera
from igs.scene.bbox import Box
from igs.scene.rig import choose_input_views, resolve_views

NUM_INPUT_VIEWS = 4


@dataclass(frozen=True)
class ViewRoles:
    """Names of cameras by part.

    Attributes:
        held_out: only measured.
        training: optimised at key frames, in the rig's order.
        inputs: seen by the motion network; a subset of `training`.
    """

    held_out: tuple[str, ...]
    training: tuple[str, ...]
    inputs: tuple[str, ...]


def assign_views(
    config: ViewsConfig,
    cameras: Mapping[str, Camera],
    split: Sequence[str] = (),
    box: Box | None = None,
) -> ViewRoles:
    """Give every camera its part.

    Args:
        config: see `ViewsConfig`.
        cameras: the rig in its order.
        split: held-out cameras that the camera file names.
        box: region that moves; the chosen input views shall see it.

    Raises:
        ConfigError: no camera is left to train on, or a held-out camera is an input; names it.
        ValueError: a name or position that does not exist.
    """
    excluded = set(resolve_views(config.exclude, cameras))
    held_out = list(split)
    if config.held_out is not None:
        held_out = resolve_views(config.held_out, cameras)
    held_out = [name for name in held_out if name not in excluded]
    training = [n for n in cameras if n not in held_out and n not in excluded]
    if not training:
        raise ConfigError(
            f"views: all {len(cameras)} cameras are held out or excluded; none is left to train on"
        )
    if config.inputs:
        inputs = resolve_views(config.inputs, cameras)
        wrong = [name for name in inputs if name not in training]
        if wrong:
            raise ConfigError(f"views.inputs: camera {wrong[0]!r} is held out or excluded")
    else:
        trained = {name: cameras[name] for name in training}
        inputs = choose_input_views(trained, min(NUM_INPUT_VIEWS, len(trained)), box)
    return ViewRoles(tuple(held_out), tuple(training), tuple(inputs))
