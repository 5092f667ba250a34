"""The fused step of torch is Adam as it is written, for all groups, on every device."""

from __future__ import annotations

import pytest
import torch

from igs.gaussians import GaussianOptimizer, Gaussians

RATES = {"means": 0.0016, "sh": 0.0025, "opacity_logits": 0.05, "log_scales": 0.005, "quats": 0.01}
BETAS, EPS, STEPS = (0.9, 0.999), 1e-15, 12


def some_gaussians(count: int = 40) -> Gaussians:
    random = torch.Generator().manual_seed(0)
    return Gaussians(
        means=torch.randn(count, 3, generator=random),
        log_scales=torch.randn(count, 3, generator=random) - 3,
        quats=torch.randn(count, 4, generator=random),
        opacity_logits=torch.randn(count, generator=random),
        sh=torch.randn(count, 4, 3, generator=random),
    )


def gradients(step: int, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Of every scale; some rows have none, as Gaussians out of sight."""
    random = torch.Generator().manual_seed(100 + step)
    found = {}
    for name, tensor in like.items():
        grad = torch.randn(tensor.shape, generator=random) * 10.0 ** (step % 7 - 5)
        grad[step % 3 :: 5] = 0.0
        found[name] = grad
    return found


def fused(device: torch.device | str) -> dict[str, torch.Tensor]:
    optimizer = GaussianOptimizer(some_gaussians().to(device), RATES)
    assert optimizer._adam is not None
    assert all(group["fused"] for group in optimizer._adam.param_groups)
    for step in range(STEPS):
        parameters = optimizer.gaussians.tensors()
        for name, grad in gradients(step, some_gaussians().tensors()).items():
            parameters[name].grad = grad.to(device)
        optimizer.step()
        optimizer.zero_grad()
    return {name: t.detach().cpu() for name, t in optimizer.gaussians.tensors().items()}


def written_out() -> dict[str, torch.Tensor]:
    """Adam (Kingma and Ba, 2015, algorithm 1) in double."""
    values = {name: t.double() for name, t in some_gaussians().tensors().items()}
    first = {name: torch.zeros_like(t) for name, t in values.items()}
    second = {name: torch.zeros_like(t) for name, t in values.items()}
    for step in range(STEPS):
        for name, grad in gradients(step, values).items():
            first[name] = BETAS[0] * first[name] + (1 - BETAS[0]) * grad.double()
            second[name] = BETAS[1] * second[name] + (1 - BETAS[1]) * grad.double().square()
            mean = first[name] / (1 - BETAS[0] ** (step + 1))
            root = (second[name] / (1 - BETAS[1] ** (step + 1))).sqrt()
            values[name] = values[name] - RATES[name] * mean / (root + EPS)
    return values


def assert_alike(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for name, want in b.items():
        torch.testing.assert_close(a[name].double(), want.double(), rtol=2e-5, atol=2e-6, msg=name)


def test_the_fused_step_is_adam() -> None:
    assert_alike(fused("cpu"), written_out())


def test_rows_that_stand_still_cost_and_change_nothing() -> None:
    """Active rows are cut out before the optimiser sees them: it holds nothing of the others."""
    whole, active = some_gaussians(), torch.arange(40) % 3 == 0
    optimizer = GaussianOptimizer(whole.select(active), RATES)
    every = GaussianOptimizer(whole, RATES)
    for step in range(STEPS):
        for name, grad in gradients(step, whole.tensors()).items():
            optimizer.gaussians.tensors()[name].grad = grad[active]
            every.gaussians.tensors()[name].grad = grad
        optimizer.step()
        every.step()
    for name, tensor in optimizer.gaussians.tensors().items():
        assert len(tensor) == int(active.sum())
        torch.testing.assert_close(tensor, every.gaussians.tensors()[name][active])


@pytest.mark.gpu
def test_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a CUDA build of torch")
    there = fused("cuda")
    assert_alike(there, written_out())
    assert_alike(there, fused("cpu"))
