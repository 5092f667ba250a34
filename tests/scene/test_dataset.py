"""The data set layout and its images as a source of frames."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from igs.scene import (
    Box,
    Dataset,
    FrameSource,
    GaussianModelFolder,
    ImageFolderSource,
    SceneError,
    SceneFolder,
    model_from_rig,
    write_colmap,
)


def _picture(camera: int, index: int, width: int = 32, height: int = 24) -> np.ndarray:
    image = np.full((height, width, 3), 10 * index, np.uint8)
    image[0, 0] = camera
    return image


@pytest.fixture
def scene(tmp_path, rig) -> SceneFolder:
    """Four frames of six cameras at half size, with network images and a camera list."""
    folder = SceneFolder(tmp_path, "toy")
    for index in range(4):
        pictures = {name: _picture(i, index) for i, name in enumerate(rig.cameras)}
        folder.write_images(index, "images_r2", pictures)
        squares = {name: _picture(i, index, 16, 16) for i, name in enumerate(rig.cameras)}
        folder.write_images(index, "images_512", squares)
    folder.write_start_cameras(rig)
    return folder


def test_frames_of_the_layout(scene, rig):
    source = ImageFolderSource(scene.root, "toy", "images_r2", "images_512")
    assert isinstance(source, FrameSource)
    assert (source.num_frames, source.fps, source.rig.held_out) == (4, 30.0, ("cam0",))
    assert source.cameras["cam2"].width == 32
    assert source.cameras["cam2"].cx == pytest.approx(rig.cameras["cam2"].cx / 2)
    frames = list(source.frames(1))
    assert [frame.index for frame in frames] == [1, 2, 3]
    for frame in frames:
        assert frame.time == pytest.approx(frame.index / 30)
        for i, name in enumerate(rig.cameras):
            np.testing.assert_array_equal(frame.images[name], _picture(i, frame.index))
            np.testing.assert_array_equal(
                frame.network_images[name], _picture(i, frame.index, 16, 16)
            )


def test_parts_of_the_layout(scene):
    source = ImageFolderSource(
        Dataset.open(scene.root),
        "toy",
        "images_r2",
        "images_512",
        only=["cam4", "cam1"],
        network_views=["cam1"],
        num_frames=2,
        threads=2,
        fps=25,
    )
    frames = list(source.frames())
    assert len(frames) == 2
    assert list(frames[0].images) == ["cam4", "cam1"]
    assert list(frames[0].network_images) == ["cam1"]
    with pytest.raises(SceneError, match="has 4 frames, 5 are wanted"):
        ImageFolderSource(scene.root, "toy", "images_r2", num_frames=5)


def test_jpeg_names_and_alpha(scene):
    folder = scene.frame_path(1) / "images_r2"
    (folder / "cam1.png").unlink()
    Image.fromarray(np.full((24, 32, 4), 90, np.uint8)).save(folder / "cam1.take2.png")
    (folder / "notes.txt").write_text("x")
    frames = list(ImageFolderSource(scene.root, "toy", "images_r2").frames())
    assert frames[1].images["cam1"].shape == (24, 32, 3)
    assert frames[1].images["cam1"].mean() == 90
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(folder / "cam1.jpg")
    with pytest.raises(SceneError, match=r"cam1\.jpg and cam1\.take2\.png are of one camera"):
        ImageFolderSource(scene.root, "toy", "images_r2")


def test_missing_things_are_named(scene, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such data folder"):
        ImageFolderSource(tmp_path / "nowhere", "toy")
    with pytest.raises(FileNotFoundError, match=r"toi: no such scene; did you mean 'toy'\?"):
        ImageFolderSource(tmp_path, "toi")
    with pytest.raises(FileNotFoundError, match=r"colmap_0/images_r4: no such image folder"):
        ImageFolderSource(tmp_path, "toy", "images_r4")
    (scene.frame_path(2) / "images_r2" / "cam3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"colmap_2/images_r2/cam3\.png: image of camera"):
        ImageFolderSource(tmp_path, "toy", "images_r2")
    scene.frame_path(2).rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="colmap_2: frame folder missing, though colmap_3"):
        ImageFolderSource(tmp_path, "toy", "images_r2")
    scene.start_model.cameras_path.unlink()
    with pytest.raises(FileNotFoundError, match=r"cameras\.json: no cameras here"):
        scene.rig()


def test_images_of_wrong_size_or_kind_are_named(scene):
    folder = scene.frame_path(2) / "images_r2"
    scene.write_images(2, "images_r2", {"cam1": _picture(1, 2, 16, 12)})
    frames = ImageFolderSource(scene.root, "toy", "images_r2").frames()
    with pytest.raises(SceneError, match=r"cam1\.png: is 16 x 12 pixels, the first frame's is 32"):
        list(frames)
    whole = (scene.frame_path(1) / "images_r2" / "cam1.png").read_bytes()
    (folder / "cam1.png").write_bytes(whole[:-30])
    with pytest.raises(SceneError, match=r"cam1\.png: is cut off or damaged"):
        list(ImageFolderSource(scene.root, "toy", "images_r2").frames())
    (folder / "cam1.png").write_bytes(b"no image")
    with pytest.raises(SceneError, match=r"cam1\.png: cannot be read as an image"):
        list(ImageFolderSource(scene.root, "toy", "images_r2").frames())
    Image.fromarray(np.zeros((24, 32), np.uint16)).save(folder / "cam1.png")
    with pytest.raises(SceneError, match=r"cam1\.png: images of mode I;16"):
        list(ImageFolderSource(scene.root, "toy", "images_r2").frames())
    scene.write_images(0, "images_r2", {"cam1": _picture(1, 0, 32, 32)})
    with pytest.raises(SceneError, match=r"cam1\.png: 32 x 32 pixels do not have the shape"):
        ImageFolderSource(scene.root, "toy", "images_r2")
    source = ImageFolderSource(scene.root, "toy", "images_r2", "images_r2", only=["cam2"])
    with pytest.raises(SceneError, match="network images are square"):
        list(source.frames())


def test_sizes_may_be_rounded(tmp_path, rig):
    """Half of 65 x 49 is 32 x 24 (halves to even), no longer exactly the same shape."""
    odd = {name: camera.resized(65, 49) for name, camera in rig.cameras.items()}
    scene = SceneFolder(tmp_path, "toy")
    scene.write_images(0, "images_r2", {name: _picture(0, 0) for name in odd})
    source = ImageFolderSource(tmp_path, "toy", "images_r2", cameras=odd)
    assert source.cameras["cam1"].fx == pytest.approx(odd["cam1"].fx * 32 / 65)


def test_cameras_come_from_colmap_before_training(scene, rig):
    scene.start_model.cameras_path.unlink()
    write_colmap(scene.frame_path(0) / "sparse" / "0", model_from_rig(rig))
    read = scene.rig()
    assert read.held_out == ("cam0",)
    np.testing.assert_allclose(
        read.cameras["cam4"].world_to_camera, rig.cameras["cam4"].world_to_camera, atol=1e-12
    )


def test_iterations_of_a_model(tmp_path):
    model = GaussianModelFolder(tmp_path / "start_gs")
    with pytest.raises(FileNotFoundError, match="train the first frame first"):
        model.find_ply()
    for name in ("6000_compress", "6000", "900", "15000_compress"):
        path = model.ply_path(name)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"ply")
    (tmp_path / "start_gs/point_cloud/iteration_20000").mkdir()  # has no file in it
    assert model.iterations() == ["900", "6000", "6000_compress", "15000_compress"]
    assert model.find_ply() == model.ply_path("15000_compress")
    assert model.find_ply(6000).parent.name == "iteration_6000"
    with pytest.raises(FileNotFoundError, match=r"iteration_7000.*the iterations are 900, 6000"):
        model.find_ply(7000)
    depth = model.render_path("6000_compress", "depth_expected_mm", 3)
    assert depth.relative_to(model.path).as_posix() == (
        "train/ours_6000_compress/depth_expected_mm/00003.png"
    )


def test_boxes_and_scenes_of_a_data_set(scene):
    box = Box(np.zeros(3), np.ones(3))
    scene.write_box(box)
    SceneFolder(scene.root, "other").write_box(Box(-np.ones(3), np.ones(3)))
    assert scene.box() == box
    dataset = Dataset.open(scene.root)
    (scene.root / "notes").mkdir()
    assert dataset.scenes() == ["toy"]
    assert dataset.scene("toy").pair_path(300, 5).name == "toy_total_300_interval_5.json"
    assert scene.frame_model(7).ply_path("10000_compress").relative_to(scene.path).as_posix() == (
        "colmap_7/3dgs_rade/point_cloud/iteration_10000_compress/point_cloud.ply"
    )


def test_groups(scene):
    groups = [[0, 5], [1], [2, 3], [4]]
    scene.write_groups(groups)
    assert scene.groups() == groups
    for bad, message in [
        ([[0], [1], [2]], "got 3"),
        ([[0], [1], [2], []], "group 3 is empty"),
        ([[0], [1], [2], [0]], "in two groups"),
        ([[0], [1], [2], [-1]], "-1 is no position"),
    ]:
        with pytest.raises(SceneError, match=message):
            scene.write_groups(bad)
    (scene.path / "group.json").write_text("[[0], [1]]")
    with pytest.raises(SceneError, match=r"group\.json: must be 4 lists"):
        scene.groups()
