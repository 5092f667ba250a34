"""`torch.compile` around the loss: the same results."""

from __future__ import annotations

import torch
from fused_ssim import photometric_loss


def doubled(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return 2 * photometric_loss(torch.sin(image), target)


def test_a_compiled_caller() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 20, 30, generator=generator)
    plain = torch.rand(3, 20, 30, generator=generator).requires_grad_()
    compiled = plain.detach().clone().requires_grad_()
    expected = doubled(plain, target)
    expected.backward()
    torch.compiler.reset()
    got = torch.compile(doubled, backend="eager")(compiled, target)
    got.backward()
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(compiled.grad, plain.grad)
