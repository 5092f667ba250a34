"""A textured ball that moves before a textured wall, ray cast, for cameras in an arc."""

from __future__ import annotations

import numpy as np

from igs.render.paths import look_at
from igs.scene import Camera

RADIUS = 0.4


def arc(count: int = 7, width: int = 120, height: int = 90) -> dict[str, Camera]:
    """Cameras on an arc of 100 degrees around the origin, three units away, looking at it."""
    out = {}
    for i, angle in enumerate(np.deg2rad(np.linspace(-50, 50, count))):
        center = np.array([3 * np.sin(angle), -0.5 - 0.3 * (i % 2), -3 * np.cos(angle)])
        pose = np.linalg.inv(look_at(center, np.zeros(3), np.array([0.0, -1.0, 0.0])))
        name = f"cam{i}"
        out[name] = Camera(name, width, height, 110.0, 110.0, width / 2, height / 2, pose)
    return out


def ball_at(time: float) -> np.ndarray:
    """(3,) centre of the ball; it goes from left to right for times 0 to 1."""
    return np.array([1.2 * time - 0.6, 0.0, 0.1])


def picture(camera: Camera, center: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 image of ball and wall (the plane z = 1.5)."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], -1)
    rays = rays @ camera.camera_to_world[:3, :3].T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    wall = camera.center + rays * ((1.5 - camera.center[2]) / rays[..., 2])[..., None]
    color = _pattern(wall, 3.0)
    offset = camera.center - center
    b = (rays * offset).sum(-1)
    inside = b * b - offset @ offset + RADIUS**2
    hit = camera.center + rays * (-b - np.sqrt(np.maximum(inside, 0)))[..., None]
    ball = 255 - 0.7 * _pattern((hit - center) * 2, 5.0)[..., ::-1]
    return np.where(inside[..., None] > 0, ball, color).astype(np.uint8)


def _pattern(points: np.ndarray, scale: float) -> np.ndarray:
    x, y, z = np.moveaxis(points * scale, -1, 0)
    waves = [np.sin(2.1 * x + 1.3 * y + z), np.sin(3.7 * y - 0.9 * x), np.sin(1.7 * x * y + 2 * z)]
    return 110 + 60 * np.stack(waves, axis=-1)
