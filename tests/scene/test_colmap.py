"""COLMAP models against pycolmap, in both forms, whole and damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igs.scene import ColmapPoints, Rig, SceneError, model_from_rig, read_colmap, write_colmap
from igs.scene.colmap import ColmapModel
from igs.scene.colmap_records import CAMERA_MODELS, ColmapCamera, ColmapImage
from igs.scene.rotations import quat_from_rotation, rotation_from_quat


@pytest.fixture
def model(rig) -> ColmapModel:
    """A rig with points, tracks and features that refer to each other."""
    rng = np.random.default_rng(1)
    points = ColmapPoints.of(rng.normal(size=(5, 3)), rng.integers(0, 256, (5, 3)))
    plain = model_from_rig(rig, points)
    features = np.array([[10.25, 20.5], [30.0, 5.125], [3.5, 4.5]])
    images = {
        number: replace(image, points2d=features, point3d_ids=np.array([1, -1, 3]))
        for number, image in plain.images.items()
    }
    tracks = [(number, at) for at in (0, 2) for number in images]
    return replace(
        plain,
        images=images,
        points=replace(
            points,
            errors=np.array([0.5, -1.0, 0.25, -1.0, -1.0]),
            tracks=np.array(tracks, np.int64),
            track_starts=np.array([0, 6, 6, 12, 12, 12]),
        ),
    )


def _assert_same(a: ColmapModel, b: ColmapModel) -> None:
    assert dict(a.cameras) == dict(b.cameras)
    assert list(a.images) == list(b.images)
    for number, image in a.images.items():
        other = b.images[number]
        assert (image.name, image.camera_id) == (other.name, other.camera_id)
        for field in ("quat", "translation", "points2d", "point3d_ids"):
            np.testing.assert_array_equal(getattr(image, field), getattr(other, field))
    for field in ("xyz", "rgb", "ids", "errors", "tracks", "track_starts"):
        np.testing.assert_array_equal(getattr(a.points, field), getattr(b.points, field))
    assert b.points.xyz.dtype == np.float64
    assert b.points.rgb.dtype == np.uint8


@pytest.mark.parametrize("binary", [True, False])
def test_round_trip_is_exact(tmp_path, model, binary):
    write_colmap(tmp_path, model, binary=binary)
    _assert_same(model, read_colmap(tmp_path))


@pytest.mark.parametrize("binary", [True, False])
def test_pycolmap_reads_what_we_write(tmp_path, model, rig, binary):
    pycolmap = pytest.importorskip("pycolmap")
    write_colmap(tmp_path, model, binary=binary)
    read = pycolmap.Reconstruction(str(tmp_path))
    assert read.num_images() == len(rig.cameras)
    for image in read.images.values():
        camera = rig.cameras[image.name.split(".")[0]]
        found: Any = image
        pose: Any = found.cam_from_world  # a method, in older releases an attribute
        rigid: Any = pose() if callable(pose) else pose
        np.testing.assert_allclose(rigid.matrix(), camera.world_to_camera[:3], atol=1e-12)
        record = read.cameras[image.camera_id]
        np.testing.assert_array_equal(record.params, [camera.fx, camera.fy, camera.cx, camera.cy])
        assert (record.width, record.height) == (camera.width, camera.height)
    for number, point in read.points3D.items():
        row = list(model.points.ids).index(number)
        np.testing.assert_array_equal(point.xyz, model.points.xyz[row])
        np.testing.assert_array_equal(point.color, model.points.rgb[row])


@pytest.mark.parametrize("binary", [True, False])
def test_we_read_what_pycolmap_writes(tmp_path, model, binary):
    pycolmap = pytest.importorskip("pycolmap")
    write_colmap(tmp_path / "ours", model)
    theirs = pycolmap.Reconstruction(str(tmp_path / "ours"))
    (tmp_path / "theirs").mkdir()
    (theirs.write_binary if binary else theirs.write_text)(str(tmp_path / "theirs"))
    read = read_colmap(tmp_path / "theirs")
    assert dict(read.cameras) == dict(model.cameras)
    for number, image in model.images.items():
        np.testing.assert_allclose(read.images[number].quat, image.quat, atol=1e-14)
        np.testing.assert_allclose(read.images[number].translation, image.translation)
        np.testing.assert_array_equal(read.images[number].point3d_ids, image.point3d_ids)
    order = np.argsort(read.points.ids)
    np.testing.assert_array_equal(read.points.xyz[order], model.points.xyz)
    np.testing.assert_array_equal(read.points.rgb[order], model.points.rgb)


def test_model_numbers_are_colmaps():
    pycolmap = pytest.importorskip("pycolmap")
    theirs = pycolmap.CameraModelId.__members__
    for number, (name, count) in CAMERA_MODELS.items():
        if name in theirs:  # older releases know fewer
            assert theirs[name].value == number
            params = pycolmap.Camera(model=name, width=9, height=9, params=[1.0] * count).params
            assert len(params) == count


def test_the_rig_comes_back(tmp_path, model, rig):
    write_colmap(tmp_path, model)
    back = read_colmap(tmp_path).rig()
    assert list(back.cameras) == sorted(rig.cameras)
    for name, camera in rig.cameras.items():
        np.testing.assert_allclose(
            back.cameras[name].world_to_camera, camera.world_to_camera, atol=1e-12
        )
        np.testing.assert_array_equal(back.cameras[name].intrinsics, camera.intrinsics)


def _one_image(camera: ColmapCamera, name: str = "a/cam7.take.png") -> ColmapModel:
    image = ColmapImage(name, 1, np.array([1.0, 0, 0, 0]), np.array([0.0, 0, 1]))
    points = ColmapPoints.of(np.zeros((0, 3)), np.zeros((0, 3)))
    return ColmapModel({1: camera}, {1: image}, points)


def test_simple_pinhole_and_names_up_to_the_first_dot():
    rig = _one_image(ColmapCamera("SIMPLE_PINHOLE", 64, 48, (50.0, 31.0, 25.0))).rig()
    camera = rig.cameras["cam7"]
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (50, 50, 31, 25)


def test_distorted_models_are_records_but_no_pinholes(tmp_path):
    model = _one_image(ColmapCamera("OPENCV", 64, 48, (50.0, 51, 32, 24, -0.1, 0.01, 1e-3, 2e-3)))
    write_colmap(tmp_path, model, binary=True)
    read = read_colmap(tmp_path)
    assert read.cameras[1].params == model.cameras[1].params
    with pytest.raises(SceneError, match=r"cam7\.take\.png: camera model OPENCV.*undistort"):
        read.rig()
    lens = read.rig(undistort=True).distortion["cam7"]
    assert lens.coefficients == (-0.1, 0.01, 1e-3, 2e-3, 0)
    fisheye = _one_image(ColmapCamera("OPENCV_FISHEYE", 64, 48, (50.0, 51, 32, 24, 0, 0, 0, 0)))
    with pytest.raises(SceneError, match="OPENCV_FISHEYE is not a pinhole"):
        fisheye.rig(undistort=True)
    radial = _one_image(ColmapCamera("SIMPLE_RADIAL", 64, 48, (50.0, 32, 24, 0.0)))
    assert radial.rig().cameras["cam7"].fx == 50  # without distortion it is a pinhole


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_cut_off_files_are_named(tmp_path, model, name, binary):
    write_colmap(tmp_path, model, binary=binary)
    path = tmp_path / f"{name}{'.bin' if binary else '.txt'}"
    data = path.read_bytes()
    # Text may be cut where a whole number ends; inside the last line's first fields it may not.
    last_line = data.rstrip(b"\n").rfind(b"\n") + 1
    if not binary and name == "images":
        last_line = data[: last_line - 1].rfind(b"\n") + 1
    lengths = range(0, len(data), 13) if binary else [last_line + 1, last_line + 8]
    for length in lengths:
        path.write_bytes(data[:length])
        with pytest.raises(SceneError, match=rf"{name}\.(bin|txt): ") as caught:
            read_colmap(tmp_path)
        assert "\n" not in str(caught.value)


def test_other_damage_is_named(tmp_path, model):
    write_colmap(tmp_path, model)
    with (tmp_path / "images.bin").open("ab") as file:
        file.write(b"xyz")
    with pytest.raises(SceneError, match=r"images\.bin: 3 bytes follow"):
        read_colmap(tmp_path)
    write_colmap(tmp_path, model)
    data = bytearray((tmp_path / "cameras.bin").read_bytes())
    data[12] = 99
    (tmp_path / "cameras.bin").write_bytes(data)
    with pytest.raises(SceneError, match=r"cameras\.bin: camera 1 has the unknown model number 99"):
        read_colmap(tmp_path)


def test_missing_files(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="no COLMAP model"):
        read_colmap(tmp_path)
    write_colmap(tmp_path, model)
    (tmp_path / "points3D.bin").unlink()
    assert len(read_colmap(tmp_path).points) == 0
    (tmp_path / "images.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"images\.bin: missing"):
        read_colmap(tmp_path)


def test_an_image_without_its_camera(model):
    with pytest.raises(SceneError, match="there is no camera 1"):
        replace(model, cameras={9: model.cameras[1]}).rig()


def test_two_images_of_one_name(model):
    images = {1: model.images[1], 2: replace(model.images[2], name="other/cam0.jpg")}
    with pytest.raises(SceneError, match="two cameras are called 'cam0'"):
        replace(model, images=images).rig()


@given(st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: np.linalg.norm(q) > 1e-2))
def test_quaternions_and_rotations_invert_each_other(quat):
    unit = np.array(quat) / np.linalg.norm(quat)
    rotation = rotation_from_quat(np.array(quat))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    back = quat_from_rotation(rotation)
    assert abs(float(back @ unit)) == pytest.approx(1, abs=1e-12)


def test_flame_steak(shared, tmp_path):
    folder: Path = shared / "data" / "n3dv_flame_steak_frame0"
    if not folder.is_dir():
        pytest.skip(f"no data: {folder} is not a folder")
    model = read_colmap(folder / "sparse" / "0")
    assert (len(model.images), len(model.points)) == (21, 7298)
    rig: Rig = model.rig()
    assert list(rig.cameras) == [f"cam{i:02d}" for i in range(21)]
    for suffix in ("cameras", "images"):
        text = (folder / "sparse" / "0" / f"{suffix}.txt").read_bytes()
        (tmp_path / f"{suffix}.txt").write_bytes(text)
    as_text = read_colmap(tmp_path).rig()
    for name, camera in rig.cameras.items():
        np.testing.assert_allclose(
            as_text.cameras[name].world_to_camera, camera.world_to_camera, atol=1e-9
        )
    # Points of the model lie in front of the cameras that look at them.
    ahead = (model.points.xyz - rig.cameras["cam00"].center) @ rig.cameras["cam00"].camera_to_world[
        :3, 2
    ]
    assert (ahead > 0).mean() > 0.95
