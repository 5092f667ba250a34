"""The box around what moves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from igs.prepare.box_picture import box_segments, box_silhouette
from igs.prepare.change_masks import change_masks
from igs.prepare.moving_box import (
    MovingBoxSettings,
    draw_moving_box,
    find_moving_box,
    without_outliers,
)
from igs.scene import Box, SceneError, VideoFolderSource, read_rig

ROOT = Path(__file__).resolve().parents[2]


def _load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


rendered = _load("prepare_rendered", Path(__file__).with_name("rendered.py"))
QUICK = MovingBoxSettings(
    width=120, num_frames=6, sweep_frames=2, sweep_width=96, sweep_depths=32, cells=24
)


@pytest.fixture(scope="module")
def cameras():
    return rendered.arc()


@pytest.fixture(scope="module")
def frames(cameras):
    times = np.linspace(0, 1, 6)
    return [
        {name: rendered.picture(c, rendered.ball_at(t)) for name, c in cameras.items()}
        for t in times
    ]


def test_box_holds_the_moving_ball_and_little_else(cameras, frames) -> None:
    found = find_moving_box(cameras, frames, QUICK)
    low = rendered.ball_at(0) - rendered.RADIUS
    high = rendered.ball_at(1) + rendered.RADIUS
    rng = np.random.default_rng(0)
    sphere = rng.normal(size=(4000, 3))
    sphere *= rendered.RADIUS / np.linalg.norm(sphere, axis=1, keepdims=True)
    surface = np.concatenate([rendered.ball_at(t) + sphere for t in np.linspace(0, 1, 9)])
    assert found.box.contains(surface).mean() >= 0.99
    assert np.prod(found.box.size) <= 3 * np.prod(high - low)
    assert set(found.views) == set(cameras)
    assert min(found.explained.values()) > 0.95


def test_same_frames_give_the_same_box(cameras, frames) -> None:
    once, twice = (find_moving_box(cameras, frames, QUICK).box for _ in range(2))
    assert once == twice


def test_noise_and_exposure_drift_are_no_motion(cameras, frames) -> None:
    rng = np.random.default_rng(1)
    still = frames[0]["cam3"].astype(np.float64)
    shots = [
        np.clip(still * (1 + 0.04 * k) + rng.normal(0, 2, still.shape), 0, 255).astype(np.uint8)
        for k in range(6)
    ]
    assert change_masks(shots).mean() < 0.002


def test_moved_pixels_are_marked_in_spite_of_drift(cameras, frames) -> None:
    shots = [
        np.clip(images["cam3"] * (1 + 0.03 * k), 0, 255).astype(np.uint8)
        for k, images in enumerate(frames)
    ]
    masks = change_masks(shots)
    camera, center = cameras["cam3"], rendered.ball_at(0)
    around = box_silhouette(camera, Box(center - rendered.RADIUS / 2, center + rendered.RADIUS / 2))
    assert masks[0][around].mean() > 0.9
    assert masks[0].mean() < 0.5


def test_nothing_moves_is_an_error_that_says_so(cameras, frames) -> None:
    with pytest.raises(SceneError, match="nothing moves"):
        find_moving_box(cameras, [frames[0]] * 4, QUICK)


def test_motion_in_one_view_only_is_an_error_that_names_it(cameras, frames) -> None:
    shots = [{**frames[0], "cam2": images["cam2"]} for images in frames]
    with pytest.raises(SceneError, match="cam2"):
        find_moving_box(cameras, shots, QUICK)


def test_views_of_different_moments_and_places_have_no_common_motion(cameras, frames) -> None:
    shots = [
        {n: images[n] if n in ("cam0", "cam6") else frames[0][n] for n in cameras}
        for images in frames
    ]
    with pytest.raises(SceneError, match="no place in space"):
        find_moving_box(cameras, shots, QUICK)


def test_few_cameras_frames_or_a_missing_image_are_refused(cameras, frames) -> None:
    with pytest.raises(SceneError, match="2 cameras"):
        find_moving_box({"cam0": cameras["cam0"]}, frames, QUICK)
    with pytest.raises(SceneError, match="2 frames"):
        find_moving_box(cameras, frames[:1], QUICK)
    broken = {n: i for n, i in frames[1].items() if n != "cam6"}
    with pytest.raises(SceneError, match="frame 1 has no image of camera cam6"):
        find_moving_box(cameras, [frames[0], broken], QUICK)


def test_far_small_cluster_is_cut() -> None:
    rng = np.random.default_rng(0)
    body, speck = rng.uniform(0, 1, (5000, 3)), rng.uniform(5, 5.05, (10, 3))
    kept = without_outliers(np.concatenate([body, speck]), 0.005)
    assert kept.max() <= 1
    assert len(kept) > 4900


def test_box_drawn_into_views(cameras, frames, tmp_path) -> None:
    box = Box(np.array([-1, -0.4, -0.3]), np.array([1, 0.4, 0.5]))
    masks = {name: np.zeros((90, 120), bool) for name in cameras}
    path = tmp_path / "box.png"
    draw_moving_box(path, cameras, frames[0], box, masks, max_views=3, width=200)
    with Image.open(path) as image:
        assert image.size == (400, 300)
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels == (255, 220, 0)).all(axis=2).sum() > 300


def test_edges_behind_the_camera_are_cut(cameras) -> None:
    inside = Box(cameras["cam0"].center - 0.5, cameras["cam0"].center + 0.5)
    segments = box_segments(cameras["cam0"], inside)
    assert 0 < len(segments) < 12
    assert np.isfinite(np.array(segments)).all()
    assert box_silhouette(cameras["cam0"], inside).all()


@pytest.mark.slow
def test_box_of_the_demo_scene() -> None:
    sys.path.insert(0, str(ROOT / "script"))
    try:
        from demo_scene.stage import (  # pyright: ignore[reportMissingImports]
            motion_box,
            moving,
        )
    finally:
        sys.path.pop(0)
    folder = ROOT / "examples" / "demo_scene"
    source = VideoFolderSource(folder, read_rig(folder / "cameras.json"))
    frames = [f.images for f in source.frames() if f.index in (0, 10, 21, 32, 42, 59)]
    found = find_moving_box(source.cameras, frames, MovingBoxSettings(sweep_frames=2))
    moments = np.arange(60) / 30
    vertices = np.concatenate([m.vertices for t in moments[::3] for _, m in moving(float(t))])
    low, high = motion_box(moments, margin=0.0)
    assert found.box.contains(vertices).mean() >= 0.99
    assert np.prod(found.box.size) <= 3 * np.prod(high - low)
