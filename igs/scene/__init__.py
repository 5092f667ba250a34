"""Cameras, frames, data sets and where frames come from."""

from igs.scene.camera import Camera
from igs.scene.frame import FrameSource, MultiViewFrame

__all__ = ["Camera", "FrameSource", "MultiViewFrame"]
