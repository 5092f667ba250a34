"""Camera paths: where they go and where they look."""

from __future__ import annotations

import numpy as np
import pytest

from igs.render import focus_point, interpolate_cameras, look_at, orbit_path, spiral_path, tour_path
from igs.scene import Camera

FOCUS = np.array([1.0, -2.0, 5.0])
UP = np.array([0.0, -1.0, 0.0])


def camera_looking(center: np.ndarray, target: np.ndarray = FOCUS, name: str = "c") -> Camera:
    world_to_camera = np.linalg.inv(look_at(np.asarray(center, float), target, UP))
    return Camera(name, 100, 80, 90.0, 91.0, 49.0, 41.0, world_to_camera)


def rig(shift: np.ndarray | float = 0.0) -> list[Camera]:
    """An arc of seven cameras, of two heights, that looks at the focus."""
    cameras = []
    for i, angle in enumerate(np.linspace(-0.6, 0.6, 7)):
        arm = np.array([6 * np.sin(angle), 0.4 * (i % 2), -6 * np.cos(angle)])
        cameras.append(camera_looking(FOCUS + arm + shift, FOCUS + shift, f"cam{i}"))
    return cameras


def pixel(camera: Camera, point: np.ndarray) -> np.ndarray:
    projected = camera.intrinsics @ (camera.world_to_camera[:3] @ np.append(point, 1.0))
    return projected[:2] / projected[2]


def image_up(camera: Camera) -> np.ndarray:
    return -camera.world_to_camera[1, :3]


def test_look_at_puts_the_target_in_the_centre_and_up_up() -> None:
    camera = camera_looking(np.array([3.0, 0, -4]))
    np.testing.assert_allclose(pixel(camera, FOCUS), [49, 41], atol=1e-9)
    assert image_up(camera) @ UP > 0.9
    above = pixel(camera, FOCUS + 0.1 * UP)
    assert above[1] < 41, "what is above the target is above it in the image"


def test_focus_is_where_the_axes_meet() -> None:
    np.testing.assert_allclose(focus_point(rig()), FOCUS, atol=1e-9)


def test_focus_needs_axes_that_meet_before_the_cameras() -> None:
    parallel = [camera_looking(np.array([i, 0, 0]), np.array([i, 0, 1.0])) for i in range(3)]
    with pytest.raises(ValueError, match="parallel"):
        focus_point(parallel)
    outward = [camera_looking(np.array([i, 0, 0]), np.array([2.0 * i, 0, 1])) for i in (-1, 1)]
    with pytest.raises(ValueError, match="behind"):
        focus_point(outward)


def test_spiral_looks_at_the_focus_from_within_the_rig() -> None:
    cameras = rig()
    path = spiral_path(cameras, 60)
    assert len(path) == len({camera.name for camera in path}) == 60
    centers = np.stack([camera.center for camera in cameras])
    for camera in path:
        np.testing.assert_allclose(pixel(camera, FOCUS), [49, 41], atol=1e-6)
        assert image_up(camera) @ UP > 0.9
        assert np.linalg.norm(camera.center - centers.mean(0)) < 3.6
    width = np.ptp([camera.center[0] for camera in path])
    assert width == pytest.approx(
        2 * np.percentile(abs(centers[:, 0] - centers[:, 0].mean()), 90), rel=0.02
    )
    other = spiral_path(cameras, 5, focus=FOCUS + 1)
    np.testing.assert_allclose(pixel(other[3], FOCUS + 1), [49, 41], atol=1e-6)


def test_spiral_does_not_depend_on_the_origin_but_the_released_one_does() -> None:
    shift = np.array([40.0, -3, 7])
    for legacy in (False, True):
        near = np.stack([c.center for c in spiral_path(rig(), 20, legacy=legacy)])
        far = np.stack([c.center for c in spiral_path(rig(shift), 20, legacy=legacy)])
        assert np.allclose(far - shift, near) is not legacy


def test_released_spiral_follows_its_formula() -> None:
    """Written out once more, from the spec and with plain loops."""
    cameras = rig()
    backs, ups, positions = [], [], []
    for camera in cameras:
        pose = np.linalg.inv(camera.world_to_camera)
        backs.append(-pose[:3, 2])
        ups.append(-pose[:3, 1])
        positions.append(pose[:3, 3])
    z = np.mean(backs, axis=0)
    z /= np.linalg.norm(z)
    x = np.cross(z, np.mean(ups, axis=0))
    x /= np.linalg.norm(x)
    y = np.cross(x, z)
    up = np.sum(ups, axis=0) / np.linalg.norm(np.sum(ups, axis=0))
    center = np.mean(positions, axis=0)
    rads = np.percentile(np.abs(positions), 90, axis=0)
    path = spiral_path(cameras, legacy=True)
    assert len(path) == 299
    for i in (0, 1, 77, 298):
        theta = 4 * np.pi * i / 299
        c = x * rads[0] * np.cos(theta) - y * rads[1] * np.sin(theta)
        c = c - z * rads[2] * np.sin(theta / 2) + center
        b = c - (center - 18.35 * z)
        b /= np.linalg.norm(b)
        r = np.cross(up, b)
        r /= np.linalg.norm(r)
        v = np.cross(b, r)
        np.testing.assert_allclose(path[i].center, c, atol=1e-9)
        wanted = np.stack([r, -v, -b], axis=1)
        np.testing.assert_allclose(path[i].camera_to_world[:3, :3], wanted, atol=1e-6)


def test_orbit_keeps_distance_and_focus() -> None:
    start = rig()[0]
    path = orbit_path(start, FOCUS, 8, up=UP)
    np.testing.assert_allclose(path[0].world_to_camera, start.world_to_camera, atol=1e-9)
    for camera in path:
        np.testing.assert_allclose(pixel(camera, FOCUS), [49, 41], atol=1e-6)
        assert np.linalg.norm(camera.center - FOCUS) == pytest.approx(
            np.linalg.norm(start.center - FOCUS)
        )
    opposite = path[4].center - FOCUS
    np.testing.assert_allclose(opposite[[0, 2]], -(start.center - FOCUS)[[0, 2]], atol=1e-9)


@pytest.mark.parametrize("around", [None, FOCUS])
def test_interpolation_starts_and_ends_at_its_cameras(around: np.ndarray | None) -> None:
    start, end = rig()[0], rig()[6].resized(200, 160)
    path = interpolate_cameras(start, end, 5, around=around)
    for camera, wanted in ((path[0], start), (path[-1], end.resized(100, 80))):
        np.testing.assert_allclose(camera.world_to_camera, wanted.world_to_camera, atol=1e-9)
        assert (camera.width, camera.fx, camera.cy) == (100, wanted.fx, wanted.cy)
    distance = np.linalg.norm(path[2].center - FOCUS)
    if around is None:
        np.testing.assert_allclose(path[2].center, (start.center + end.center) / 2)
        assert distance < 5.5
    else:
        assert distance == pytest.approx(6, rel=1e-3)


def test_tour_stops_at_every_camera() -> None:
    cameras = rig()
    path = tour_path(cameras, 4)
    assert len(path) == 25
    for i, camera in enumerate(cameras):
        np.testing.assert_allclose(path[4 * i].world_to_camera, camera.world_to_camera, atol=1e-9)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="no cameras"):
        spiral_path([], 3)
    with pytest.raises(ValueError, match="0 views"):
        spiral_path(rig(), 0)
    with pytest.raises(ValueError, match="at least two"):
        tour_path(rig()[:1], 3)
    with pytest.raises(ValueError, match="up lies along the view"):
        look_at(np.zeros(3), np.array([0, 1.0, 0]), UP)
    facing = camera_looking(2 * FOCUS - rig()[0].center)
    with pytest.raises(ValueError, match="across `around`"):
        interpolate_cameras(rig()[0], facing, 3, around=FOCUS)
