"""Every kind of capture is written with one rig and read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from igs.prepare.detect import find_calibration, open_capture
from igs.prepare.opencv_yaml import read_opencv_yaml
from igs.scene import (
    ColmapPoints,
    Distortion,
    Rig,
    SceneError,
    model_from_rig,
    write_camera_object,
    write_colmap,
    write_transforms,
)
from igs.scene.rotations import quat_from_rotation

TOLERANCE = 1e-5
WIDTH, HEIGHT = 64, 48  # of the rig's pictures
LENS = (-0.05, 0.01, 0.001, -0.002, 0.0)


def centred(rig: Rig) -> Rig:
    """The rig with the one focal length and the centred principal point of poses_bounds.npy."""
    cameras = {
        name: replace(camera, fy=camera.fx, cx=WIDTH / 2, cy=HEIGHT / 2)
        for name, camera in rig.cameras.items()
    }
    return replace(rig, cameras=cameras)


def assert_same_cameras(found: Rig | None, expected: Rig) -> None:
    assert found is not None
    assert list(found.cameras) == list(expected.cameras)
    for name, camera in expected.cameras.items():
        other = found.cameras[name]
        assert (other.width, other.height) == (camera.width, camera.height)
        np.testing.assert_allclose(other.intrinsics, camera.intrinsics, atol=TOLERANCE)
        np.testing.assert_allclose(other.world_to_camera, camera.world_to_camera, atol=TOLERANCE)


def assert_same_lenses(found: Rig | None, rig: Rig) -> None:
    """Pictures as stored have the rig's cameras and the lens LENS."""
    assert found is not None
    assert set(found.distortion) == set(rig.cameras)
    for name, lens in found.distortion.items():
        np.testing.assert_allclose(lens.coefficients, LENS, atol=1e-7)
        np.testing.assert_allclose(
            lens.stored.intrinsics, rig.cameras[name].intrinsics, atol=TOLERANCE
        )
        assert found.cameras[name].fx >= lens.stored.fx  # zoomed in, never a black rim


def write_poses_bounds(path: Path, rig: Rig) -> None:
    rows = []
    for camera in rig.cameras.values():
        right, down, forward = camera.camera_to_world[:3, :3].T
        size = [camera.height, camera.width, camera.fx]
        matrix = np.stack([down, right, -forward, camera.center, size], axis=1)
        rows.append(np.concatenate([matrix.ravel(), [1.0, 10.0]]))
    np.save(path, np.array(rows))


def write_easymocap(folder: Path, rig: Rig, rotation_key: str = "R") -> None:
    def matrix(name: str, value: np.ndarray) -> str:
        rows, cols = value.shape
        data = ", ".join(f"{number:.9g}" for number in value.ravel())
        head = f"{name}: !!opencv-matrix\n   rows: {rows}\n   cols: {cols}\n   dt: d\n"
        return f"{head}   data: [ {data} ]\n"

    names = "names:\n" + "".join(f'  - "{name}"\n' for name in rig.cameras)
    intri, extri = f"%YAML:1.0\n---\n{names}", f"%YAML:1.0\n---\n{names}"
    for name, camera in rig.cameras.items():
        opencv = camera.intrinsics.copy()
        opencv[:2, 2] -= 0.5
        intri += matrix(f"K_{name}", opencv) + matrix(f"dist_{name}", np.array([LENS]))
        rotation = camera.world_to_camera[:3, :3]
        if rotation_key == "R":
            extri += matrix(f"R_{name}", Rotation.from_matrix(rotation).as_rotvec()[:, None])
        else:
            extri += matrix(f"Rot_{name}", rotation)
        extri += matrix(f"T_{name}", camera.world_to_camera[:3, 3:])
    (folder / "intri.yml").write_text(intri)
    (folder / "extri.yml").write_text(extri)


def write_toml(path: Path, rig: Rig, names: Callable[[str], str] = lambda name: name) -> None:
    text = ""
    for name, camera in rig.cameras.items():
        opencv = camera.intrinsics.copy()
        opencv[:2, 2] -= 0.5
        turn = Rotation.from_matrix(camera.world_to_camera[:3, :3]).as_rotvec()
        text += f'[{names(name)}]\nname = "{names(name)}"\nsize = [ {WIDTH}.0, {HEIGHT}.0]\n'
        text += f"matrix = {json.dumps(opencv.tolist())}\ndistortions = {list(LENS)}\n"
        text += f"rotation = {turn.tolist()}\n"
        text += f"translation = {camera.world_to_camera[:3, 3].tolist()}\nfisheye = false\n\n"
    path.write_text(text + "[metadata]\nadjusted = false\nerror = 0.0\n")


def test_videos_with_a_camera_file(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path / "videos")
    write_camera_object(tmp_path / "cameras.json", replace(rig, held_out=("cam02",), fps=30.0))
    capture = open_capture(tmp_path)
    assert capture.kind == "videos"
    assert_same_cameras(capture.rig, rig)
    assert capture.rig is not None
    assert capture.rig.held_out == ("cam02",)


def test_videos_without_cameras(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path)
    capture = open_capture(tmp_path)
    assert capture.rig is None
    assert list(capture.views) == list(rig.cameras)
    assert capture.views["cam00"].size() == (WIDTH, HEIGHT)


def test_camera_names_with_a_suffix(tmp_path: Path, rig: Rig, show, save_png):
    for number, name in enumerate(rig.cameras):
        save_png(tmp_path / "images" / f"{name}.png", show(number, 0))
    named = [replace(camera, name=f"{name}.jpg") for name, camera in rig.cameras.items()]
    write_camera_object(tmp_path / "cameras.json", Rig.of(named))
    capture = open_capture(tmp_path)
    assert capture.kind == "images"
    assert_same_cameras(capture.rig, rig)


@pytest.mark.parametrize("kind", ["auto", "n3dv", "meeting_room"])
def test_poses_bounds(tmp_path: Path, rig: Rig, write_videos, kind: str):
    write_videos(tmp_path)
    write_poses_bounds(tmp_path / "poses_bounds.npy", centred(rig))
    capture = open_capture(tmp_path, kind)
    assert capture.kind == ("n3dv" if kind == "auto" else kind)
    assert_same_cameras(capture.rig, centred(rig))


def test_poses_bounds_are_scaled_to_smaller_videos(tmp_path: Path, rig: Rig, write_video):
    for number, name in enumerate(rig.cameras):
        write_video(tmp_path / f"{name}.mp4", number, 2, size=(WIDTH // 2, HEIGHT // 2))
    write_poses_bounds(tmp_path / "poses_bounds.npy", centred(rig))
    capture = open_capture(tmp_path)
    assert capture.rig is not None
    camera = capture.rig.cameras["cam01"]
    assert (camera.width, camera.height, camera.fx) == (WIDTH // 2, HEIGHT // 2, 30.0)


def test_poses_bounds_follow_the_order_that_is_asked_for(tmp_path: Path, rig: Rig, write_video):
    names = ["cam1", "cam2", "cam9", "cam10", "cam11"]
    for number, name in enumerate(names):
        write_video(tmp_path / f"{name}.mp4", number, 2)
    write_poses_bounds(tmp_path / "poses_bounds.npy", centred(rig))
    with pytest.raises(SceneError, match=r"by name.*cam1, cam2, cam9.*by number.*cameras\.order"):
        open_capture(tmp_path)
    by_number = open_capture(tmp_path, order="number").rig
    by_name = open_capture(tmp_path, order="name").rig
    assert by_number is not None
    assert by_name is not None
    assert list(by_number.cameras) == names
    assert list(by_name.cameras) == sorted(names)


def test_poses_bounds_of_another_number_of_cameras(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path)
    write_poses_bounds(tmp_path / "poses_bounds.npy", centred(rig).subset(["cam00", "cam01"]))
    with pytest.raises(SceneError, match="2 rows, but there are 5 cameras"):
        open_capture(tmp_path)


def test_poses_bounds_of_another_shape(tmp_path: Path, write_videos):
    write_videos(tmp_path)
    np.save(tmp_path / "poses_bounds.npy", np.zeros((5, 15)))
    with pytest.raises(SceneError, match="N x 17"):
        open_capture(tmp_path)


def test_technicolor(tmp_path: Path, rig: Rig, show, save_png):
    lines = ["focal cx cy aspect skew quaternion translation"]
    for number, camera in enumerate(rig.cameras.values()):
        quat = quat_from_rotation(camera.world_to_camera[:3, :3])
        row = [camera.fx, camera.cx, camera.cy, camera.fy / camera.fx, 0.0, *quat]
        row += [*camera.world_to_camera[:3, 3]]
        lines.append(" ".join(f"{value:.9g}" for value in row))
        for frame in range(3):
            save_png(tmp_path / f"Toy_undist_{frame:05d}_{number:02d}.png", show(number, frame))
    (tmp_path / "cameras_parameters.txt").write_text("\n".join(lines) + "\n")
    capture = open_capture(tmp_path)
    assert capture.kind == "technicolor"
    assert_same_cameras(capture.rig, rig)
    assert capture.views["cam03"].numbers == (0, 1, 2)
    (tmp_path / "cameras_parameters.txt").write_text("\n".join([*lines[:-1], "1 2 3"]) + "\n")
    with pytest.raises(SceneError, match="line 6 must hold 12 numbers"):
        open_capture(tmp_path)


@pytest.mark.parametrize("rotation_key", ["R", "Rot"])
def test_enerf(tmp_path: Path, rig: Rig, write_image_folders, rotation_key: str):
    write_image_folders(tmp_path / "images", 2)
    write_easymocap(tmp_path, rig, rotation_key)
    capture = open_capture(tmp_path)
    assert capture.kind == "enerf"
    assert capture.rig is not None
    assert_same_lenses(capture.rig, rig)
    for name, camera in rig.cameras.items():
        found = capture.rig.cameras[name].world_to_camera
        np.testing.assert_allclose(found, camera.world_to_camera, atol=TOLERANCE)


def test_enerf_without_a_pose(tmp_path: Path, rig: Rig, write_image_folders):
    write_image_folders(tmp_path / "images", 1)
    write_easymocap(tmp_path, rig)
    text = (tmp_path / "extri.yml").read_text().replace("T_cam03", "T_cam33")
    (tmp_path / "extri.yml").write_text(text)
    with pytest.raises(SceneError, match=r"extri\.yml: lacks the matrix T_cam03"):
        open_capture(tmp_path)


def test_opencv_yaml_that_is_none(tmp_path: Path):
    path = tmp_path / "intri.yml"
    path.write_text(
        "%YAML:1.0\n---\nK_0: !!opencv-matrix\n   rows: 3\n   cols: 3\n   data: [1, 2]\n"
    )
    with pytest.raises(SceneError, match=r"intri\.yml: not a YAML file of OpenCV"):
        read_opencv_yaml(path)


def test_nerfstudio_of_one_moment(tmp_path: Path, rig: Rig, show, save_png):
    for number, name in enumerate(rig.cameras):
        save_png(tmp_path / "images" / f"{name}.png", show(number, 0))
    save_png(tmp_path / "images" / "unregistered.png", show(0, 0))
    write_transforms(tmp_path / "transforms.json", replace(rig, held_out=("cam04",)))
    capture = open_capture(tmp_path)
    assert capture.kind == "nerfstudio"
    assert_same_cameras(capture.rig, rig)
    assert capture.rig is not None
    assert capture.rig.held_out == ("cam04",)


def test_nerfstudio_with_videos(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path / "videos", 2)
    write_transforms(tmp_path / "transforms.json", rig)
    capture = open_capture(tmp_path)
    assert_same_cameras(capture.rig, rig)
    assert all(view.video for view in capture.views.values())


@pytest.mark.parametrize("binary", [True, False])
def test_colmap(tmp_path: Path, rig: Rig, write_videos, binary: bool):
    write_videos(tmp_path, 2)
    points = ColmapPoints.of(np.eye(3), np.full((3, 3), 9))
    folder = tmp_path / "sparse" / "0"
    write_colmap(folder, model_from_rig(rig, points, ".jpg"), binary=binary)
    capture = open_capture(tmp_path)
    assert capture.kind == "colmap"
    assert_same_cameras(capture.rig, rig)
    assert capture.points is not None
    np.testing.assert_allclose(capture.points.xyz, np.eye(3))


def test_colmap_of_images_in_folders(tmp_path: Path, rig: Rig, write_image_folders):
    write_image_folders(tmp_path / "images", 2)
    model = model_from_rig(rig)
    images = {
        number: replace(image, name=f"{Path(image.name).stem}/000000.png")
        for number, image in model.images.items()
    }
    write_colmap(tmp_path / "sparse" / "0", replace(model, images=images))
    assert_same_cameras(open_capture(tmp_path).rig, rig)


def test_calibration_toml(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path / "videos", 2)
    write_toml(tmp_path / "Calib.toml", rig)
    (tmp_path / "charuco.toml").write_text("columns = 4\n")
    capture = open_capture(tmp_path)
    assert capture.kind == "pose2sim"
    assert_same_lenses(capture.rig, rig)


def test_calibration_toml_with_names_of_its_own(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path / "videos", 2)
    write_toml(tmp_path / "Calib.toml", rig, lambda name: f"int_{name}_img")
    capture = open_capture(tmp_path)
    assert capture.rig is not None
    assert list(capture.rig.cameras) == list(rig.cameras)
    write_toml(tmp_path / "Calib.toml", rig, lambda name: f"int_{name}0_img")
    with pytest.raises(SceneError, match="goes with no video by name or number"):
        open_capture(tmp_path)


def test_fisheye_toml(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path / "videos", 1)
    write_toml(tmp_path / "Calib.toml", rig)
    path = tmp_path / "Calib.toml"
    path.write_text(path.read_text().replace("fisheye = false", "fisheye = true", 1))
    with pytest.raises(SceneError, match="'cam00': fisheye lenses are not supported"):
        open_capture(tmp_path)


def test_qualisys(shared: Path, tmp_path: Path):
    """Against the poses that were derived from the same file by its own documentation."""
    folder = shared / "data" / "pose2sim_single_person"
    if not folder.is_dir():
        pytest.skip(f"no capture: {folder} is not a folder")
    from igs.prepare.calibration_files import read_qualisys
    from igs.scene import read_rig

    found = read_qualisys(folder / "Calib.qca.txt")
    expected = read_rig(folder / "cameras.json", undistort=True)
    for name, camera in expected.cameras.items():
        other = found.cameras[name]
        np.testing.assert_allclose(other.world_to_camera, camera.world_to_camera, atol=TOLERANCE)
    lens, other = expected.distortion["cam03"], found.distortion["cam03"]
    np.testing.assert_allclose(other.coefficients, lens.coefficients, atol=1e-9)
    np.testing.assert_allclose(other.stored.intrinsics, lens.stored.intrinsics, atol=1.01)


def test_the_file_for_this_program_comes_first(tmp_path: Path, rig: Rig):
    write_transforms(tmp_path / "transforms.json", rig)
    write_poses_bounds(tmp_path / "poses_bounds.npy", rig)
    write_camera_object(tmp_path / "cameras.json", rig)
    assert find_calibration(tmp_path) == ("videos", tmp_path / "cameras.json")


def test_a_file_that_is_named(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path, 1)
    write_camera_object(tmp_path / "cameras.json", centred(rig))
    write_toml(tmp_path / "mine.toml", rig)
    assert_same_lenses(open_capture(tmp_path, cameras="mine.toml").rig, rig)
    with pytest.raises(FileNotFoundError, match=r"other\.toml: no such file \(cameras\.file\)"):
        open_capture(tmp_path, cameras="other.toml")


def test_a_lens_of_the_camera_file(tmp_path: Path, rig: Rig, write_videos):
    write_videos(tmp_path, 1)
    lenses = {n: Distortion.from_coefficients(c, LENS) for n, c in rig.cameras.items()}
    write_camera_object(tmp_path / "cameras.json", replace(rig, distortion=lenses))
    assert_same_lenses(open_capture(tmp_path).rig, rig)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("n3dv", r"poses_bounds\.npy"),
        ("technicolor", r"cameras_parameters\.txt"),
        ("enerf", r"intri\.yml"),
        ("nerfstudio", r"transforms\.json"),
        ("colmap", r"sparse/0/cameras\.bin"),
        ("pose2sim", r"\*\.toml"),
    ],
)
def test_a_kind_without_its_file(tmp_path: Path, write_videos, kind: str, missing: str):
    write_videos(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match=f"kind={kind} needs .*{missing}"):
        open_capture(tmp_path, kind)


def test_cameras_and_pictures_that_do_not_go_together(tmp_path: Path, rig: Rig, write_video):
    for number, name in enumerate(["cam00", "cam01", "cam02", "cam03", "extra"]):
        write_video(tmp_path / f"{name}.mp4", number, 1)
    write_camera_object(tmp_path / "cameras.json", rig)
    with pytest.raises(SceneError, match=r"no pictures of camera cam04.*cameras\.exclude"):
        open_capture(tmp_path)
    with pytest.raises(SceneError, match=r"has no camera extra.*cameras\.exclude=\[extra\]"):
        open_capture(tmp_path, exclude=["cam04"])
    capture = open_capture(tmp_path, exclude=["cam04", "extra"])
    assert list(capture.views) == ["cam00", "cam01", "cam02", "cam03"]
    with pytest.raises(SceneError, match="did you mean 'cam04'"):
        open_capture(tmp_path, exclude=["cam40"])


def test_nothing_there(tmp_path: Path):
    with pytest.raises(SceneError, match="no videos or images here; give one video per camera"):
        open_capture(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_capture(tmp_path / "absent")
