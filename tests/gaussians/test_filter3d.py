"""The 3D filter: against the original's numbers, and by its own definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from igs.gaussians import Gaussians, apply_filter_3d, compute_filter_3d, reset_opacity
from igs.scene import Camera


def fixture_gaussians(frame0: dict[str, np.ndarray]) -> Gaussians:
    n = len(frame0["f3_xyz"])
    return Gaussians(
        torch.from_numpy(frame0["f3_xyz"]),
        torch.from_numpy(frame0["f3_scaling_log"]),
        torch.eye(4)[:1].repeat(n, 1),
        torch.from_numpy(frame0["f3_opacity_logit"])[:, 0],
        torch.zeros(n, 1, 3),
    )


def fixture_cameras(frame0: dict[str, np.ndarray]) -> list[Camera]:
    cameras = []
    while f"f3_R{len(cameras)}" in frame0:
        v = len(cameras)
        pose = np.eye(4)
        # Stored transposed: a camera point is `xyz @ R + T`.
        pose[:3, :3] = frame0[f"f3_R{v}"].T
        pose[:3, 3] = frame0[f"f3_T{v}"]
        width, height = (int(s) for s in frame0[f"f3_wh{v}"])
        fx, fy = (
            size / (2 * math.tan(fov / 2))
            for size, fov in zip((width, height), frame0[f"f3_fov{v}"], strict=True)
        )
        cameras.append(Camera(str(v), width, height, fx, fy, width / 2, height / 2, pose))
    return cameras


@pytest.mark.parity
def test_filter_matches_the_original(frame0: dict[str, np.ndarray]) -> None:
    gaussians = fixture_gaussians(frame0)
    filter_3d = compute_filter_3d(gaussians.means, fixture_cameras(frame0))
    np.testing.assert_allclose(filter_3d.numpy(), frame0["f3_filter_3D"][:, 0], rtol=2e-6)


@pytest.mark.parity
def test_applied_filter_matches_the_original(frame0: dict[str, np.ndarray]) -> None:
    filter_3d = torch.from_numpy(frame0["f3_filter_3D"])[:, 0]
    got = apply_filter_3d(fixture_gaussians(frame0), filter_3d)
    np.testing.assert_allclose(got.scales.numpy(), frame0["f3_scales"], rtol=2e-6)
    np.testing.assert_allclose(got.opacities.numpy(), frame0["f3_opacities"][:, 0], atol=1e-6)


@pytest.mark.parity
def test_opacity_reset_matches_the_original(frame0: dict[str, np.ndarray]) -> None:
    filter_3d = torch.from_numpy(frame0["f3_filter_3D"])[:, 0]
    got = reset_opacity(fixture_gaussians(frame0), filter_3d).sigmoid()
    wanted = torch.from_numpy(frame0["reset_opacity_logit"])[:, 0].sigmoid()
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)


def camera_at(z: float, fx: float = 100.0, cx: float = 50.0) -> Camera:
    pose = np.eye(4)
    pose[2, 3] = -z
    return Camera(f"z{z}", 100, 80, fx, fx, cx, 40.0, pose)


def one(log_scale: float, logit: float, dtype: torch.dtype = torch.float32) -> Gaussians:
    return Gaussians(
        torch.zeros(1, 3, dtype=dtype),
        torch.full((1, 3), log_scale, dtype=dtype),
        torch.ones(1, 4, dtype=dtype),
        torch.tensor([logit], dtype=dtype),
        torch.zeros(1, 1, 3, dtype=dtype),
    )


def test_nearest_seeing_camera_and_largest_focal_length_count() -> None:
    points = torch.tensor([[0, 0, 5.0], [0, 0, 0.1], [0, 0, 9.0], [1000, 0, 5.0]])
    filter_3d = compute_filter_3d(points, [camera_at(0, 100), camera_at(4, 200)])
    # Depths 1, (too near), 5 and (outside, so the farthest seen: 5).
    wanted = torch.tensor([1, 5, 5, 5]) * math.sqrt(0.2) / 200
    torch.testing.assert_close(filter_3d, wanted)


def test_principal_point_moves_the_visible_range() -> None:
    points = torch.tensor([[0.0, 0, 1], [-0.8, 0, 2.0]])  # u = cx - 40
    seen = compute_filter_3d(points, [camera_at(0, cx=50)])
    unseen = compute_filter_3d(points, [camera_at(0, cx=20)])
    assert seen[1] == pytest.approx(2 * seen[0].item())
    assert unseen[1] == unseen[0]


def test_no_camera_sees_anything() -> None:
    with pytest.raises(ValueError, match="none of the 1 cameras sees any of the 2 points"):
        compute_filter_3d(torch.zeros(2, 3), [camera_at(0)])
    with pytest.raises(ValueError, match="at least one camera"):
        compute_filter_3d(torch.zeros(2, 3), [])
    assert compute_filter_3d(torch.zeros(0, 3), [camera_at(0)]).shape == (0,)


def test_zero_filter_changes_no_bit() -> None:
    gaussians = Gaussians(
        torch.randn(50, 3), torch.randn(50, 3) * 5, torch.randn(50, 4), torch.randn(50) * 8,
        torch.randn(50, 4, 3),
    )  # fmt: skip
    got = apply_filter_3d(gaussians, torch.zeros(50))
    assert torch.equal(got.log_scales, gaussians.log_scales)
    torch.testing.assert_close(got.opacity_logits, gaussians.opacity_logits, rtol=1e-6, atol=0)


@pytest.mark.parametrize("logit", [-200.0, -20.0, 0.0, 20.0, 90.0])
@pytest.mark.parametrize("log_scale", [-60.0, -3.0, 4.0])
def test_extremes_stay_finite_and_differentiable(logit: float, log_scale: float) -> None:
    gaussians = one(log_scale, logit).map(lambda t: t.requires_grad_())
    got = apply_filter_3d(gaussians, torch.tensor([0.01]))
    (got.log_scales.sum() + got.opacities.sum()).backward()
    for tensor in (got.log_scales, got.opacities, *(t.grad for t in (gaussians.log_scales,
                                                    gaussians.opacity_logits))):  # fmt: skip
        assert tensor is not None
        assert tensor.isfinite().all()
    exact = torch.tensor(logit).double().sigmoid() * torch.exp(
        3 * (log_scale - got.log_scales[0, 0].detach().double())
    )
    torch.testing.assert_close(got.opacities[0].detach().double(), exact, rtol=1e-4, atol=1e-30)


def test_gradients() -> None:
    gaussians = one(-2.0, 1.5, torch.float64)

    def function(log_scales: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        got = apply_filter_3d(
            gaussians.replace(log_scales=log_scales, opacity_logits=logits),
            torch.tensor([0.1], dtype=torch.float64),
        )
        return got.log_scales, got.opacity_logits

    inputs = (gaussians.log_scales.requires_grad_(), gaussians.opacity_logits.requires_grad_())
    assert torch.autograd.gradcheck(function, inputs)


def test_reset_caps_the_opacity_as_rendered() -> None:
    gaussians = one(-2.0, 3.0)
    plain = reset_opacity(gaussians)
    assert plain.sigmoid().item() == pytest.approx(0.01)
    filter_3d = torch.tensor([0.3])
    filtered = gaussians.replace(opacity_logits=reset_opacity(gaussians, filter_3d))
    assert apply_filter_3d(filtered, filter_3d).opacities.item() == pytest.approx(0.01)
    faint = one(-2.0, -7.0)
    assert torch.equal(reset_opacity(faint), faint.opacity_logits)


def test_filter_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"filter_3d: shape \(2,\) must be \(1,\)"):
        apply_filter_3d(one(0, 0), torch.zeros(2))
