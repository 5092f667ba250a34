"""The one-cycle schedule: torch's own, on runs of any length."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from igs.config.training import OptimiserConfig
from igs.training.schedule import make_optimiser, one_cycle, warmup_share


def course(config: OptimiserConfig, steps: int, factor: float = 1.0) -> list[dict[str, float]]:
    """Rate and beta1 of every step."""
    optimiser = make_optimiser([([nn.Parameter(torch.ones(1))], factor)], config)
    schedule = one_cycle(optimiser, config, steps)
    rows = []
    for _ in range(steps):
        group = optimiser.param_groups[0]
        rows.append({"lr": group["lr"], "beta1": group["betas"][0]})
        optimiser.step()
        schedule.step()
    return rows


def test_published_course() -> None:
    """From rate / 25 up along a half cosine in the warm-up, then down to rate / 250000."""
    config = OptimiserConfig(warmup_steps=30)
    rates = [row["lr"] for row in course(config, 200)]
    start, top, end = 4e-4 / 25, 4e-4, 4e-4 / 25 / 1e4
    turn = 30 - 1

    def half_cosine(a: float, b: float, share: float) -> float:
        return b + (a - b) / 2 * (1 + math.cos(math.pi * share))

    for step, rate in enumerate(rates):
        if step <= turn:
            expected = half_cosine(start, top, step / turn)
        else:
            expected = half_cosine(top, end, (step - turn) / (199 - turn))
        assert rate == pytest.approx(expected, rel=1e-6)
    assert max(rates) == pytest.approx(top)


def test_momentum_stands_still_unless_cycled() -> None:
    assert {row["beta1"] for row in course(OptimiserConfig(warmup_steps=5), 40)} == {0.9}
    cycled = course(OptimiserConfig(warmup_steps=5, cycle_momentum=True), 40)
    assert cycled[0]["beta1"] == pytest.approx(0.95)
    assert cycled[4]["beta1"] == pytest.approx(0.85)
    assert cycled[-1]["beta1"] == pytest.approx(0.95)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7, 10, 100, 749, 751])
def test_runs_shorter_than_the_warm_up(steps: int) -> None:
    """The original's warm-up share passed 1 here, which is an error."""
    rates = [row["lr"] for row in course(OptimiserConfig(), steps)]
    assert len(rates) == steps
    assert all(0 < rate <= 4e-4 * (1 + 1e-9) for rate in rates)
    assert warmup_share(750, 0.3, steps) <= 0.3


def test_groups_keep_their_own_rates() -> None:
    slow = course(OptimiserConfig(warmup_steps=5), 40, factor=0.1)
    fast = course(OptimiserConfig(warmup_steps=5), 40)
    for a, b in zip(slow, fast, strict=True):
        assert a["lr"] == pytest.approx(0.1 * b["lr"])


def test_optimiser_has_the_published_settings_and_leaves_out_what_is_frozen() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    optimiser = make_optimiser([(list(layer.parameters()), 1.0)], OptimiserConfig())
    (group,) = optimiser.param_groups
    assert group["params"] == [layer.weight]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (4e-4, 0.05, (0.9, 0.95))
    layer.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimiser([(list(layer.parameters()), 1.0)], OptimiserConfig())
