"""The depth-normal term: against the original's arrays, and on surfaces that are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.frame0.losses import (
    depth_normal_loss,
    normal_angle,
    normals_from_depth,
    shape_penalty,
    view_depth_normal_loss,
)
from igs.gaussians import Gaussians
from igs.render import render
from igs.scene import Camera


@pytest.fixture(scope="session")
def golden(shared: Path) -> dict[str, np.ndarray]:
    path = shared / "parity/frame0/frame0_ops.npz"
    if not path.is_file():
        pytest.skip(f"fixture {path.name} is not there; set IGS_SHARED to the folder with parity/")
    with np.load(path) as arrays:
        return dict(arrays)


def golden_lens(golden: dict[str, np.ndarray]) -> tuple[float, float, float, float]:
    height, width = golden["dn_normal"].shape[1:]
    fx = width / (2 * math.tan(float(golden["dn_FoVx"]) / 2))
    fy = height / (2 * math.tan(float(golden["dn_FoVy"]) / 2))
    return fx, fy, width / 2, height / 2


@pytest.mark.parity
def test_normals_of_a_depth_map_match_the_original(golden: dict[str, np.ndarray]) -> None:
    depth = torch.from_numpy(
        np.concatenate([golden["dn_depth_expected"], golden["dn_depth_median"]])
    )
    got = normals_from_depth(depth, golden_lens(golden))
    np.testing.assert_allclose(got.numpy(), golden["dn_normals_from_depth"], atol=2e-5)


@pytest.mark.parity
def test_depth_normal_term_matches_the_original(golden: dict[str, np.ndarray]) -> None:
    keys = ("depth_expected", "depth_median", "normal")
    inputs = [torch.from_numpy(golden[f"dn_{k}"]).requires_grad_() for k in keys]
    expected, median, normal = inputs
    loss = depth_normal_loss(expected, median, normal, golden_lens(golden))
    assert float(loss.detach()) == pytest.approx(float(golden["dn_loss"]), abs=1e-5)
    loss.backward()
    for key, value in zip(("expected", "median", "normal"), inputs, strict=True):
        wanted = golden[f"dn_grad_{key}"]
        assert value.grad is not None
        np.testing.assert_allclose(value.grad.numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parity
def test_photometric_loss_matches_the_original(golden: dict[str, np.ndarray]) -> None:
    from fused_ssim import photometric_loss

    image = torch.from_numpy(golden["loss_img"]).requires_grad_()
    loss = photometric_loss(image, torch.from_numpy(golden["loss_gt"]), lambda_l1=0.8)
    assert float(loss.detach()) == pytest.approx(float(golden["loss_total"]), abs=1e-5)
    loss.backward()
    assert image.grad is not None
    wanted = golden["loss_grad_img"]
    np.testing.assert_allclose(image.grad.numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_tilted_plane_has_one_normal_whatever_the_lens() -> None:
    # n . p = -1 with p = z (x, y, 1): the depth of every pixel follows.
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, -1.0]), dim=0)
    fx, fy, cx, cy = 50.0, 60.0, 13.0, 21.0
    v, u = torch.meshgrid(torch.arange(30) + 0.5, torch.arange(40) + 0.5, indexing="ij")
    depth = -1 / (normal[0] * (u - cx) / fx + normal[1] * (v - cy) / fy + normal[2])
    got = normals_from_depth(depth, (fx, fy, cx, cy))
    torch.testing.assert_close(
        got[:, 1:-1, 1:-1], normal[:, None, None].expand(3, 28, 38), atol=1e-3, rtol=0
    )
    assert not got[:, 0].any()
    assert not got[:, :, -1].any()


def rough_wall() -> tuple[Gaussians, Camera]:
    generator = torch.Generator().manual_seed(4)
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 9)] * 2, indexing="ij"), -1)
    n = 81
    gaussians = Gaussians(
        torch.cat([grid.reshape(n, 2), torch.full((n, 1), 3.0)], 1),
        torch.tensor([-1.8, -1.8, -4.0]).repeat(n, 1),
        torch.tensor([1.0, 0, 0, 0]) + 0.3 * torch.randn(n, 4, generator=generator),
        torch.full((n,), 2.0),
        torch.zeros(n, 1, 3),
    )
    return gaussians, Camera("c", 48, 48, 60.0, 60.0, 24.0, 24.0, np.eye(4))


def test_the_term_turns_discs_into_the_surface() -> None:
    gaussians, camera = rough_wall()
    quats = gaussians.quats.clone().requires_grad_()
    optimizer = torch.optim.Adam([quats], lr=0.02)
    want = ("depth", "median_depth", "normal")
    angles = []
    for _ in range(40):
        view = render(gaussians.replace(quats=quats), camera, want=want)
        angles.append(normal_angle(view, camera))
        optimizer.zero_grad()
        view_depth_normal_loss(view, camera).backward()
        optimizer.step()
    assert angles[-1] < 0.6 * angles[0]


def test_a_view_without_depths_is_refused() -> None:
    gaussians, camera = rough_wall()
    view = render(gaussians, camera)
    with pytest.raises(ValueError, match="median_depth"):
        view_depth_normal_loss(view, camera)
    with pytest.raises(ValueError, match="depth and normal"):
        normal_angle(view, camera)


def test_penalties_are_what_they_are_called() -> None:
    gaussians, _ = rough_wall()
    assert shape_penalty(gaussians, 2.0, opacity=0, scale=0, sh=0) is None
    opacity = shape_penalty(gaussians, 2.0, opacity=3.0, scale=0, sh=0)
    scale = shape_penalty(gaussians, 2.0, opacity=0, scale=3.0, sh=0)
    assert opacity is not None
    assert scale is not None
    torch.testing.assert_close(opacity, 3 * gaussians.opacities.mean())
    torch.testing.assert_close(scale, 1.5 * gaussians.scales.mean())
    colored = gaussians.replace(sh=torch.full((81, 4, 3), 2.0))
    sh = shape_penalty(colored, 2.0, opacity=0, scale=0, sh=0.5)
    assert sh is not None
    torch.testing.assert_close(sh, torch.tensor(2.0))
