"""The three JSON camera files."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from igs.scene import (
    Distortion,
    Rig,
    SceneError,
    read_rig,
    write_camera_list,
    write_camera_object,
    write_transforms,
)


def _assert_same(a: Rig, b: Rig) -> None:
    assert set(a.held_out) == set(b.held_out)
    assert set(a.cameras) == set(b.cameras)
    for name, camera in a.cameras.items():
        other = b.cameras[name]
        assert (camera.width, camera.height) == (other.width, other.height)
        np.testing.assert_allclose(camera.intrinsics, other.intrinsics, rtol=1e-12)
        np.testing.assert_allclose(camera.world_to_camera, other.world_to_camera, atol=1e-12)


@pytest.mark.parametrize("write", [write_camera_list, write_camera_object, write_transforms])
def test_round_trip(tmp_path, rig, write):
    rig = rig.with_held_out(["cam4", "cam2"])
    write(tmp_path / "cameras.json", rig)
    _assert_same(rig, read_rig(tmp_path / "cameras.json"))
    assert not list(tmp_path.glob(".*"))


def test_the_list_puts_test_cameras_first_sorted_by_name(tmp_path, rig):
    shuffled = rig.subset(["cam5", "cam3", "cam0", "cam4", "cam1", "cam2"])
    write_camera_list(tmp_path / "cameras.json", shuffled.with_held_out(["cam4", "cam2"]))
    entries = json.loads((tmp_path / "cameras.json").read_text())
    names = [entry["img_name"] for entry in entries]
    assert names == ["cam2", "cam4", "cam0", "cam1", "cam3", "cam5"]
    assert [entry["id"] for entry in entries] == list(range(6))
    assert list(read_rig(tmp_path / "cameras.json").cameras) == names


def test_the_original_list_has_no_principal_point_and_no_split(tmp_path, rig):
    write_camera_list(tmp_path / "cameras.json", rig)
    entries = json.loads((tmp_path / "cameras.json").read_text())
    for entry in entries:
        del entry["cx"], entry["cy"], entry["split"]
    (tmp_path / "cameras.json").write_text(json.dumps(entries))
    read = read_rig(tmp_path / "cameras.json")
    assert read.held_out == ("cam0",)
    assert {(camera.cx, camera.cy) for camera in read.cameras.values()} == {(32.0, 24.0)}
    np.testing.assert_allclose(read.cameras["cam3"].center, rig.cameras["cam3"].center)
    assert read_rig(tmp_path / "cameras.json", held_out=[2, "cam5"]).held_out == ("cam2", "cam5")


def test_object_form_with_the_short_keys(tmp_path, rig):
    camera = rig.cameras["cam1"]
    entry = {
        "w": 64,
        "h": 48,
        "K": camera.intrinsics.tolist(),
        "w2c": camera.world_to_camera[:3].tolist(),
        "split": "test",
    }
    other = {**entry, "split": "train"}
    data = {"fps": 25, "frames": 7, "cameras": {"a.JPG": entry, "b": other}}
    (tmp_path / "c.json").write_text(json.dumps(data))
    read = read_rig(tmp_path / "c.json")
    assert (read.fps, read.num_frames, read.held_out) == (25, 7, ("a",))
    np.testing.assert_allclose(read.cameras["b"].world_to_camera, camera.world_to_camera)
    assert list(read.training) == ["b"]
    data["convention"] = "OpenCV; Integer pixel centres"
    (tmp_path / "c.json").write_text(json.dumps(data))
    assert read_rig(tmp_path / "c.json").cameras["a"].cx == camera.cx + 0.5


def test_distortion_needs_leave(tmp_path, rig):
    camera = rig.cameras["cam1"]
    lens = Distortion(camera, k1=0.1, k2=0.01, p1=0.001, p2=-0.002, k3=0.003)
    bent = replace(rig, distortion={"cam1": lens})
    write_camera_object(tmp_path / "c.json", bent)
    with pytest.raises(SceneError, match=r"c\.json: camera 'cam1' has lens distortion.*undistort"):
        read_rig(tmp_path / "c.json")
    read = read_rig(tmp_path / "c.json", undistort=True)
    assert read.distortion["cam1"].coefficients == lens.coefficients
    np.testing.assert_allclose(read.distortion["cam1"].stored.intrinsics, camera.intrinsics)
    assert read.cameras["cam1"].fx > camera.fx  # zoomed, so that no rim stays empty
    assert read.cameras["cam2"].fx == rig.cameras["cam2"].fx


def test_zero_distortion_is_none(tmp_path, rig):
    write_camera_object(tmp_path / "c.json", rig)
    data = json.loads((tmp_path / "c.json").read_text())
    data["cameras"]["cam1"]["dist"] = [0, 0, 0, 0, 0, 0, 0, 0]
    (tmp_path / "c.json").write_text(json.dumps(data))
    assert not read_rig(tmp_path / "c.json").distortion


def _damage(entry, key, value):
    if value is None:
        del entry[key]
    else:
        entry[key] = value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("width", None, 'lacks "width"'),
        ("width", 64.5, "positive whole number"),
        ("K", [[1, 0], [0, 1]], "camera 'cam1': \"K\" must hold 3 x 3"),
        ("K", [[60, 1, 32], [0, 60, 24], [0, 0, 1]], "K must be"),
        ("world_to_camera", None, 'lacks "world_to_camera" or "w2c"'),
        ("world_to_camera", [[1, 0, 0, 0], [0, 1, 0]], "must hold 4 x 4"),
        ("world_to_camera", (2 * np.eye(4)).tolist(), "not a rotation"),
        ("split", "val", 'split must be "train" or "test"'),
        ("dist", [0.1, 0, 0, 0, 0, 0.2], "up to five finite numbers"),
        ("dist", ["x"], "up to five finite numbers"),
    ],
)
def test_bad_entries_of_the_object_form(tmp_path, rig, key, value, message):
    path = tmp_path / "c.json"
    write_camera_object(path, rig)
    data = json.loads(path.read_text())
    _damage(data["cameras"]["cam1"], key, value)
    path.write_text(json.dumps(data))
    with pytest.raises(SceneError) as caught:
        read_rig(path)
    assert str(caught.value).startswith(str(path))
    assert "cam1" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("img_name", None, 'entry 2: lacks "img_name"'),
        ("img_name", "cam0", "two cameras are called 'cam0'"),
        ("fx", "long", '"fx" must be a number'),
        ("fx", -1.0, "focal lengths must be positive"),
        ("rotation", [[1, 0, 0]] * 3, "rotation"),
        ("rotation", np.zeros((3, 3)).tolist(), "rotation"),
        ("position", [0, 1], '"position" must hold 3'),
    ],
)
def test_bad_entries_of_the_list_form(tmp_path, rig, key, value, message):
    path = tmp_path / "cameras.json"
    write_camera_list(path, rig)
    data = json.loads(path.read_text())
    _damage(data[2], key, value)
    path.write_text(json.dumps(data))
    with pytest.raises(SceneError, match=r"cameras\.json: ") as caught:
        read_rig(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cameras": {"a": ', "not valid JSON at line 1"),
        ('{"views": []}', "not a camera file"),
        ("[]", "there is no camera"),
        ('{"cameras": {}}', "there is no camera"),
        ("[7]", "entry 0 must be an object"),
    ],
)
def test_files_that_are_no_camera_files(tmp_path, text, message):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(SceneError, match=message):
        read_rig(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_rig(tmp_path / "other.json")


def test_transforms_with_intrinsics_at_the_top(tmp_path):
    pose = np.eye(4)
    pose[:3, 3] = [1, 2, 3]
    data = {
        "w": 64,
        "h": 48,
        "camera_angle_x": 2 * np.arctan(0.5),
        "k1": 0.01,
        "frames": [{"file_path": "./images/left.front.png", "transform_matrix": pose.tolist()}],
    }
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(data))
    with pytest.raises(SceneError, match="'left' has lens distortion"):
        read_rig(path)
    camera = read_rig(path, undistort=True).distortion["left"].stored
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((64, 64, 32, 24))
    np.testing.assert_allclose(camera.center, [1, 2, 3])
    # OpenGL's camera looks along its own -z, ours along +z.
    np.testing.assert_allclose(camera.camera_to_world[:3, 2], [0, 0, -1])
    data["camera_model"] = "OPENCV_FISHEYE"
    path.write_text(json.dumps(data))
    with pytest.raises(SceneError, match="fisheye"):
        read_rig(path, undistort=True)


@pytest.mark.parametrize(
    ("name", "count"), [("pose2sim_single_person/cameras.json", 4), ("fox/transforms.json", 50)]
)
def test_real_files_with_distortion(shared, name, count):
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"no data: {path} is not there")
    rig = read_rig(path, undistort=True)
    assert len(rig.cameras) == len(rig.distortion) == count
    for camera_name, camera in rig.cameras.items():
        stored = rig.distortion[camera_name].stored
        assert 1 <= camera.fx / stored.fx < 1.2
