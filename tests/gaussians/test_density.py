"""Density control: against the original's arrays, and rule by rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from igs.gaussians import (
    DensityRule,
    DensityStatistics,
    GaussianOptimizer,
    Gaussians,
    densified,
    densify,
    outside_box,
    plan_densification,
)
from igs.gaussians.density import absolute_threshold, sample_offsets

RATES: dict[str, float] = dict.fromkeys(
    ("means", "log_scales", "quats", "opacity_logits", "sh"), 0.01
)
ATOL = 2e-6


def fixture_case(
    frame0: dict[str, np.ndarray], prefix: str, sh: str
) -> tuple[Gaussians, DensityStatistics]:
    def get(name: str) -> torch.Tensor:
        return torch.from_numpy(frame0[f"{prefix}_{name}"])

    gaussians = Gaussians(
        get("xyz"), get("scaling_log"), get("rotation"), get("opacity_logit")[:, 0], get(sh)
    )
    statistics = DensityStatistics(len(gaussians))
    statistics.grad = get("accum")[:, 0]
    statistics.count = get("denom")[:, 0]
    return gaussians, statistics


def assert_result(got: Gaussians, frame0: dict[str, np.ndarray], prefix: str, sh: str) -> None:
    wanted = {
        "means": f"{prefix}_xyz",
        "log_scales": f"{prefix}_scaling_log",
        "quats": f"{prefix}_rotation",
        "sh": f"{prefix}_{sh}",
    }
    assert len(got) == len(frame0[f"{prefix}_xyz"])
    for name, key in wanted.items():
        values = getattr(got, name).detach().numpy()
        np.testing.assert_allclose(values, frame0[key], rtol=0, atol=ATOL)
    np.testing.assert_allclose(
        got.opacity_logits.detach().numpy(), frame0[f"{prefix}_opacity_logit"][:, 0], atol=ATOL
    )


@pytest.mark.parity
def test_training_densification_matches_the_original(frame0: dict[str, np.ndarray]) -> None:
    gaussians, statistics = fixture_case(frame0, "dt", "f_dc")
    statistics.grad_abs = torch.from_numpy(frame0["dt_accum_abs"])[:, 0]
    statistics.max_radii = torch.from_numpy(frame0["dt_max_radii2D"])
    limit = float(frame0["dt_grad_threshold"])
    quantile = absolute_threshold(statistics.mean_grad, statistics.mean_grad_abs, limit)
    assert quantile == pytest.approx(float(frame0["dt_abs_threshold"]), rel=1e-6)
    rule = DensityRule(
        grad_threshold=limit,
        min_opacity=float(frame0["dt_min_opacity"]),
        use_absolute=True,
        sample_clones=True,
        max_scale=0.1,
    )
    plan = plan_densification(gaussians, statistics, rule, float(frame0["dt_extent"]))
    noise = torch.from_numpy(np.concatenate([frame0["dt_noise_clone"], frame0["dt_noise_split"]]))
    optimizer = GaussianOptimizer(gaussians, RATES)
    result = densify(optimizer, plan, noise=noise)
    counts = [result.num_cloned, result.num_split, result.num_pruned]
    assert counts == frame0["dt_counts"].tolist()
    assert_result(optimizer.gaussians, frame0, "dt_out", "f_dc")


@pytest.mark.parity
@pytest.mark.parametrize("case", ["kf_cap", "kf_free"])
def test_key_frame_densification_matches_the_original(
    frame0: dict[str, np.ndarray], case: str
) -> None:
    gaussians, statistics = fixture_case(frame0, "kf", "shs0")
    rule = DensityRule(
        grad_threshold=float(frame0["kf_grad_threshold"]),
        min_opacity=float(frame0["kf_min_opacity"]),
        percent_dense=0.0,
        max_num=int(frame0[f"{case}_max_num"]),
    )
    plan = plan_densification(gaussians, statistics, rule, float(frame0["kf_extent"]))
    got, _, _ = densified(gaussians, plan, torch.from_numpy(frame0[f"{case}_noise"]))
    assert_result(got, frame0, f"{case}_out", "shs0")


def some(n: int = 8, log_scale: float = -4.0) -> Gaussians:
    generator = torch.Generator().manual_seed(n)
    return Gaussians(
        torch.randn(n, 3, generator=generator),
        torch.full((n, 3), log_scale),
        torch.randn(n, 4, generator=generator),
        torch.full((n,), 2.0),
        torch.randn(n, 4, 3, generator=generator),
    )


def seen_once(grad: list[float], radii: float = 3.0) -> DensityStatistics:
    statistics = DensityStatistics(len(grad))
    zeros = torch.zeros(len(grad))
    statistics.update(
        torch.stack([torch.tensor(grad), zeros, zeros], 1), torch.full((len(grad),), radii)
    )
    return statistics


def test_statistics_count_only_visible_views() -> None:
    statistics = DensityStatistics(2)
    grad = torch.tensor([[3.0, 4.0, -6.0], [1.0, 0.0, 2.0]])
    statistics.update(grad, torch.tensor([7, 0], dtype=torch.int32))
    statistics.update(grad, torch.tensor([5, 0], dtype=torch.int32))
    assert statistics.mean_grad.tolist() == [5, 0]
    assert statistics.mean_grad_abs.tolist() == [6, 0]
    assert statistics.max_radii.tolist() == [7, 0]
    with pytest.raises(ValueError, match="statistics of 2 Gaussians"):
        statistics.update(torch.zeros(3, 3), torch.zeros(3))


def test_size_decides_between_clone_and_split() -> None:
    gaussians = some(3)
    gaussians.log_scales[1, 2] = math.log(0.5)
    rule = DensityRule(percent_dense=0.1)
    plan = plan_densification(gaussians, seen_once([1.0, 1.0, 0.0]), rule, extent=2.0)
    assert plan.clone.tolist() == [0]
    assert plan.split.tolist() == [1]
    got, parents, is_new = densified(gaussians, plan, torch.ones(2, 3))
    assert parents.tolist() == [0, 2, 0, 1, 1]
    assert is_new.tolist() == [False, False, True, True, True]
    assert torch.equal(got.means[2], gaussians.means[0])
    torch.testing.assert_close(got.scales[3], gaussians.scales[1] / 1.6)
    torch.testing.assert_close(
        got.means[3],
        gaussians.means[1] + sample_offsets(gaussians.scales, gaussians.quats, torch.ones(3, 3))[1],
    )


def test_offsets_have_the_covariance_of_the_gaussian() -> None:
    gaussian = some(1).replace(log_scales=torch.tensor([[0.0, -1.0, -2.0]]))
    n = 20000
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    offsets = sample_offsets(gaussian.scales, gaussian.quats, noise)
    w, x, y, z = gaussian.unit_quats[0].tolist()
    rotation = torch.tensor([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    covariance = rotation @ torch.diag(gaussian.scales[0] ** 2) @ rotation.T
    torch.testing.assert_close(offsets.T @ offsets / n, covariance, rtol=0, atol=0.03)


@pytest.mark.parametrize(("max_num", "grown"), [(8, 0), (5, 0), (10, 2), (100, 6)])
def test_cap_keeps_the_largest_gradients(max_num: int, grown: int) -> None:
    grad = [1.0, 6.0, 3.0, 2.0, 0.0, 5.0, 4.0, 0.0]
    rule = DensityRule(percent_dense=0.0, max_num=max_num)
    plan = plan_densification(some(), seen_once(grad), rule, extent=1.0)
    best = sorted(sorted(range(8), key=lambda i: -grad[i])[:grown])
    assert plan.split.tolist() == best
    assert not plan.prune.any()


def test_above_the_cap_the_faintest_go_on_request() -> None:
    gaussians = some()
    gaussians.opacity_logits[[2, 6]] = torch.tensor([0.5, 1.0])
    rule = DensityRule(max_num=6, prune_to_cap=True)
    plan = plan_densification(gaussians, seen_once([1.0] * 8), rule, extent=1.0)
    _, parents, _ = densified(gaussians, plan, torch.zeros(0, 3))
    assert parents.tolist() == [0, 1, 3, 4, 5, 7]


def test_prune_rules() -> None:
    gaussians = some(4, log_scale=-6.0)
    gaussians.opacity_logits[0] = -8.0
    gaussians.log_scales[1, 0] = math.log(0.25)
    statistics = seen_once([0.0] * 4)
    statistics.max_radii[2] = 21
    rule = DensityRule(max_scale=0.1, max_screen_radius=20)
    plan = plan_densification(gaussians, statistics, rule, extent=2.0)
    assert plan.prune.tolist() == [True, True, True, False]
    # A split part is judged by its own, smaller size: 0.25 / 1.6 is below 0.2.
    statistics.grad[1] = 1.0
    plan = plan_densification(gaussians, statistics, rule, extent=2.0)
    assert plan.prune.tolist() == [True, True, False, False, False]


def test_absolute_rule_and_its_guard() -> None:
    statistics = seen_once([0.0, 0.0, 1.0, 1.0])
    statistics.grad_abs = torch.tensor([0.0, 5.0, 0.0, 0.0])
    for guard, wanted in ((True, [1, 2, 3]), (False, [0, 1, 2, 3])):
        rule = DensityRule(use_absolute=True, guard_absolute=guard)
        plan = plan_densification(some(4, -9.0), statistics, rule, extent=1.0)
        assert plan.clone.tolist() == wanted


def test_same_seed_same_result() -> None:
    plan = plan_densification(
        some(), seen_once([1.0] * 8), DensityRule(percent_dense=0.0), extent=1.0
    )
    means = []
    for seed in (1, 1, 2):
        optimizer = GaussianOptimizer(some(), RATES)
        densify(optimizer, plan, generator=torch.Generator().manual_seed(seed))
        means.append(optimizer.gaussians.means)
    assert torch.equal(means[0], means[1])
    assert not torch.equal(means[0], means[2])


def test_misfits_are_refused() -> None:
    gaussians = some()
    plan = plan_densification(gaussians, seen_once([1.0] * 8), DensityRule(), extent=1e-3)
    with pytest.raises(ValueError, match="statistics of 3"):
        plan_densification(gaussians, DensityStatistics(3), DensityRule(), extent=1.0)
    with pytest.raises(ValueError, match=r"noise \(1, 3\) must be \(16, 3\)"):
        densified(gaussians, plan, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="a plan for 8 Gaussians cannot serve 9"):
        densified(some(9), plan, torch.zeros(16, 3))
    with pytest.raises(ValueError, match="either a generator or noise"):
        densify(GaussianOptimizer(gaussians, RATES), plan)


def test_nothing_to_do_on_nothing() -> None:
    empty = some(0)
    rule = DensityRule(use_absolute=True, max_num=10, prune_to_cap=True)
    plan = plan_densification(empty, DensityStatistics(0), rule, extent=1.0)
    got, _, _ = densified(empty, plan, torch.zeros(0, 3))
    assert len(got) == 0


def test_outside_box() -> None:
    means = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 0, 4.4], [0, 0, 4.6]])
    box = outside_box(means, torch.tensor([-1.0, -1, -1]), torch.tensor([1.0, 1, 9]))
    assert box.tolist() == [False, True, False, False]
    cut = torch.tensor([-math.inf, -math.inf, 4.5])
    assert outside_box(means, cut, torch.full((3,), math.inf)).tolist() == [True, True, True, False]
