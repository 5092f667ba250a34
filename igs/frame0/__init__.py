"""The Gaussians of the first frame."""

from igs.frame0.camera_color import CameraColors, read_camera_colors, write_camera_colors
from igs.frame0.checkpoint import load_checkpoint, save_checkpoint
from igs.frame0.corrected_source import ColorCorrectedSource
from igs.frame0.initial import gaussians_from_points, initial_points, start_from_gaussians
from igs.frame0.losses import depth_normal_loss, normals_from_depth
from igs.frame0.make import make_frame0
from igs.frame0.photographs import Photographs, read_photographs
from igs.frame0.plane_sweep import SweepSettings, plane_sweep
from igs.frame0.train import Frame0Trainer

__all__ = [
    "CameraColors",
    "ColorCorrectedSource",
    "Frame0Trainer",
    "Photographs",
    "SweepSettings",
    "depth_normal_loss",
    "gaussians_from_points",
    "initial_points",
    "load_checkpoint",
    "make_frame0",
    "normals_from_depth",
    "plane_sweep",
    "read_camera_colors",
    "read_photographs",
    "save_checkpoint",
    "start_from_gaussians",
    "write_camera_colors",
]
