"""Moving Gaussians, and motion as a value."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close

from igs.gaussians import Gaussians
from igs.motion import Motion, warp
from igs.motion.motion import quaternion_product


def rotation_matrix(quats: torch.Tensor) -> torch.Tensor:
    w, x, y, z = F.normalize(quats, dim=-1).unbind(-1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def random_motion(index: torch.Tensor) -> Motion:
    n = len(index)
    return Motion(index, torch.randn(n, 3), F.normalize(torch.randn(n, 4), dim=1))


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_product_of_quaternions_is_product_of_rotations(seed):
    a, b = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed)).double()
    product = rotation_matrix(quaternion_product(a, b))
    assert_close(product, rotation_matrix(a) @ rotation_matrix(b))


def test_no_motion_changes_no_rotation_and_no_place(scene: Gaussians):
    index = torch.arange(0, len(scene), 3)
    still = Motion(index, torch.zeros(len(index), 3), torch.eye(4)[:1].expand(len(index), 4))
    after = warp(scene, still)
    assert torch.equal(after.means, scene.means)
    assert_close(rotation_matrix(after.quats), rotation_matrix(scene.quats))
    assert_close(after.quats[index].norm(dim=1), torch.ones(len(index)))


def test_others_are_untouched_and_the_rest_is_shared(scene: Gaussians):
    before = {name: value.clone() for name, value in scene.tensors().items()}
    index = torch.tensor([2, 5, 11])
    motion = random_motion(index)
    after = warp(scene, motion)
    others = torch.ones(len(scene), dtype=torch.bool)
    others[index] = False
    assert torch.equal(after.means[others], scene.means[others])
    assert torch.equal(after.quats[others], scene.quats[others])
    assert_close(after.means[index], scene.means[index] + motion.translation)
    want = rotation_matrix(scene.quats[index]) @ rotation_matrix(motion.rotation)
    assert_close(rotation_matrix(after.quats[index]), want)
    assert after.sh is scene.sh
    assert after.log_scales is scene.log_scales
    assert after.opacity_logits is scene.opacity_logits
    for name, value in before.items():
        assert torch.equal(getattr(scene, name), value)


def test_empty_motion_returns_the_gaussians(scene: Gaussians):
    assert warp(scene, random_motion(torch.empty(0, dtype=torch.int64))) is scene


def test_gradients_reach_motion_and_gaussians(scene: Gaussians):
    index = torch.tensor([1, 4])
    translation, rotation = torch.randn(2, 3), F.normalize(torch.randn(2, 4), dim=1)
    leaves = [t.requires_grad_() for t in (translation, rotation, scene.means, scene.quats)]
    after = warp(scene, Motion(index, translation, rotation))
    grads = torch.autograd.grad((after.means**2).sum() + (after.quats[:, 1:] ** 3).sum(), leaves)
    assert all(bool(g.any()) for g in grads)


def test_rows_that_do_not_exist_are_refused(scene: Gaussians):
    n = len(scene)
    with pytest.raises(ValueError, match=f"rows 0 to {n}, but there are {n} Gaussians"):
        warp(scene, random_motion(torch.tensor([0, n])))
    with pytest.raises(ValueError, match="rows -1 to 3"):
        warp(scene, random_motion(torch.tensor([-1, 3])))


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (((2,), (3, 3), (2, 4)), "translation"),
        (((2,), (2, 3), (2, 3)), "rotation"),
        (((2, 1), (2, 3), (2, 4)), "index"),
    ],
)
def test_parts_that_differ_are_refused(shapes, name):
    index, translation, rotation = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=f"Motion.{name} has shape"):
        Motion(index.long(), translation, rotation)


def test_motion_detaches_and_moves():
    motion = random_motion(torch.tensor([1, 2]))
    motion.translation.requires_grad_()
    assert not motion.detach().translation.requires_grad
    assert motion.to("meta").rotation.device.type == "meta"
    assert len(motion) == 2
