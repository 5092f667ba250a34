"""Write what a prepared scene has besides images: cameras, COLMAP models, box and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from igs.scene import (
    Box,
    ColmapModel,
    ColmapPoints,
    Rig,
    SceneFolder,
    generate_pairs,
    write_camera_object,
    write_colmap,
    write_pairs,
)

# Not cameras.json: a scene may be prepared in the very folder of its videos and their cameras.
RIG_FILE = "rig.json"


def write_cameras(
    scene: SceneFolder, rig: Rig, model: ColmapModel, num_frames: int, fps: float
) -> None:
    """Write ``<scene>/rig.json`` and every frame's ``sparse/0``.

    All frames share cameras; the points are those of the first.

    Source: spec `streaming.md`, sections 2.1 and 9.
    """
    write_camera_object(scene.path / RIG_FILE, replace(rig, fps=fps, num_frames=num_frames))
    bare = replace(model, points=ColmapPoints.of(model.points.xyz, model.points.rgb))
    for index in range(num_frames):
        write_colmap(scene.frame_path(index) / "sparse" / "0", bare if index else model)


def write_box_and_pairs(
    scene: SceneFolder, box: Box | None, num_frames: int, intervals: Sequence[int]
) -> list[Path]:
    """Write the scene's entry of ``bbox.json`` and its pair files.

    Returns:
        The pair files; none for a single frame.
    """
    if box is not None:
        scene.write_box(box)
    paths = []
    for interval in intervals if num_frames > 1 else ():
        paths.append(scene.pair_path(num_frames, interval))
        write_pairs(paths[-1], generate_pairs(scene.name, num_frames, interval))
    return paths
