"""Cameras from images by COLMAP."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from igs.prepare.colmap_runtime import FeatureSettings, Matches, colmap_parameters
from igs.prepare.colmap_sfm import SfmSettings, reconstruct_cameras, why_unregistered
from igs.scene import Distortion, SceneError, VideoFolderSource, read_rig

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo_scene"


@pytest.fixture(scope="module")
def rig():
    return read_rig(DEMO / "cameras.json")


@pytest.fixture(scope="module")
def images(rig):
    source = VideoFolderSource(DEMO, rig, num_frames=1)
    return next(iter(source.frames())).images


def aligned(found, true):
    """Largest angle (degrees) and distance (share of the rig's radius) after a similarity."""
    names = list(found)
    a = np.stack([found[n].center for n in names])
    b = np.stack([true[n].center for n in names])
    a0, b0 = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(b0.T @ a0)
    flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ flip @ vt
    scale = np.trace(np.diag(s) @ flip) / (a0**2).sum()
    radius = np.linalg.norm(b0, axis=1).max()
    distance = np.linalg.norm(scale * a0 @ turn.T - b0, axis=1).max() / radius
    angles = []
    for n in names:
        between = true[n].world_to_camera[:3, :3] @ turn @ found[n].camera_to_world[:3, :3]
        angles.append(np.degrees(np.arccos(np.clip((np.trace(between) - 1) / 2, -1, 1))))
    return max(angles), distance


@pytest.mark.slow
def test_demo_scene_cameras_from_images_alone(rig, images) -> None:
    pytest.importorskip("pycolmap")
    result = reconstruct_cameras(images)
    assert list(result.rig.cameras) == list(rig.cameras)
    assert result.unregistered == {}
    angle, distance = aligned(result.rig.cameras, rig.cameras)
    assert angle < 0.5
    assert distance < 0.01
    assert len(result.model.points) > 500
    assert max(result.errors.values()) < 1.0
    assert min(result.observations.values()) > 50


def test_blank_view_is_left_out_with_a_reason_and_known_intrinsics_stay(rig, images) -> None:
    pytest.importorskip("pycolmap")
    names = ["cam03", "cam04", "cam05", "cam06"]
    shots = {name: images[name] for name in names}
    shots["cam06"] = np.full_like(images["cam06"], 90)
    known = {name: rig.cameras[name] for name in names}
    features = FeatureSettings(max_features=2000)
    settings = SfmSettings(min_registered=3, features=features)
    result = reconstruct_cameras(shots, settings, known)
    assert list(result.rig.cameras) == names[:3]
    assert "few features" in result.unregistered["cam06"]
    assert result.rig.cameras["cam04"].fx == pytest.approx(rig.cameras["cam04"].fx)
    angle, distance = aligned(result.rig.cameras, rig.cameras)
    assert angle < 1.0
    assert distance < 0.05
    with pytest.raises(SceneError, match="cam06: few features"):
        reconstruct_cameras(shots, SfmSettings(min_registered=4, features=features), known)


def test_images_without_texture_are_refused_with_their_features() -> None:
    pytest.importorskip("pycolmap")
    blank = np.full((60, 80, 3), 90, np.uint8)
    with pytest.raises(SceneError, match="features found: a 0, b 0"):
        reconstruct_cameras({"a": blank, "b": blank})


def test_missing_library_says_how_to_install(monkeypatch, images) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(RuntimeError, match=r"pip install \"igs\[prepare\]\""):
        reconstruct_cameras(images)


def test_ending_the_program_prints_no_stack() -> None:
    pytest.importorskip("pycolmap")
    program = (
        "import os, signal; from igs.prepare.colmap_runtime import load_pycolmap; "
        "load_pycolmap(); os.kill(os.getpid(), signal.SIGTERM)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGTERM
    assert done.stderr == ""


def test_bad_settings_are_refused(rig, images) -> None:
    with pytest.raises(SceneError, match="at least 2 images"):
        reconstruct_cameras({"cam00": images["cam00"]})
    with pytest.raises(SceneError, match="FISHEYE"):
        reconstruct_cameras(images, SfmSettings(camera_model="FISHEYE"))
    with pytest.raises(SceneError, match="no image of camera x"):
        reconstruct_cameras(images, known={"x": rig.cameras["cam00"]})


def test_reasons_follow_from_the_matches() -> None:
    pairs = {("a", "b"): np.zeros((200, 4)), ("b", "c"): np.zeros((20, 4))}
    matches = Matches({"a": 900, "b": 900, "c": 900, "d": 900, "e": 5}, pairs)
    settings = SfmSettings()
    assert "few features: 5" in why_unregistered("e", matches, ["a", "b"], settings)
    assert "no matches" in why_unregistered("d", matches, ["a", "b"], settings)
    assert "at most 20 with a placed camera (b)" in why_unregistered(
        "c", matches, ["a", "b"], settings
    )
    assert "not placed either (best b with 20" in why_unregistered("c", matches, ["a"], settings)
    assert "add a view in between" in why_unregistered("a", matches, ["b"], settings)


def test_known_lens_becomes_an_opencv_camera(rig) -> None:
    camera = rig.cameras["cam00"]
    model, values = colmap_parameters(Distortion(camera, k1=0.1, p2=0.01), 640, 480)
    assert model == "OPENCV"
    assert values == pytest.approx((2 * camera.fx, 2 * camera.fy, 320, 240, 0.1, 0, 0, 0.01))
    with pytest.raises(SceneError, match="k3"):
        colmap_parameters(Distortion(camera, k3=0.1), 640, 480)
