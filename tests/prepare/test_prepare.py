"""Whole preparations of small captures: what is written, cutting off, going on, refusing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

import igs.prepare.disk
from igs.cli import main
from igs.config import ConfigError, RunConfig, load_config
from igs.config.prepare import PrepareConfig
from igs.prepare.run import Prepared, PrepareProgress, neighbour_angle, prepare
from igs.prepare.write_images import ViewTask, half_size
from igs.scene import (
    Box,
    Distortion,
    ImageFolderSource,
    Rig,
    SceneError,
    Undistorter,
    read_colmap,
    read_pairs,
    read_rig,
    write_camera_object,
)
from igs.stream.inputs import open_inputs

QUICK = [
    "sync.mode=off",
    "points.mode=none",
    "box.mode=none",
    "images.folders=[images,images_r2]",
]
ALL_FOLDERS = "images.folders=[images,images_r2,images_512]"


@pytest.fixture
def capture(tmp_path: Path, rig: Rig, write_videos) -> Path:
    """Five videos of six frames and their cameras, cam02 held out."""
    folder = tmp_path / "toy"
    write_videos(folder)
    write_camera_object(folder / "cameras.json", replace(rig, held_out=("cam02",), fps=30.0))
    return folder


@pytest.fixture
def run(capture: Path, tmp_path: Path) -> Callable[..., Prepared]:
    """Prepare the capture with some settings."""

    def go(*words: str, resume: bool = False, progress=None) -> Prepared:
        given = [f"input={capture}", f"output={tmp_path / 'out'}", "workers=1", *QUICK, *words]
        config = load_config(PrepareConfig, None, given)
        return prepare(config, resume=resume, progress=progress)

    return go


def test_the_layout(run, rig: Rig, tmp_path: Path, show):
    result = run("box.bounds=[[-1,-1,3],[1,1,5]]", ALL_FOLDERS)
    scene = result.scene
    assert scene.path == tmp_path / "out" / "toy"
    assert (result.num_frames, result.decoded) == (6, 30)
    assert scene.num_frames() == 6
    assert scene.box() == Box(np.array([-1, -1, 3]), np.array([1, 1, 5]))
    assert (scene.path / "box.png").is_file()
    assert len(read_pairs(scene.pair_path(6, 5)).val) == 5
    for index in (0, 5):
        model = read_colmap(scene.frame_path(index) / "sparse" / "0").rig()
        for name, camera in rig.cameras.items():
            np.testing.assert_allclose(model.cameras[name].intrinsics, camera.intrinsics, atol=1e-9)
            np.testing.assert_allclose(
                model.cameras[name].world_to_camera, camera.world_to_camera, atol=1e-9
            )
    written = read_rig(scene.path / "rig.json")
    assert (written.held_out, written.num_frames) == (("cam02",), 6)
    frame = scene.frame_path(4)
    for folder, size in (("images", (64, 48)), ("images_r2", (32, 24)), ("images_512", (512, 512))):
        with Image.open(frame / folder / "cam03.png") as image:
            assert image.size == size
            np.testing.assert_allclose(
                np.array(image).mean((0, 1)), show(3, 4).mean((0, 1)), atol=3
            )


def test_the_config_streams(run):
    result = run("frames='4'", "held_out=[cam01]", "box.bounds=[[-1,-1,3],[1,1,5]]")
    config = load_config(RunConfig, result.config)
    inputs = open_inputs(config)
    assert inputs.box == result.box
    assert inputs.views.held_out == ["cam01"]
    assert len(inputs.views.inputs) == 4
    assert "cam01" not in inputs.views.inputs
    assert isinstance(inputs.source, ImageFolderSource)
    assert inputs.source.num_frames == 4
    frames = list(inputs.source.frames())
    assert set(frames[3].images) == set(result.rig.cameras)
    assert frames[0].images["cam00"].shape == (48, 64, 3)


def test_image_folders_without_loss(tmp_path: Path, rig: Rig, write_image_folders, show):
    folder = tmp_path / "capture"
    write_image_folders(folder / "images", 2)
    write_camera_object(folder / "cameras.json", rig)
    words = [f"input={folder}", f"output={tmp_path / 'out'}", "workers=1", *QUICK]
    result = prepare(load_config(PrepareConfig, None, [*words, "scene=other"]))
    assert result.scene.name == "other"
    path = result.scene.frame_path(1) / "images" / "cam04.png"
    np.testing.assert_array_equal(np.array(Image.open(path)), show(4, 1))


def test_distortion_is_taken_out(capture: Path, run, rig: Rig, tmp_path: Path, save_png):
    lenses = {
        name: Distortion.from_coefficients(camera, (-0.1, 0.02, 0.001, 0.0))
        for name, camera in rig.cameras.items()
    }
    shutil.rmtree(capture)
    stored = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for name in rig.cameras:
        save_png(capture / "images" / name / "0.png", stored)
    write_camera_object(capture / "cameras.json", replace(rig, distortion=lenses))
    result = run()
    camera = result.rig.cameras["cam00"]
    assert not result.rig.distortion
    expected = Undistorter(lenses["cam00"], lenses["cam00"].undistorted())(stored)
    found = np.array(Image.open(result.scene.frame_path(0) / "images" / "cam00.png"))
    np.testing.assert_array_equal(found, expected)
    assert camera.fx == pytest.approx(lenses["cam00"].undistorted().fx)


def test_size_and_scale(run, tmp_path: Path):
    result = run("images.scale=0.5", "images.format=jpg")
    camera = result.rig.cameras["cam00"]
    assert (camera.width, camera.height, camera.fx) == (32, 24, 30.0)
    with Image.open(result.scene.frame_path(0) / "images_r2" / "cam00.jpg") as image:
        assert image.size == (16, 12)
    assert not (result.scene.frame_path(0) / "images_512").exists()
    assert load_config(RunConfig, result.config).data.network_images is None
    with pytest.raises(SceneError, match=r"images\.size: 50 x 50 does not have the shape"):
        run("images.size=[50,50]", "scene=other")


def test_halves_round_to_even():
    assert half_size(2704, 2028) == (1352, 1014)
    assert half_size(1081, 1083) == (540, 542)


def test_several_processes_write_the_same(run, tmp_path: Path):
    one = run("frames='3'")
    two = run("frames='3'", "workers=2", "scene=second")
    for path in one.scene.path.rglob("*.png"):
        other = two.scene.path / path.relative_to(one.scene.path)
        assert path.read_bytes() == other.read_bytes()


class CutOffError(Exception):
    """Stands for the user's interruption."""


def test_cut_off_and_taken_up(run, monkeypatch: pytest.MonkeyPatch):
    def stop(progress: PrepareProgress) -> None:
        if progress.stage == "images" and progress.done >= 8:
            raise CutOffError

    with pytest.raises(CutOffError):
        run(progress=stop)
    with pytest.raises(SceneError, match="prepared already; --resume goes on"):
        run()
    seen: list[PrepareProgress] = []
    result = run(resume=True, progress=seen.append)
    assert 0 < result.decoded < 30
    assert (seen[0].done, seen[0].total) == (30 - result.decoded, 30)
    assert not list(result.scene.path.rglob("*.part"))
    whole = run("scene=whole")
    for path in whole.scene.path.rglob("*.png"):
        other = result.scene.path / path.relative_to(whole.scene.path)
        assert path.read_bytes() == other.read_bytes()
    again = run(resume=True)
    assert again.decoded == 0


def test_a_file_that_was_lost_is_made_again(run):
    result = run()
    lost = result.scene.frame_path(3) / "images_r2" / "cam01.png"
    kept = result.scene.frame_path(3) / "images" / "cam01.png"
    before, time = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    assert run(resume=True).decoded == 1
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == time


def test_other_settings_are_refused(run, capture: Path, write_video):
    run()
    with pytest.raises(SceneError, match=r"begun with images\.scale=None, now it is 0\.5"):
        run("images.scale=0.5", resume=True)
    assert run("workers=2", resume=True).decoded == 0
    write_video(capture / "cam00.mp4", 0, 6, fps=30, size=(128, 96))
    with pytest.raises(SceneError, match=r"begun with pictures\.cam00="):
        run(resume=True)


def test_an_output_of_someone_else(run, tmp_path: Path):
    (tmp_path / "out" / "toy").mkdir(parents=True)
    (tmp_path / "out" / "toy" / "thesis.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(SceneError, match="holds something that igs prepare did not write"):
            run(resume=resume)


def test_a_disk_that_is_too_small(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tiny = SimpleNamespace(total=10, used=0, free=1000)
    monkeypatch.setattr(igs.prepare.disk.shutil, "disk_usage", lambda path: tiny)
    with pytest.raises(SceneError, match=r"disk is too small: 30 pictures of .* GB free.*--frames"):
        run()
    assert not (tmp_path / "out").exists()


def test_the_estimate_of_disk_holds(run, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    result = run()
    need = float(caplog.text.split("about ")[1].split(" GB")[0]) * 1e9
    written = sum(path.stat().st_size for path in result.scene.path.rglob("*.png"))
    assert written <= need + 5e6  # the text rounds to 0.01 GB


def test_a_damaged_image_is_named(
    tmp_path: Path, rig: Rig, write_image_folders: Callable[..., None]
):
    folder = tmp_path / "capture"
    write_image_folders(folder, 3)
    write_camera_object(folder / "cameras.json", rig)
    path = folder / "cam04" / "000002.png"
    path.write_bytes(path.read_bytes()[:-40])
    words = [f"input={folder}", f"output={tmp_path / 'out'}", "workers=1", *QUICK]
    with pytest.raises(SceneError, match=r"cam04/000002\.png: is cut off or damaged"):
        prepare(load_config(PrepareConfig, None, words))
    assert len(list((tmp_path / "out").rglob("images/*.png"))) == 14
    assert not list((tmp_path / "out").rglob("*.part"))


def test_pictures_that_do_not_fit_their_camera(run, capture: Path, write_video):
    write_video(capture / "cam01.mp4", 1, 6, size=(64, 64))
    with pytest.raises(SceneError, match=r"cam01\.mp4: 64 x 64 pixels do not have the shape"):
        run()


def test_cameras_of_different_resolution_are_said(
    run, capture: Path, write_video, caplog: pytest.LogCaptureFixture
):
    write_video(capture / "cam01.mp4", 1, 6, size=(128, 96))
    result = run()
    assert result.rig.cameras["cam01"].fx == pytest.approx(120)
    assert "cameras differ in resolution, each keeps its own" in caplog.text
    assert "128 x 96: cam01" in caplog.text


def test_cameras_that_are_not_known(run, capture: Path):
    (capture / "cameras.json").unlink()
    with pytest.raises(SceneError, match=r"no camera file here .*cameras\.mode=estimate"):
        run("cameras.mode=given")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ("cam02",)),
        (["held_out=[]"], ()),
        (["held_out=[cam04,0]"], ("cam04", "cam00")),
        (["held_out=['every:2']"], ("cam00", "cam02", "cam04")),
    ],
)
def test_held_out(run, words: list[str], expected: tuple[str, ...]):
    assert run("frames='1'", *words).rig.held_out == expected


BOX = "box.bounds=[[-1,-1,3],[1,1,5]]"


def test_input_views(run):
    result = run("frames='1'", BOX, "inputs=[cam03,'0',cam04]")
    views = load_config(RunConfig, result.config).views
    assert list(views.inputs) == ["cam03", "cam00", "cam04"]
    with Image.open(result.scene.path / "box.png") as image:
        assert image.size == (960, 720)  # three views, two in a row
    result = run("frames='1'", "inputs=[cam01]", "scene=none")
    assert list(load_config(RunConfig, result.config).views.inputs) == ["cam01"]


def test_input_views_that_cannot_be(run, tmp_path: Path):
    with pytest.raises(SceneError, match="'cam02' is held out"):
        run("inputs=[cam01,cam02]")
    with pytest.raises(SceneError, match="did you mean 'cam04'"):
        run("inputs=[cam40]")
    with pytest.raises(SceneError, match="name at least one"):
        run("inputs=[]")
    assert not (tmp_path / "out" / "toy" / "colmap_0").exists()


def test_box_and_views_may_be_mended(run):
    """What a person changes after a look at box.png costs no image."""
    first = run("frames='2'", BOX, "held_out=[cam00]")
    words = ("box.bounds=[[-2,-2,2],[2,2,6]]", "inputs=[cam01,cam04]", "held_out=[cam03]")
    again = run("frames='2'", *words, resume=True)
    assert (first.decoded, again.decoded) == (10, 0)
    assert again.scene.box() == Box(np.array([-2, -2, 2]), np.array([2, 2, 6]))
    views = load_config(RunConfig, again.config).views
    assert (views.inputs, views.held_out) == (["cam01", "cam04"], ["cam03"])
    noted = json.loads((again.scene.path / "prepare.json").read_text())
    assert noted["settings"]["inputs"] == ["cam01", "cam04"]
    assert again.config == first.config


def test_an_edited_stream_config_stays(run, caplog: pytest.LogCaptureFixture):
    path = run("frames='2'", BOX).config
    new = path.with_name("stream.yaml.new")
    edited = path.read_text() + "seed: 7\n"
    path.write_text(edited)
    for inputs in ("inputs=[cam01,cam04]", "inputs=[cam00,cam03]"):  # still edited the second time
        assert run("frames='2'", BOX, inputs, resume=True).config == path
        assert "stream.yaml: was edited and stays" in caplog.text
        caplog.clear()
    assert path.read_text() == edited
    assert load_config(RunConfig, new).views.inputs == ["cam00", "cam03"]
    assert f"igs stream --config {path}\n" in new.read_text()
    new.replace(path)  # whoever takes the new one has nothing edited
    run("frames='2'", BOX, inputs, resume=True)
    run("frames='2'", BOX, "inputs=[cam01,cam04]", resume=True)
    assert load_config(RunConfig, path).views.inputs == ["cam01", "cam04"]
    assert not new.exists()
    path.unlink()  # nor has whoever removes it
    run("frames='2'", BOX, inputs, resume=True)
    assert load_config(RunConfig, path).views.inputs == ["cam00", "cam03"]
    assert "was edited" not in caplog.text


def test_a_stream_config_of_before_is_kept_unless_it_is_the_same(run):
    """Earlier versions noted no digest."""
    result = run("frames='2'", BOX)
    record, text = result.scene.path / "prepare.json", result.config.read_text()
    for words, kept in (((), False), (("inputs=[cam01,cam04]",), True)):
        noted = json.loads(record.read_text())
        del noted["stream_config_sha256"]
        record.write_text(json.dumps(noted))
        run("frames='2'", BOX, *words, resume=True)
        assert result.config.read_text() == text
        assert result.config.with_name("stream.yaml.new").exists() == kept


def test_scenes_of_one_output_keep_their_configs(run, tmp_path: Path):
    first, other = run("frames='1'"), run("frames='1'", "scene=other")
    assert (first.config.name, other.config.name) == ("stream.yaml", "stream_other.yaml")
    read = [load_config(RunConfig, result.config) for result in (first, other)]
    assert [config.data.scene for config in read] == ["toy", "other"]
    assert [Path(config.output).name for config in read] == ["run", "run_other"]
    assert run("frames='1'", resume=True).config == first.config
    assert run("frames='1'", "scene=other", resume=True).config == other.config


def test_a_config_of_someone_else_stays(run, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "stream.yaml").write_text("mine: 1\n")
    assert run("frames='1'").config.name == "stream_toy.yaml"
    assert (tmp_path / "out" / "stream.yaml").read_text() == "mine: 1\n"


def test_held_out_that_cannot_be(run):
    with pytest.raises(SceneError, match="did you mean 'cam04'"):
        run("held_out=[cam40]")
    with pytest.raises(SceneError, match="none is left to train on"):
        run("held_out=[0,1,2,3,4]")
    with pytest.raises(SceneError, match="must look like every:8"):
        run("held_out=['every:1']")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("kind=n3d", "kind: 'n3d' must be one of auto"),
        ("images.folders=[images_512]", "needs images or images_r2"),
        ("images.work=images_r4", "images.work: 'images_r4' must be one of"),
        ("images.scale=0", "images.scale: 0.0 must be positive"),
        ("workers=0", "workers: 0 must be at least 1"),
        ("sync.mode=guess", "sync.mode: 'guess' must be one of off, report, apply"),
        ("box.bounds=[[0,0,0]]", "box.bounds: needs two corners"),
        ("image.scale=1", "did you mean images"),
    ],
)
def test_settings_that_cannot_be(run, word: str, message: str):
    with pytest.raises(ConfigError, match=message):
        run(word)


def test_the_command(capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "done"
    words = ["--frames", "2", "--held-out", "cam00,3", "--workers", "1", *QUICK]
    assert main(["prepare", str(capture), str(out), *words]) == 0
    said = capsys.readouterr().out
    assert "2 frames of 5 cameras" in said
    assert f"igs stream --config {out / 'stream.yaml'}" in said
    record = json.loads((out / "toy" / "prepare.json").read_text())
    assert record["settings"]["held_out"] == ["cam00", "3"]
    assert "results" in record
    assert main(["prepare", str(tmp_path / "nowhere"), str(out), *QUICK]) == 2
    assert "nowhere: no such folder" in capsys.readouterr().err


def test_missing_steps_are_found_by_their_files(run):
    result = run("frames='2'")
    task = ViewTask(
        view=SimpleNamespace(images=()),  # type: ignore[arg-type]
        camera=result.rig.cameras["cam00"],
        lens=None,
        timing=None,
        steps=((0, 0), (1, 1), (2, 2)),
        folders=(("images", 64, 48), ("images_r2", 32, 24)),
        scene=result.scene.path,
    )
    assert task.missing().steps == ((2, 2),)


def test_cameras_too_far_apart_are_said(run, capture: Path, rig: Rig):
    assert neighbour_angle(rig) == pytest.approx(14.3, abs=1)
    result = run("frames='1'")
    assert [text.split(":")[0] for text in result.warnings] == ["4 cameras to train on"]
    assert load_config(RunConfig, result.config).free_view.path == "tour"
    turned = {}
    for angle, camera in zip((0, 100, 200, 300), rig.cameras.values(), strict=False):
        turn = Rotation.from_euler("y", angle, degrees=True).as_matrix()
        pose = np.eye(4)
        pose[:3, :3], pose[2, 3] = turn, 3.0
        turned[camera.name] = replace(camera, world_to_camera=pose)
    assert neighbour_angle(Rig(turned)) == pytest.approx(80, abs=25)


def test_parallel_cameras_are_near_each_other(rig: Rig):
    cameras = []
    for i, camera in enumerate(rig.cameras.values()):
        pose = np.eye(4)
        pose[0, 3] = i
        cameras.append(replace(camera, world_to_camera=pose))
    assert neighbour_angle(Rig.of(cameras)) == 0
