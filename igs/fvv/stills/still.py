"""Choosing the format by the file's name."""

from __future__ import annotations

from pathlib import Path

from igs.fvv.stills.gltf import write_gltf
from igs.fvv.stills.splat import write_splat
from igs.fvv.stills.spz import write_spz
from igs.gaussians import Gaussians, write_ply

_WRITERS = {
    "ply": write_ply,
    "spz": write_spz,
    "splat": write_splat,
    "glb": write_gltf,
    "gltf": write_gltf,
}
STILL_FORMATS = tuple(_WRITERS)


def write_still(path: str | Path, gaussians: Gaussians) -> None:
    """Write Gaussians in the format that the file's name ends in.

    Raises:
        ValueError: an ending that no format has.
        OSError: it cannot be written.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in _WRITERS:
        raise ValueError(f"{path}: must end in .{', .'.join(STILL_FORMATS)}")
    _WRITERS[ending](path, gaussians)
