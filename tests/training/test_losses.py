"""Losses against values worked out by hand, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from fused_ssim import ssim

from igs.motion import Motion
from igs.training.losses import (
    balanced_mean,
    charbonnier,
    flow_loss,
    image_loss,
    motion_losses,
    rotation_angle,
)

BOX = torch.tensor([[0.0, 0, 0], [4, 4, 2]])  # half its diagonal is 3


def about_x(angle: float) -> torch.Tensor:
    return torch.tensor([[math.cos(angle / 2), math.sin(angle / 2), 0, 0]])


def test_image_loss_is_the_published_sum(generator: torch.Generator) -> None:
    image, target = torch.rand(2, 2, 3, 24, 20, generator=generator)
    expected = (image - target).abs().mean() + 0.2 * (1 - ssim(image, target))
    torch.testing.assert_close(image_loss(image, target, 1.0, 0.2), expected)
    torch.testing.assert_close(
        image_loss(image, target, 3.0, 0.0), 3 * (image - target).abs().mean()
    )


def test_charbonnier_is_square_near_nil_and_straight_far_off() -> None:
    assert charbonnier(torch.tensor(0.0), 0.1) == 0
    assert charbonnier(torch.tensor(1e-6), 0.1).item() == pytest.approx(1e-6 / 0.2, rel=1e-3)
    assert charbonnier(torch.tensor(100.0), 0.1).item() == pytest.approx(10 - 0.1, rel=1e-4)


@pytest.mark.parametrize("angle", [0.0, 0.02, 1.0, 3.0])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rotation_angle(angle: float, sign: float) -> None:
    found = rotation_angle(sign * about_x(0.3 + angle), about_x(0.3), softness=1e-4)
    assert found.item() == pytest.approx(angle, abs=2e-4)


def test_rotation_angle_is_that_between_the_frames() -> None:
    """Angle of R1^T R2 by its trace, for quaternions in any direction."""
    random = torch.Generator().manual_seed(2)
    a, b = torch.nn.functional.normalize(torch.randn(2, 50, 4, generator=random), dim=-1)
    w, x, y, z = torch.stack([a, b]).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrices = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    trace = (matrices[0] * matrices[1]).sum(dim=(-1, -2))
    expected = torch.acos(((trace - 1) / 2).clamp(-1, 1))
    torch.testing.assert_close(rotation_angle(a, b, 1e-6), expected, atol=2e-3, rtol=0)


def test_rotation_has_a_gradient_at_nil_and_far_off() -> None:
    for angle, size in ((0.0, 0.0), (1.0, 1.0), (2.5, 1.0)):
        turned = torch.tensor(angle, requires_grad=True)
        half = turned / 2
        quaternion = torch.stack([half.cos(), half.sin(), half * 0, half * 0])[None]
        rotation_angle(quaternion, about_x(0.0), 0.01).sum().backward()
        assert turned.grad is not None
        assert turned.grad.item() == pytest.approx(size, abs=1e-3)


def test_what_moves_has_its_share() -> None:
    values = torch.tensor([1.0, 1, 1, 5])
    moving = torch.tensor([False, False, False, True])
    assert balanced_mean(values, moving, 0.5).item() == pytest.approx(0.5 * 5 + 0.5 * 1)
    assert balanced_mean(values, moving, 0.9).item() == pytest.approx(0.9 * 5 + 0.1 * 1)
    assert balanced_mean(values, torch.zeros(4, dtype=torch.bool), 0.5).item() == 2
    assert balanced_mean(values, torch.ones(4, dtype=torch.bool), 0.5).item() == 2


def test_motion_loss_by_hand() -> None:
    """Three Gaussians, two of them in the box; errors of 0.3 and 0 world units, 0.2 radians."""
    translation = torch.tensor([[9.0, 9, 9], [1, 0, 0], [0, 0, 0]])
    rotation = torch.cat([about_x(2.0), about_x(0.5), about_x(0.0)])
    moving = torch.tensor([True, True, False])
    predicted = torch.tensor([[1.0, 0.3, 0], [0, 0, 0]], requires_grad=True)
    motion = Motion(torch.tensor([1, 2]), predicted, torch.cat([about_x(0.3), about_x(0.0)]))
    found = motion_losses(motion, translation, rotation, moving, BOX, 0.5, softness=1e-4)
    assert found["translation"].item() == pytest.approx(0.5 * 0.3 / 3, abs=1e-4)
    assert found["rotation"].item() == pytest.approx(0.5 * 0.2, abs=1e-4)
    found["translation"].backward()
    assert predicted.grad is not None
    expected = torch.tensor([[0, 0.5 / 3, 0], [0, 0, 0]])
    torch.testing.assert_close(predicted.grad, expected, atol=1e-4, rtol=0)


def test_motion_loss_knows_no_unit() -> None:
    random = torch.Generator().manual_seed(1)
    index, moving = torch.arange(5), torch.tensor([True, False, True, False, False])
    true, guess = torch.randn(2, 5, 3, generator=random)
    turn = torch.cat([about_x(0.1 * i) for i in range(5)])
    metres = motion_losses(Motion(index, guess, turn), true, turn, moving, BOX)
    scaled = Motion(index, guess * 100, turn)
    centimetres = motion_losses(scaled, true * 100, turn, moving, BOX * 100)
    torch.testing.assert_close(metres, centimetres)


def test_nothing_in_the_box_is_no_loss() -> None:
    nothing = Motion(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 3), torch.zeros(0, 4))
    found = motion_losses(nothing, torch.ones(2, 3), torch.ones(2, 4), torch.ones(2).bool(), BOX)
    assert [value.item() for value in found.values()] == [0, 0]


def test_flow_loss_by_hand() -> None:
    """Four pixels: one right, one off by (3, 0), one invalid, one too long."""
    true = torch.zeros(1, 2, 1, 4)
    true[0, 0, 0, 3] = 400
    valid = torch.tensor([[[True, True, False, True]]])
    best, first = torch.zeros(1, 2, 1, 4, requires_grad=True), torch.ones(1, 2, 1, 4)
    off = (
        best
        + torch.tensor([0.0, 3, 50, 7])[None, None, None]
        * torch.tensor([1.0, 0])[None, :, None, None]
    )
    loss = flow_loss([first, off], true, valid, gamma=0.9)
    # Means over 8 numbers: 3 / 8 of the last, (1 + 1) * 2 / 8 of the one before, times 0.9.
    assert loss.item() == pytest.approx(3 / 8 + 0.9 * 4 / 8)
    loss.backward()
    assert best.grad is not None
    assert best.grad.count_nonzero() == 1
    assert best.grad[0, 0, 0, 1].item() == pytest.approx(1 / 8)
