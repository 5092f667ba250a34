"""Mesh of the demo scene against the surfaces it was rendered from.

    igs frame0 examples/demo_scene --out outputs/demo_frame0
    python bench/mesh.py --gaussians outputs/demo_frame0/point_cloud/iteration_3000/point_cloud.ply

Distances are in the scene's units, metres. Accuracy: of mesh vertices to the nearest of a million
points of the true surfaces. Completeness: of the true points that at least two training cameras
see to the nearest mesh vertex.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import KDTree

from igs.config.compress import MESH_DEPTHS, MeshConfig
from igs.frame0.mesh import make_mesh, write_mesh
from igs.frame0.quantise import read_gaussians
from igs.scene import Box, Camera, read_rig

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = 1_000_000
OCCLUSION = 0.03  # metres behind the foremost sample of a pixel from which on a point is hidden
SIZE = (160, 120)  # of the depth buffer; coarse, so that samples leave no holes in it


def true_points(generator: np.random.Generator) -> np.ndarray:
    """(SAMPLES, 3) points spread evenly over all surfaces at time 0."""
    sys.path.insert(0, str(ROOT / "script"))
    geometry, stage = (import_module(f"demo_scene.{name}") for name in ("geometry", "stage"))
    mesh = geometry.concatenate([part for _, part in stage.moving(0.0) + stage.still()])
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=-1
    )
    which = generator.choice(len(corners), SAMPLES, p=area / area.sum())
    a, b = generator.random((2, SAMPLES, 1))
    flip = a + b > 1
    a, b = np.where(flip, 1 - a, a), np.where(flip, 1 - b, b)
    first, second, third = corners[which].transpose(1, 0, 2)
    return first + a * (second - first) + b * (third - first)


def seen_by(points: np.ndarray, camera: Camera) -> np.ndarray:
    """(N,) bool: in view of the camera and not behind other points."""
    small = camera.resized(*SIZE)
    local = points @ small.world_to_camera[:3, :3].T + small.world_to_camera[:3, 3]
    z = local[:, 2]
    front = np.maximum(z, 1e-6)
    u = np.floor(small.fx * local[:, 0] / front + small.cx).astype(int)
    v = np.floor(small.fy * local[:, 1] / front + small.cy).astype(int)
    inside = (z > 0.05) & (u >= 0) & (u < SIZE[0]) & (v >= 0) & (v < SIZE[1])
    pixel = np.where(inside, v * SIZE[0] + u, 0)
    buffer = np.full(SIZE[0] * SIZE[1], np.inf)
    np.minimum.at(buffer, pixel[inside], z[inside])
    return inside & (z <= buffer[pixel] + OCCLUSION)


def line(name: str, distance: np.ndarray) -> str:
    """Median, mean and 90 % in millimetres, and the share within 10 mm."""
    mm = 1000 * distance
    return (
        f"| {name} | {np.median(mm):.1f} | {mm.mean():.1f} | {np.quantile(mm, 0.9):.1f} | "
        f"{100 * (mm < 10).mean():.1f} |"
    )


def main() -> None:
    """Make the mesh with both kinds of depth and print the table."""
    parser = argparse.ArgumentParser(description="Mesh of the demo scene against the truth.")
    parser.add_argument("--gaussians", required=True, help="trained frame 0 of the demo scene")
    parser.add_argument("--scene", type=Path, default=ROOT / "examples" / "demo_scene")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--box", type=float, nargs=6, help="region; left out, what is seen")
    parser.add_argument("--out", type=Path, help="folder for the meshes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cameras = list(read_rig(arguments.scene / "cameras.json").training.values())
    gaussians = read_gaussians(arguments.gaussians)
    box = Box(arguments.box[:3], arguments.box[3:]) if arguments.box else None
    points = true_points(np.random.default_rng(0))
    views = np.sum([seen_by(points, camera) for camera in cameras], axis=0)
    print("| | median mm | mean mm | 90 % mm | within 10 mm, % |\n|---|---|---|---|---|")
    for depth in MESH_DEPTHS:
        config = MeshConfig(resolution=arguments.resolution, depth=depth)
        started = time.perf_counter()
        mesh = make_mesh(config, gaussians, cameras, torch.zeros(3), box=box)
        seconds = time.perf_counter() - started
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        wanted = points[(views >= 2) & ((points > low) & (points < high)).all(-1)]
        print(line(f"{depth}, accuracy", KDTree(points).query(mesh.vertices)[0]))
        print(line(f"{depth}, completeness", KDTree(mesh.vertices).query(wanted)[0]))
        print(f"| {depth}: {len(mesh.vertices)} vertices, {seconds:.0f} s | | | | |", flush=True)
        if arguments.out is not None:
            write_mesh(arguments.out / f"{depth}.ply", mesh)


if __name__ == "__main__":
    main()
