"""Scenes on disk in the training layout, and back."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.frame0.outputs import write_views
from igs.gaussians import Gaussians
from igs.render import render_depths
from igs.scene import SceneError, read_pairs, write_pairs
from igs.scene.synthetic import SyntheticScene, SyntheticSceneConfig
from igs.training.igs_data import (
    PAIR_FILE,
    IgsData,
    IgsDataConfig,
    training_pairs,
    write_depth,
    write_training_set,
)
from igs.training.shots import scene_images

CONFIG = SyntheticSceneConfig(
    num_gaussians=(1200, 1500), image_long_side=(64, 64), world_unit=(1.0, 2.0)
)
SCENES = {name: SyntheticScene.draw(CONFIG, seed) for name, seed in (("one", 1), ("two", 2))}
MODEL = Path("colmap_1") / "3dgs_rade"
RENDERED = MODEL / "train" / "ours_10000_compress"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("igs_data")
    write_training_set(folder, SCENES, 3, held_out=["two"], reconstruction=0.0)
    return folder


def config(root: Path, **changes) -> IgsDataConfig:
    return IgsDataConfig(str(root), input_size=64, **changes)


def test_the_layout_is_that_of_igs_data(root: Path):
    assert set(json.loads((root / "bbox.json").read_text())) == {"one", "two"}
    groups = json.loads((root / "one" / "group.json").read_text())
    assert len(groups) == 4
    count = len(SCENES["one"].cameras)
    assert sorted(i for group in groups for i in group) == list(range(count))
    cameras = json.loads((root / "one" / MODEL / "cameras.json").read_text())
    assert [entry["img_name"] for entry in cameras] == [c.name for c in SCENES["one"].cameras]
    ply = root / "one" / MODEL / "point_cloud" / "iteration_10000_compress" / "point_cloud.ply"
    assert b"filter_3D" in ply.read_bytes()[:4000]
    for kind in ("gt", "depth_expected_mm"):
        names = sorted(path.name for path in (root / "one" / RENDERED / kind).iterdir())
        assert names == [f"{i:05d}.png" for i in range(count)]
    pairs = read_pairs(root / PAIR_FILE)
    assert {pair.scene for pair in pairs.train} == {"one"}
    assert {pair.scene for pair in pairs.val} == {"two"}
    assert {(p.cur_frame, p.next_frame) for p in pairs.train} == {
        (i, j) for i in range(3) for j in range(3) if i != j
    }


def test_pairs_of_the_paper_are_as_many_as_it_says():
    pairs = training_pairs(dict.fromkeys(("a", "b", "c", "d"), 300))
    assert len(pairs) == 11_880
    assert {abs(p.cur_frame - p.next_frame) for p in pairs} == {1, 2, 3, 4, 5}


def test_what_was_written_comes_back(root: Path):
    data = IgsData(config(root), seed=3)
    pairs = read_pairs(root / PAIR_FILE).train
    assert len(data) == len(pairs) == 6
    scene = SCENES["one"]
    for index, pair in enumerate(pairs):
        sample = data.sample(index)
        state = Gaussians(**vars(scene.at(pair.cur_frame)))
        for name, tensor in state.tensors().items():
            torch.testing.assert_close(
                getattr(sample.gaussians, name), tensor, atol=2e-5, rtol=1e-5
            )
        torch.testing.assert_close(
            sample.box[0].double().numpy(), scene.box.minimum, atol=1e-5, rtol=1e-5
        )
        views = sample.target_cameras[:4]
        exact = render_depths(state, views)[:, 0]
        assert (exact - sample.depth).abs().max() <= 1.01e-3
        assert sample.targets is not None
        shown = scene_images(scene, pair.next_frame, sample.target_cameras).clamp(0, 1)
        assert (shown - sample.targets).abs().max() <= 1.01 / 255
        assert sample.true_translation is None
        for i, camera in enumerate(views):
            np.testing.assert_allclose(sample.world_to_camera[i], camera.world_to_camera, atol=1e-5)
            np.testing.assert_allclose(sample.fov[i], camera.fov, atol=1e-5)


def test_one_input_is_of_each_group_and_later_visits_differ(root: Path):
    data = IgsData(config(root), seed=0)
    groups = json.loads((root / "one" / "group.json").read_text())
    names = [camera.name for camera in SCENES["one"].cameras]
    seen = set()
    for index in range(0, 5 * len(data), len(data)):
        sample = data.sample(index)
        positions = [names.index(camera.name) for camera in sample.target_cameras]
        assert len(set(positions)) == len(positions) == 8
        assert all(p in group for p, group in zip(positions[:4], groups, strict=True))
        seen.add(tuple(positions))
    assert len(seen) > 1
    again = IgsData(config(root), seed=0).sample(6)
    assert torch.equal(again.cur_images, data.sample(6).cur_images)


def test_validation_views_and_sizes_can_be_fixed(root: Path):
    fixed = config(
        root, split="val", input_views=(3, 7, 1, 4), further_views=(5, 0), target_long_side=32
    )
    sample = IgsData(fixed).sample(0)
    names = [SCENES["two"].cameras[i].name for i in (3, 7, 1, 4, 5, 0)]
    assert [camera.name for camera in sample.target_cameras] == names
    assert sample.targets is not None
    assert max(sample.targets.shape[-2:]) == 32
    assert sample.cur_images.shape == (4, 3, 64, 64)
    bare = IgsData(dataclasses.replace(fixed, photometric=False)).sample(0)
    assert bare.targets is None
    assert bare.target_cameras == ()
    assert torch.equal(bare.next_images, sample.next_images)


def test_faults_are_named(root: Path, tmp_path: Path):
    with pytest.raises(SceneError, match="position 99"):
        IgsData(config(root, input_views=(0, 1, 2, 99))).sample(0)
    with pytest.raises(ValueError, match="split"):
        config(root, split="test")
    with pytest.raises(ValueError, match="input_views"):
        config(root, input_views=(1, 2))
    with pytest.raises(SceneError, match="world_unit"):
        write_depth(tmp_path / "far.png", torch.full((2, 2), 70.0))
    pairs = read_pairs(root / PAIR_FILE)
    write_pairs(tmp_path / PAIR_FILE, dataclasses.replace(pairs, train=()))
    with pytest.raises(SceneError, match='"train" is empty'):
        IgsData(IgsDataConfig(str(tmp_path)))
    with pytest.raises(SceneError, match="three"):
        write_training_set(tmp_path, SCENES, 3, held_out=["three"])


def _renumbered(root: Path, folder: Path, drop: str | None = None) -> None:
    """A copy of the set in which the images of scene one stand in reversed order of the cameras."""
    shutil.copytree(root, folder)
    for rendered in (folder / "one").glob("colmap_*/3dgs_rade/train/ours_10000_compress"):
        names = json.loads((rendered / "views.json").read_text())["names"]
        order = [name for name in reversed(names) if name != drop]
        for kind in ("gt", "depth_expected_mm"):
            files = {
                n: (rendered / kind / f"{i:05d}.png").read_bytes() for i, n in enumerate(names)
            }
            (rendered / kind / f"{len(names) - 1:05d}.png").unlink()
            for number, name in enumerate(order):
                (rendered / kind / f"{number:05d}.png").write_bytes(files[name])
        write_views(rendered, order)


def test_images_are_told_apart_by_name(root: Path, tmp_path: Path):
    fixed = config(root, input_views=(3, 0, 1, 4), further_views=(5, 2))
    _renumbered(root, tmp_path / "reversed")
    known = IgsData(fixed).sample(0)
    same = IgsData(dataclasses.replace(fixed, root=str(tmp_path / "reversed"))).sample(0)
    for key in ("cur_images", "next_images", "depth", "targets"):
        assert torch.equal(getattr(known, key), getattr(same, key)), key


def test_a_camera_without_image_is_named_or_not_drawn(root: Path, tmp_path: Path):
    names = [camera.name for camera in SCENES["one"].cameras]
    _renumbered(root, tmp_path / "fewer", drop=names[2])
    fixed = config(tmp_path / "fewer", input_views=(3, 0, 1, 4), further_views=len(names))
    drawn = {camera.name for camera in IgsData(fixed).sample(0).target_cameras}
    assert drawn == set(names) - {names[2]}
    with pytest.raises(SceneError, match=rf"views.json: no image of camera '{names[2]}'"):
        IgsData(dataclasses.replace(fixed, input_views=(2, 0, 1, 4))).sample(0)


def test_without_names_the_counts_must_agree(root: Path, tmp_path: Path):
    folder = tmp_path / "unnamed"
    shutil.copytree(root, folder)
    fixed = config(folder, input_views=(3, 0, 1, 4))
    known = IgsData(fixed).sample(0)
    for views in folder.rglob("views.json"):
        views.unlink()
    assert torch.equal(IgsData(fixed).sample(0).cur_images, known.cur_images)
    (folder / "one" / RENDERED / "gt" / "00000.png").unlink()
    count = len(SCENES["one"].cameras)
    with pytest.raises(SceneError, match=rf"{count - 1} images in gt for {count} cameras"):
        IgsData(fixed).sample(0)
