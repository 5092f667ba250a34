"""The demo scene: its geometry and animation, and the videos and cameras that are kept."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from script.demo_scene import artwork, cameras, figure, geometry, motion, stage, video  # noqa: E402

DATA = ROOT / "examples" / "demo_scene"
TIMES = np.arange(60) / 30
PLACE = np.zeros(3)


# Geometry


@pytest.mark.parametrize(
    "mesh",
    [
        geometry.box([0.4, 0.6, 0.2]),
        geometry.ellipsoid([0.2, 0.3, 0.1]),
        geometry.capsule(0.3, 0.08, 0.05, flat=0.7),
    ],
    ids=["box", "ellipsoid", "capsule"],
)
def test_solids_face_outwards(mesh):
    corners = mesh.vertices[mesh.faces]
    crossed = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = np.einsum("ij,ij->", corners[:, 0], crossed) / 6
    assert volume > 0
    area = np.linalg.norm(crossed, axis=1)
    mean_normal = mesh.normals[mesh.faces].mean(axis=1)
    agree = np.einsum("ij,ij->i", crossed, mean_normal)[area > 1e-9]
    assert (agree > 0).all()


def test_ellipsoid_has_its_volume():
    mesh = geometry.ellipsoid([0.2, 0.3, 0.1], 96)
    corners = mesh.vertices[mesh.faces]
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 0.2 * 0.3 * 0.1, rel=0.01)


@pytest.mark.parametrize("axis", "xyz")
def test_rotation_is_right_handed(axis):
    R = geometry.rotation(axis, 0.3)
    i = "xyz".index(axis)
    turned = R @ np.eye(3)[(i + 1) % 3]
    assert turned[(i + 2) % 3] == pytest.approx(np.sin(0.3))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1)


# Animation


def test_bones_keep_their_length_and_feet_stay_put():
    lengths = {
        ("left_arm", "left_forearm"): figure.UPPER_ARM,
        ("right_forearm", "right_hand"): figure.FOREARM,
        ("left_thigh", "left_shin"): figure.THIGH,
        ("right_shin", "right_foot"): figure.SHIN,
    }
    feet = []
    for time in TIMES:
        frames = figure.joints(time, PLACE)
        for (upper, lower), length in lengths.items():
            apart = frames[lower][:3, 3] - frames[upper][:3, 3]
            assert np.linalg.norm(apart) == pytest.approx(length, rel=1e-3)
        feet.append(frames["left_foot"][:3, 3])
    np.testing.assert_allclose(feet, np.broadcast_to(feet[0], (60, 3)), atol=1e-9)


def test_figure_waves_through_the_whole_clip():
    hand = np.stack([figure.joints(t, PLACE)["left_hand"] @ [0, 0.1, 0, 1] for t in TIMES])[:, :3]
    assert (hand[:, 1] < -1.3).all()  # above the shoulders all the time
    for second in (hand[:30], hand[30:]):
        assert np.ptp(second[:, 0]) > 0.2
    steps = np.linalg.norm(np.diff(hand, axis=0), axis=1)
    assert steps.max() < 0.08
    assert np.linalg.norm(np.diff(hand, 2, axis=0), axis=1).max() < 0.02


def test_ball_falls_freely_and_bounces():
    times = np.arange(0, 2, 1e-3)
    height = np.array([motion.ball_height(t) for t in times])
    assert height.min() >= 0
    acceleration = np.diff(height, 2) / 1e-6
    assert np.median(acceleration) == pytest.approx(-motion.GRAVITY, rel=1e-3)
    lowest = (height[1:-1] < height[:-2]) & (height[1:-1] <= height[2:]) & (height[1:-1] < 0.01)
    assert lowest.sum() >= 3
    peak = height[(times > 0.3) & (times < 0.79)].max()
    assert peak == pytest.approx(motion.BALL_DROP * motion.BALL_RESTITUTION**2, rel=0.01)


def test_cloth_hangs_from_its_rod_and_keeps_its_length():
    for time in TIMES[::6]:
        points = motion.cloth_points(time)
        np.testing.assert_allclose(points[0, :, 1:], motion.CLOTH_CORNER[None, 1:].repeat(48, 0))
        length = np.linalg.norm(np.diff(points, axis=0), axis=2).sum(axis=0)
        np.testing.assert_allclose(length, motion.CLOTH_LENGTH, rtol=1e-6)
    hem = np.stack([motion.cloth_points(t)[-1, 24] for t in TIMES])
    assert np.ptp(hem[:, 2]) > 0.1
    assert np.linalg.norm(np.diff(hem, axis=0), axis=1).max() < 0.06


def test_textures_are_seeded_and_detailed():
    for name in artwork.PAINTERS:
        image = artwork.paint(name, 3)
        assert image.shape[2] == 3
        assert image.min() >= 0
        assert image.max() <= 1
        assert image.std() > 0.01, name
    np.testing.assert_array_equal(artwork.paint("rug", 3), artwork.paint("rug", 3))
    assert not np.array_equal(artwork.paint("rug", 3), artwork.paint("rug", 4))


def test_unpacked_planes_give_the_picture_back():
    u, v = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 48))
    pixels = np.round(255 * np.stack([u, v, 0.5 + 0.4 * np.sin(3 * u)], -1)).astype(np.uint8)
    planes = video.to_planes(pixels)
    assert planes.shape == (72, 64)
    assert planes[:48].min() >= 16
    assert planes[:48].max() <= 235
    bright = (planes[:48].astype(float) - 16) * 255 / 219
    assert np.abs(bright - video.luma(pixels)).max() < 0.6


# The data that are kept


@pytest.fixture(scope="module")
def ring():
    return cameras.from_json(DATA / "cameras.json")


@pytest.fixture(scope="module")
def clips(ring):
    return {c.name: video.read_video(DATA / f"{c.name}.mp4") for c in ring}


def test_data_stay_small():
    assert sum(p.stat().st_size for p in DATA.iterdir()) <= 8_000_000


def test_cameras_are_those_of_the_script(ring):
    content = json.loads((DATA / "cameras.json").read_text(encoding="utf-8"))
    assert [c.name for c in ring] == [f"cam{i:02d}" for i in range(13)]
    splits = [entry["split"] for entry in content["cameras"].values()]
    assert splits == ["test"] + ["train"] * 12
    for camera, made in zip(ring, cameras.rig(320, 240), strict=True):
        R = camera.world_to_camera[:3, :3]
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1)
        np.testing.assert_allclose(camera.world_to_camera, made.world_to_camera, atol=1e-9)
        np.testing.assert_allclose(camera.K, made.K)
        depth = (R @ cameras.CENTRE + camera.world_to_camera[:3, 3])[2]
        assert 2 < depth < 4


def test_held_out_camera_lies_inside_the_arc(ring):
    def bearing(camera):
        x, _, z = camera.position - cameras.CENTRE
        return np.degrees(np.arctan2(x, -z))

    held_out, others = ring[0], ring[1:]
    bearings = np.array([bearing(c) for c in others])
    assert bearings.min() < -30
    assert bearings.max() > 30
    assert abs(bearing(held_out)) < 5
    apart = np.sort([np.linalg.norm(c.position - held_out.position) for c in others])
    assert apart[1] < 0.7  # two close neighbours


def test_box_holds_all_motion_and_every_camera_sees_it(ring):
    low, high = np.array(json.loads((DATA / "bbox.json").read_text("utf-8"))["demo_scene"])
    for time in TIMES[::5]:
        for name, mesh in stage.moving(time):
            assert (mesh.vertices > low).all(), name
            assert (mesh.vertices < high).all(), name
            for camera in ring:
                pixels = cameras.project(camera, mesh.vertices)
                assert ((pixels > 0) & (pixels < [camera.width, camera.height])).all(), camera.name
    tight = stage.motion_box(TIMES, margin=0.0)
    assert np.abs(tight - np.stack([low, high])).max() < 0.06


def test_videos_are_whole_and_synchronous(clips):
    for name, (times, images) in clips.items():
        assert images.shape == (60, 240, 320, 3), name
        np.testing.assert_allclose(times, TIMES, atol=1e-9)


def test_motion_is_where_the_moving_things_are(ring, clips):
    for camera in ring:
        images = clips[camera.name][1]
        spread = np.ptp(images, axis=0).max(axis=-1)
        touched = np.zeros(spread.shape, bool)
        for time in TIMES[::2]:
            for _, mesh in stage.moving(time):
                x, y = cameras.project(camera, mesh.vertices).astype(int).T
                touched[y, x] = True
        touched = binary_dilation(touched, iterations=3)
        assert (spread[touched] > 40).mean() > 0.4, camera.name
        # Shadows reach beyond, but most of the room, its upper corner above all, stands still.
        away = np.logical_not(binary_dilation(touched, iterations=4))
        assert np.median(spread[away]) < 8, camera.name


def test_consecutive_frames_differ(clips):
    for name, (_, images) in clips.items():
        steps = np.abs(np.diff(images.astype(np.int16), axis=0)) > 24
        assert (steps.any(axis=-1).mean(axis=(1, 2)) > 0.003).all(), name
