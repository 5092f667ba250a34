"""The lens model and the resampling that takes it out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from igs.scene import Camera, Distortion, SceneError, Undistorter


def _camera(width: int = 96, height: int = 64) -> Camera:
    return Camera("cam", width, height, 70.0, 72.0, 47.0, 33.0, np.eye(4))


def test_the_model_term_by_term():
    """Each coefficient alone moves the point (0.3, 0.4), r = 0.5, as OpenCV's manual says."""
    point = np.array([0.3, 0.4])
    wanted = {
        "k1": point * 0.25,
        "k2": point * 0.25**2,
        "k3": point * 0.25**3,
        "p1": np.array([2 * 0.12, 0.25 + 2 * 0.16]),
        "p2": np.array([0.25 + 2 * 0.09, 2 * 0.12]),
    }
    for key, shift in wanted.items():
        lens = Distortion(_camera(), **{key: 0.1})
        np.testing.assert_allclose(lens.distort(point) - point, 0.1 * shift, atol=1e-15)


def test_no_distortion_changes_nothing():
    camera = _camera()
    lens = Distortion(camera)
    assert lens.undistorted() is camera
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Undistorter(lens, camera)(image), image)


@given(k1=st.floats(-0.15, 0.15), p1=st.floats(-0.01, 0.01), p2=st.floats(-0.01, 0.01))
def test_every_pixel_has_a_source(k1, p1, p2):
    lens = Distortion(_camera(), k1=k1, p1=p1, p2=p2)
    target = lens.undistorted()
    assert target.fx >= lens.stored.fx
    u, v = np.meshgrid(np.arange(96) + 0.5, np.arange(64) + 0.5)
    ideal = np.stack([(u - target.cx) / target.fx, (v - target.cy) / target.fy], axis=-1)
    source = lens.distort(ideal) * [70, 72] + [47, 33]
    # Within the image up to its border (pixel edges at 0 and at the size).
    assert source.min() >= -1e-6
    assert (source <= np.array([96, 64]) + 1e-6).all()


def test_a_ramp_is_resampled_where_the_model_says():
    """A linear ramp shows the source position itself, so that errors read in pixels."""
    lens = Distortion(_camera(), k1=0.08, k2=-0.02, p1=0.004, p2=-0.003)
    target = lens.undistorted()
    u, v = np.meshgrid(np.arange(96) + 0.5, np.arange(64) + 0.5)
    stored = np.stack([2 * u, 3 * v, u + v], axis=-1)
    ideal = np.stack([(u - target.cx) / target.fx, (v - target.cy) / target.fy], axis=-1)
    x, y = np.moveaxis(lens.distort(ideal) * [70, 72] + [47, 33], -1, 0)
    wanted = np.stack([2 * x, 3 * y, x + y], axis=-1)
    got = Undistorter(lens, target)(np.round(stored).astype(np.uint8)).astype(float)
    inner = (slice(2, -2), slice(2, -2))
    assert np.abs(got[inner] - wanted[inner]).max() <= 1.01


def test_it_works_at_another_size():
    lens = Distortion(_camera(), k1=0.08)
    small = lens.undistorted().resized(48, 32)
    image = np.zeros((32, 48, 3), np.uint8)
    assert Undistorter(lens, small)(image).shape == (32, 48, 3)
    with pytest.raises(SceneError, match="image of 96 x 64 pixels, prepared for 48 x 32"):
        Undistorter(lens, small)(np.zeros((64, 96, 3), np.uint8))


def test_what_cannot_be_taken_out_is_refused():
    with pytest.raises(SceneError, match="too strong"):
        Distortion(_camera(), k1=50.0).undistorted()
    with pytest.raises(SceneError, match="camera 'cam': distortion must be"):
        Distortion.from_coefficients(_camera(), [float("nan")])
