"""Cameras, frames, data sets and where frames come from."""

from igs.scene.bbox import Box, read_box, read_boxes, write_boxes
from igs.scene.camera import Camera
from igs.scene.cameras_json import read_rig, write_camera_list, write_camera_object
from igs.scene.colmap import (
    ColmapModel,
    ColmapPoints,
    camera_name,
    model_from_rig,
    read_colmap,
    write_colmap,
)
from igs.scene.dataset import Dataset, GaussianModelFolder, SceneFolder
from igs.scene.distortion import Distortion, Undistorter
from igs.scene.errors import SceneError
from igs.scene.frame import FrameSource, MultiViewFrame
from igs.scene.image_source import ImageFolderSource
from igs.scene.images import read_image, resize_image, write_image
from igs.scene.pairs import (
    FramePair,
    PairFile,
    generate_pairs,
    pair_file_name,
    read_pairs,
    schedule_from_pair_file,
    write_pairs,
)
from igs.scene.rig import Rig, choose_input_views, mean_pose, resolve_views, scene_radius
from igs.scene.schedule import Schedule
from igs.scene.sources import LoopedSource, SubsetSource, limit
from igs.scene.transforms_json import write_transforms
from igs.scene.video_source import VideoFolderSource, find_videos

__all__ = [
    "Box",
    "Camera",
    "ColmapModel",
    "ColmapPoints",
    "Dataset",
    "Distortion",
    "FramePair",
    "FrameSource",
    "GaussianModelFolder",
    "ImageFolderSource",
    "LoopedSource",
    "MultiViewFrame",
    "PairFile",
    "Rig",
    "SceneError",
    "SceneFolder",
    "Schedule",
    "SubsetSource",
    "Undistorter",
    "VideoFolderSource",
    "camera_name",
    "choose_input_views",
    "find_videos",
    "generate_pairs",
    "limit",
    "mean_pose",
    "model_from_rig",
    "pair_file_name",
    "read_box",
    "read_boxes",
    "read_colmap",
    "read_image",
    "read_pairs",
    "read_rig",
    "resize_image",
    "resolve_views",
    "scene_radius",
    "schedule_from_pair_file",
    "write_boxes",
    "write_camera_list",
    "write_camera_object",
    "write_colmap",
    "write_image",
    "write_pairs",
    "write_transforms",
]
