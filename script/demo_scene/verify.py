"""Checks of the finished data against the renderer: geometry, noise, compression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .cameras import HELD_OUT, Camera, project
from .geometry import Array
from .render import SEED, Renderer, camera_seed, develop, image_path, sensor
from .video import load_image, luma, read_video

MARKER_RADIUS = 0.012
_MARKER_SPP = 49


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two arrays on the scale 0 to 255."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def marker_points() -> Array:
    """World points (27, 3) on a grid that every camera sees."""
    axes = [np.linspace(-0.9, 0.7, 3), np.linspace(-1.5, -0.3, 3), np.linspace(-0.1, 0.7, 3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def marker_offsets(mi: Any, camera: Camera) -> Array:
    """Where rendered markers appear, less where ``cameras.json`` puts them.

    Each marker is a small glowing ball rendered alone, through the same sensor, film and filter
    as the scene; its place is the centroid of its light, pixel centres at +0.5.

    Returns:
        (27, 2) offsets in pixels.
    """
    points = marker_points()
    seen = []
    for point in points:
        glow = {"type": "area", "radiance": {"type": "rgb", "value": 1.0}}
        ball = {"type": "sphere", "center": point.tolist(), "radius": MARKER_RADIUS}
        scene = mi.load_dict({"type": "scene", "marker": {**ball, "emitter": glow}})
        integrator = mi.load_dict({"type": "direct"})
        image = mi.render(
            scene, sensor=sensor(mi, camera, _MARKER_SPP), integrator=integrator, seed=SEED
        )
        light = np.array(image, dtype=np.float64)[..., 0]
        rows, cols = np.indices(light.shape) + 0.5
        seen.append(np.array([np.sum(cols * light), np.sum(rows * light)]) / np.sum(light))
    return np.stack(seen) - project(camera, points)


def surface_offsets(mi: Any, renderer: Renderer, camera: Camera) -> Array:
    """The same for the real scene: first hits seen through each pixel, projected back.

    A box filter makes each pixel the mean of the surface points seen through it; where a surface
    is smooth that mean projects onto the pixel's centre.

    Returns:
        (N, 2) offsets in pixels, of the pixels whose neighbours lie on one surface.
    """
    integrator = mi.load_dict({"type": "aov", "aovs": "p:position"})
    camera_sensor = sensor(mi, camera, 121, {"type": "box"})
    image = mi.render(
        renderer.scene, sensor=camera_sensor, integrator=integrator, spp=121, seed=SEED
    )
    position = np.array(image, dtype=np.float64)[..., :3]
    jump = np.maximum(
        np.abs(np.diff(position, axis=0, append=position[-1:])).sum(-1),
        np.abs(np.diff(position, axis=1, append=position[:, -1:])).sum(-1),
    )
    smooth = (jump < 0.05) & (jump > 0)
    for axis, step in ((0, 1), (1, 1)):
        smooth &= np.roll(smooth, step, axis)
    rows, cols = np.indices(smooth.shape) + 0.5
    centres = np.stack([cols[smooth], rows[smooth]], axis=1)
    return project(camera, position[smooth]) - centres


def noise_psnr(renderer: Renderer, camera: Camera, index: int) -> float:
    """PSNR in dB of one rendered image against the noise-free one.

    From two renders with different seeds: their difference holds the noise twice.
    """
    first = develop(renderer.render(camera, camera_seed(index)))
    second = develop(renderer.render(camera, camera_seed(index) + 500))
    return psnr(first, second) + 10 * np.log10(2)


def compression(out: Path, scratch: Path, cameras: list[Camera]) -> dict[str, dict[str, float]]:
    """PSNR in dB of each decoded video against the images that went into it."""
    figures = {}
    for camera in cameras:
        _, decoded = read_video(out / f"{camera.name}.mp4")
        pairs = [
            (image, load_image(image_path(scratch, frame, camera)))
            for frame, image in enumerate(decoded)
        ]
        colour = [psnr(a, b) for a, b in pairs]
        bright = [psnr(luma(a), luma(b)) for a, b in pairs]
        figures[camera.name] = {
            "rgb_mean": round(float(np.mean(colour)), 2),
            "rgb_min": round(float(np.min(colour)), 2),
            "luma_mean": round(float(np.mean(bright)), 2),
        }
    return figures


def verify(
    mi: Any, renderer: Renderer, out: Path, scratch: Path, cameras: list[Camera]
) -> dict[str, Any]:
    """All figures that the README states, as plain numbers."""
    renderer.set_time(0.0)
    markers = np.concatenate([marker_offsets(mi, c) for c in cameras])
    surfaces = [surface_offsets(mi, renderer, c) for c in cameras]
    noise = {c.name: round(noise_psnr(renderer, c, i), 2) for i, c in enumerate(cameras)}
    held_out = next(c for c in cameras if c.name == HELD_OUT)
    return {
        "marker_offset_px": _summary(markers),
        "surface_offset_px": _summary(np.concatenate(surfaces)),
        "held_out_marker_offset_px": _summary(marker_offsets(mi, held_out)),
        "render_noise_psnr_db": noise,
        "compression_psnr_db": compression(out, scratch, cameras),
        "bytes": {p.name: p.stat().st_size for p in sorted(out.glob("*.mp4"))},
    }


def _summary(offsets: Array) -> dict[str, Any]:
    return {
        "points": len(offsets),
        "mean_xy": [round(float(v), 4) for v in offsets.mean(axis=0)],
        "rms": round(float(np.sqrt(np.mean(np.sum(offsets**2, axis=1)))), 4),
        "max": round(float(np.abs(offsets).max()), 4),
    }
