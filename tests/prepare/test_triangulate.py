"""Points for given cameras, and cameras whose poses the images contradict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from igs.prepare.colmap_runtime import FeatureSettings
from igs.prepare.triangulate import TriangulationSettings, triangulate
from igs.scene import Rig, SceneError, VideoFolderSource, read_rig

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo_scene"
NAMES = ["cam03", "cam04", "cam05", "cam06", "cam07"]
QUICK = TriangulationSettings(features=FeatureSettings(max_features=1500))


@pytest.fixture(scope="module")
def rig():
    return read_rig(DEMO / "cameras.json").subset(NAMES)


@pytest.fixture(scope="module")
def images(rig):
    return next(iter(VideoFolderSource(DEMO, rig, only=NAMES, num_frames=1).frames())).images


def test_points_of_given_cameras_and_poses_kept(rig, images) -> None:
    pytest.importorskip("pycolmap")
    result = triangulate(rig, images, QUICK)
    assert len(result.model.points) > 200
    assert max(result.errors.values()) < 1.0
    assert result.doubtful == {}
    kept = result.model.rig()
    for name, camera in rig.cameras.items():
        pose = kept.cameras[name].world_to_camera
        np.testing.assert_allclose(pose, camera.world_to_camera, atol=1e-9)
    # The floor is y = 0 and y points down: nothing but mismatches lies below.
    assert (result.model.points.xyz[:, 1] < 0.05).mean() > 0.98


def test_turned_camera_is_doubtful_and_no_other(rig, images) -> None:
    pytest.importorskip("pycolmap")
    camera, angle = rig.cameras["cam05"], np.deg2rad(3)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    moved = replace(camera, world_to_camera=turn @ camera.world_to_camera)
    result = triangulate(Rig({**rig.cameras, "cam05": moved}), images, QUICK)
    assert list(result.doubtful) == ["cam05"]
    assert "epipolar" in result.doubtful["cam05"]


def test_missing_image_and_single_camera_are_refused(rig, images) -> None:
    with pytest.raises(SceneError, match="no image of camera cam07"):
        triangulate(rig, {n: i for n, i in images.items() if n != "cam07"})
    with pytest.raises(SceneError, match="at least 2"):
        triangulate(rig.subset(["cam03"]), images)
