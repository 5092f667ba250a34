"""The ring of cameras, its file, and projection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .geometry import Array

CONVENTION = (
    "OpenCV: camera axes x right, y down, z forward; a world point X (metres) falls on pixel "
    "K @ (world_to_camera @ [X, 1])[:3], divided by its third entry; the upper left pixel's "
    "centre is (0.5, 0.5)"
)
CENTRE = np.array([0.0, -0.90, 0.25])
RADIUS = 3.1
FIELD_OF_VIEW = 57.0  # degrees, horizontal
HELD_OUT = "cam00"


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: size in pixels, K (3, 3) and world_to_camera (4, 4)."""

    name: str
    width: int
    height: int
    K: Array
    world_to_camera: Array

    @property
    def position(self) -> Array:
        """Camera centre (3,) in world axes."""
        return -self.world_to_camera[:3, :3].T @ self.world_to_camera[:3, 3]


def look_at(position: Array, target: Array) -> Array:
    """world_to_camera (4, 4) of an upright camera (y down) that looks at ``target``."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = R, -R @ position
    return matrix


def rig(width: int, height: int) -> list[Camera]:
    """Thirteen cameras on an arc of 66 degrees, in two rows half a metre apart.

    ``cam00`` stands in the middle of the upper row, between two cameras of its row and above two
    of the lower one; the others follow from left to right.
    """
    upper = [(angle, 1.62) for angle in (-33, -22, -11, 11, 22, 33)]
    lower = [(angle, 1.18) for angle in (-27.5, -16.5, -5.5, 5.5, 16.5, 27.5)]
    places = [(0.0, 1.62), *sorted(upper + lower)]
    focal = width / 2 / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    K = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    cameras = []
    for i, (degrees, above) in enumerate(places):
        # A hand-built rig is not perfect: centimetres off the arc, aimed a little apart.
        wobble = 0.03 * np.sin(np.array([2.1, 3.7, 5.3]) * i)
        angle = np.radians(degrees)
        arm = np.array([np.sin(angle), 0.0, -np.cos(angle)]) * (RADIUS + wobble[0])
        position = np.array([CENTRE[0], -above, CENTRE[2]]) + arm
        aim = CENTRE + np.array([wobble[1], wobble[2], 0.0])
        cameras.append(Camera(f"cam{i:02d}", width, height, K, look_at(position, aim)))
    return cameras


def project(camera: Camera, points: Array) -> Array:
    """Pixel positions (N, 2) of world points (N, 3)."""
    local = points @ camera.world_to_camera[:3, :3].T + camera.world_to_camera[:3, 3]
    image = local @ camera.K.T
    return image[:, :2] / image[:, 2:]


def to_json(cameras: list[Camera], fps: int, frames: int) -> str:
    """The text of ``cameras.json``."""
    entries = {
        c.name: {
            "width": c.width,
            "height": c.height,
            "K": c.K.tolist(),
            "world_to_camera": c.world_to_camera.tolist(),
            "split": "test" if c.name == HELD_OUT else "train",
        }
        for c in cameras
    }
    content = {"convention": CONVENTION, "fps": fps, "frames": frames, "cameras": entries}
    return json.dumps(content, indent=1) + "\n"


def from_json(path: Path) -> list[Camera]:
    """The cameras of a ``cameras.json``, in the file's order."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [
        Camera(
            name,
            entry["width"],
            entry["height"],
            np.array(entry["K"]),
            np.array(entry["world_to_camera"]),
        )
        for name, entry in content["cameras"].items()
    ]
