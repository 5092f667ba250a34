"""The online engine: schedule, predict, refine, emit."""

from igs.stream.engine import MultiViewEngine
from igs.stream.frame import StreamFrame
from igs.stream.refine import RefineReport, refine_key_frame
from igs.stream.session import Progress, StreamSession

__all__ = [
    "MultiViewEngine",
    "Progress",
    "RefineReport",
    "StreamFrame",
    "StreamSession",
    "refine_key_frame",
]
