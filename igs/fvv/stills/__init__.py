"""One frame in the formats of other programs: `.ply`, `.spz`, `.splat`, `.glb` and `.gltf`."""

from igs.fvv.stills.gltf import write_gltf
from igs.fvv.stills.splat import write_splat
from igs.fvv.stills.spz import read_spz, write_spz
from igs.fvv.stills.still import STILL_FORMATS, write_still

__all__ = ["STILL_FORMATS", "read_spz", "write_gltf", "write_splat", "write_spz", "write_still"]
