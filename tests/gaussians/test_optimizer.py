"""The optimizer: plain Adam while the number stays, moments that follow their rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from igs.gaussians import GaussianOptimizer, Gaussians, exponential_decay

RATES = {"means": 0.1, "log_scales": 0.02, "quats": 0.03, "opacity_logits": 0.05, "sh": 0.04}
SPLIT_RATES = {**{k: v for k, v in RATES.items() if k != "sh"}, "sh0": 0.04, "shN": 0.002}


def some(n: int = 6, degree: int = 1, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"means": (n, 3), "log_scales": (n, 3), "quats": (n, 4), "opacity_logits": (n,)}
    shapes["sh"] = (n, (degree + 1) ** 2, 3)
    return Gaussians(**{k: torch.randn(*s, generator=generator) for k, s in shapes.items()})


def loss(gaussians: Gaussians, target: Gaussians) -> torch.Tensor:
    pairs = zip(gaussians.tensors().values(), target.tensors().values(), strict=True)
    return torch.stack([((a - b) ** 2).sum() for a, b in pairs]).sum()


def step(optimizer: GaussianOptimizer, target: Gaussians) -> None:
    optimizer.zero_grad()
    loss(optimizer.gaussians, target).backward()
    optimizer.step()


def test_is_adam_with_a_rate_per_group() -> None:
    start, target = some(), some(seed=1)
    optimizer = GaussianOptimizer(start, RATES)
    leaves = {k: v.clone().requires_grad_() for k, v in start.tensors().items()}
    groups = [{"params": [leaves[k]], "lr": rate} for k, rate in RATES.items()]
    reference = torch.optim.Adam(groups, lr=0, eps=1e-15, betas=(0.9, 0.999), foreach=False)
    for _ in range(5):
        step(optimizer, target)
        reference.zero_grad()
        loss(Gaussians(**leaves), target).backward()
        reference.step()
    for name, tensor in optimizer.gaussians.tensors().items():
        torch.testing.assert_close(tensor, leaves[name], rtol=1e-5, atol=1e-6)
    assert torch.equal(start.means, some().means), "the caller's tensors are left alone"


def test_split_sh_has_two_rates() -> None:
    optimizer = GaussianOptimizer(some(), SPLIT_RATES, split_sh=True)
    before = optimizer.gaussians.detach().sh
    step(optimizer, some(seed=1))
    moved = (optimizer.gaussians.detach().sh - before).abs()
    torch.testing.assert_close(moved[:, 0], torch.full_like(moved[:, 0], 0.04), rtol=1e-3, atol=0)
    torch.testing.assert_close(
        moved[:, 1:], torch.full_like(moved[:, 1:], 0.002), rtol=1e-3, atol=0
    )
    GaussianOptimizer(some(degree=0), SPLIT_RATES, split_sh=True)


def test_rates_can_change_and_groups_freeze() -> None:
    optimizer = GaussianOptimizer(some(), {**RATES, "sh": None})
    before = optimizer.gaussians.detach().map(torch.clone)
    optimizer.set_learning_rate("means", 0.5)
    step(optimizer, some(seed=1))
    after = optimizer.gaussians.detach()
    assert torch.equal(after.sh, before.sh)
    moved = (after.means - before.means).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.5), rtol=1e-3, atol=0)
    assert optimizer.learning_rates == {
        **{k: v for k, v in RATES.items() if k != "sh"},
        "means": 0.5,
    }
    with pytest.raises(ValueError, match="no trained group 'sh'"):
        optimizer.set_learning_rate("sh", 1.0)
    with pytest.raises(ValueError, match="learning rates for means; the groups are"):
        GaussianOptimizer(some(), {"means": 0.1})


@pytest.mark.parametrize("split_sh", [False, True])
def test_moments_follow_their_rows(split_sh: bool) -> None:
    optimizer = GaussianOptimizer(some(), SPLIT_RATES if split_sh else RATES, split_sh=split_sh)
    step(optimizer, some(seed=1))
    before = optimizer.state_tensors()
    parents = torch.tensor([4, 1, 1, 5])
    is_new = torch.tensor([False, False, True, False])
    values = optimizer.gaussians.detach().select(parents)
    optimizer.rebuild(values, parents, is_new)
    after = optimizer.state_tensors()
    assert len(optimizer) == 4
    assert before.keys() == after.keys()
    for name, old in before.items():
        if name.endswith(".step"):
            assert torch.equal(after[name], old)
        elif "." in name:
            assert old.abs().sum() > 0
            wanted = old[parents]
            wanted[2] = 0
            assert torch.equal(after[name], wanted), name
        else:
            assert torch.equal(after[name], old[parents]), name


def test_kept_rows_train_on_as_if_nothing_had_happened() -> None:
    target, kept = some(seed=1), torch.tensor([0, 3, 5])
    whole, part = GaussianOptimizer(some(), RATES), GaussianOptimizer(some(), RATES)
    step(whole, target)
    step(part, target)
    part.keep(kept)
    for _ in range(3):
        step(whole, target)
        step(part, target.select(kept))
    for name, tensor in part.gaussians.tensors().items():
        torch.testing.assert_close(tensor, getattr(whole.gaussians, name)[kept])


def test_step_behind_rebuild_without_a_gradient_changes_nothing() -> None:
    optimizer = GaussianOptimizer(some(), RATES)
    step(optimizer, some(seed=1))
    loss(optimizer.gaussians, some(seed=2)).backward()
    optimizer.keep(torch.arange(6))
    before = optimizer.gaussians.detach().map(torch.clone)
    optimizer.step()
    assert torch.equal(optimizer.gaussians.means, before.means)


def test_replace_values_resets_moments() -> None:
    optimizer = GaussianOptimizer(some(), RATES)
    step(optimizer, some(seed=1))
    optimizer.replace_values("opacity_logits", torch.full((6,), -4.0), reset_moments=True)
    state = optimizer.state_tensors()
    assert optimizer.gaussians.opacity_logits.tolist() == [-4.0] * 6
    assert not state["opacity_logits.exp_avg"].any()
    assert not state["opacity_logits.exp_avg_sq"].any()
    assert state["means.exp_avg"].any()
    with pytest.raises(ValueError, match=r"cannot put shape \(5,\) into group 'opacity_logits'"):
        optimizer.replace_values("opacity_logits", torch.zeros(5), reset_moments=False)


def test_checkpoint_continues_to_the_same_bits() -> None:
    target = some(seed=1)
    first = GaussianOptimizer(some(), SPLIT_RATES, split_sh=True)
    step(first, target)
    state = first.state_tensors()
    second = GaussianOptimizer(some(3), SPLIT_RATES, split_sh=True)
    second.load_state_tensors(state)
    for _ in range(3):
        step(first, target)
        step(second, target)
    for name, tensor in first.gaussians.tensors().items():
        assert torch.equal(tensor, getattr(second.gaussians, name))
    del state["quats"]
    with pytest.raises(ValueError, match="checkpoint lacks quats"):
        second.load_state_tensors(state)


def test_misfits_are_refused() -> None:
    optimizer = GaussianOptimizer(some(), RATES)
    with pytest.raises(ValueError, match="6 Gaussians but"):
        optimizer.rebuild(some(), torch.arange(5))
    with pytest.raises(ValueError, match="SH degree cannot change"):
        optimizer.rebuild(some(degree=2), torch.arange(6))
    split = GaussianOptimizer(some(), SPLIT_RATES, split_sh=True)
    with pytest.raises(ValueError, match="SH degree cannot change"):
        split.rebuild(some(degree=0), torch.arange(6))


@pytest.mark.parity
def test_position_schedule_matches_the_original(frame0: dict[str, np.ndarray]) -> None:
    extent = float(frame0["lr_extent"])
    rate = exponential_decay(1.6e-4 * extent, 1.6e-6 * extent, 30000)
    got = [rate(int(i)) for i in frame0["lr_iterations"]]
    np.testing.assert_allclose(got, frame0["lr_xyz"], rtol=1e-6)


def test_schedule_ends_hold() -> None:
    rate = exponential_decay(1.0, 0.01, 10)
    assert [rate(-5), rate(0), rate(10), rate(99)] == pytest.approx([1, 1, 0.01, 0.01])
    assert rate(5) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="must be positive"):
        exponential_decay(1.0, 0.0, 10)
