"""From Gaussians to images."""

from igs.render.compare import comparison_frame, error_map
from igs.render.images import load_image, save_png, to_float, to_uint8
from igs.render.paths import (
    focus_point,
    interpolate_cameras,
    look_at,
    orbit_path,
    spiral_path,
    tour_path,
)
from igs.render.projection import raster_view
from igs.render.rasterize import RenderOutput, render, render_depths
from igs.render.video import VideoWriter, frames_from_folder, image_paths, write_video

__all__ = [
    "RenderOutput",
    "VideoWriter",
    "comparison_frame",
    "error_map",
    "focus_point",
    "frames_from_folder",
    "image_paths",
    "interpolate_cameras",
    "load_image",
    "look_at",
    "orbit_path",
    "raster_view",
    "render",
    "render_depths",
    "save_png",
    "spiral_path",
    "to_float",
    "to_uint8",
    "tour_path",
    "write_video",
]
