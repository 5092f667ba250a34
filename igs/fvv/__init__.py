"""The container `.fvv`: free-viewpoint video as key frames and deltas; docs/fvv.md."""

from igs.config.fvv import PRESETS, FvvConfig
from igs.fvv.chunks import Chunk, ChunkHeader
from igs.fvv.decoder import DecodedFrame, Decoder
from igs.fvv.encoder import Encoder, SourceFrame
from igs.fvv.errors import FvvError, Limits
from igs.fvv.grid import error_bounds, make_header
from igs.fvv.header import StreamHeader
from igs.fvv.reader import Damage, FrameEntry, FvvReader
from igs.fvv.rows import Grid
from igs.fvv.sources import FrameSequence, find_frames
from igs.fvv.stills import STILL_FORMATS, write_still
from igs.fvv.writer import FvvWriter

__all__ = [
    "PRESETS",
    "STILL_FORMATS",
    "Chunk",
    "ChunkHeader",
    "Damage",
    "DecodedFrame",
    "Decoder",
    "Encoder",
    "FrameEntry",
    "FrameSequence",
    "FvvConfig",
    "FvvError",
    "FvvReader",
    "FvvWriter",
    "Grid",
    "Limits",
    "SourceFrame",
    "StreamHeader",
    "error_bounds",
    "find_frames",
    "make_header",
    "write_still",
]
