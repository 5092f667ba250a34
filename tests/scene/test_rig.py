"""Views by name or position, the rig's radius and mean pose, and the choice of input views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from igs.scene import (
    Box,
    Camera,
    Rig,
    SceneError,
    choose_input_views,
    mean_pose,
    read_rig,
    resolve_views,
    scene_radius,
)


def _camera(name: str, center: tuple[float, float, float]) -> Camera:
    pose = np.eye(4)
    pose[:3, 3] = -np.array(center)
    return Camera(name, 64, 48, 60, 60, 32, 24, pose)


def test_names_and_positions(rig):
    assert resolve_views(["cam3", 0, 5], rig.cameras) == ["cam3", "cam0", "cam5"]
    with pytest.raises(SceneError, match=r"no camera is called 'cma3'; did you mean 'cam3'\?"):
        resolve_views(["cma3"], rig.cameras)
    with pytest.raises(SceneError, match=r"position 6 is not in the rig of 6 cameras \(0 to 5\)"):
        resolve_views([6], rig.cameras)
    with pytest.raises(SceneError, match="camera 'cam0' is given twice"):
        resolve_views([0, "cam0"], rig.cameras)
    with pytest.raises(SceneError, match="neither a camera's name nor its position"):
        resolve_views([1.5], rig.cameras)  # type: ignore[list-item]


def test_rig_checks_itself(rig):
    assert list(rig.training) == ["cam1", "cam2", "cam3", "cam4", "cam5"]
    with pytest.raises(SceneError, match="no camera is called 'cam9'"):
        replace(rig, held_out=("cam9",))
    with pytest.raises(SceneError, match="there is no camera"):
        Rig({})
    with pytest.raises(SceneError, match="two cameras are called 'a'"):
        Rig.of([_camera("a", (0, 0, 0)), _camera("a", (1, 0, 0))])


def test_scene_radius():
    cameras = [_camera("a", (0, 0, 0)), _camera("b", (2, 0, 0)), _camera("c", (1, 3, 0))]
    # Mean centre (1, 1, 0); the third camera is 2 away.
    assert scene_radius(cameras) == pytest.approx(2.2)
    assert scene_radius(cameras[:1]) == 0


def test_mean_pose_lies_amid_the_rig(rig):
    pose = mean_pose(rig.cameras)
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    centers = np.stack([camera.center for camera in rig.cameras.values()])
    np.testing.assert_allclose(pose[:3, 3], centers.mean(0))
    one = mean_pose([rig.cameras["cam2"]])
    np.testing.assert_allclose(one, rig.cameras["cam2"].camera_to_world, atol=1e-9)


def test_mean_pose_of_opposed_cameras_is_refused():
    behind = np.diag([-1.0, 1.0, -1.0, 1.0])
    cameras = [_camera("a", (0, 0, 0)), Camera("b", 64, 48, 60, 60, 32, 24, behind)]
    with pytest.raises(SceneError, match="cancel out"):
        mean_pose(cameras)


def test_input_views_are_spread_and_deterministic():
    row = {f"c{i:02d}": _camera(f"c{i:02d}", (float(i), 0, 0)) for i in range(12)}
    chosen = choose_input_views(row, 4)
    assert chosen == choose_input_views(dict(reversed(row.items())), 4)[::-1]
    # Four clusters of three, each stood for by its middle.
    assert chosen == ["c01", "c04", "c07", "c10"]
    assert choose_input_views(row, 12) == list(row)
    # Too many choices to try them all: swaps must come close to what is best.
    long = {f"c{i:02d}": _camera(f"c{i:02d}", (float(i), 0, 0)) for i in range(60)}
    positions = [int(name[1:]) for name in choose_input_views(long, 6)]
    assert sum(min(abs(i - p) for p in positions) for i in range(60)) <= 1.1 * 6 * 25
    with pytest.raises(SceneError, match="13 input views cannot be chosen from 12"):
        choose_input_views(row, 13)


def test_input_views_must_see_the_box(rig):
    away = np.diag([-1.0, 1.0, -1.0, 1.0])
    cameras = {**rig.cameras, "blind": Camera("blind", 64, 48, 60, 60, 32, 24, away)}
    box = Box(np.array([-0.5, -0.5, 3.5]), np.array([0.5, 0.5, 4.5]))
    assert "blind" not in choose_input_views(cameras, 6, box)
    assert "blind" in choose_input_views(cameras, 7, box)


def test_input_views_of_a_real_dome(shared):
    path = shared / "data" / "panoptic_basketball" / "cameras.json"
    if not path.is_file():
        pytest.skip(f"no data: {path} is not there")
    rig = read_rig(path)
    chosen = choose_input_views(rig.training)
    assert len(chosen) == 4
    assert not set(chosen) & set(rig.held_out)
    centers = np.stack([rig.cameras[name].center for name in chosen])
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=-1)
    assert apart[np.triu_indices(4, 1)].min() > 0.4 * scene_radius(rig.cameras)
