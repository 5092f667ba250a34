"""The CUDA kernels of the loss: compiled, emulated on the CPU, and on the GPU if there is one."""

from __future__ import annotations

import getpass
import json
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from fused_ssim import loss, photometric_loss, reference, ssim

pytest.importorskip("nvrtc_kernels", reason="needs the package igs-nvrtc-kernels")

RECORD = Path(__file__).resolve().parent / "cuda_resources.json"
ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
SLACK = 8  # registers: another compiler version may need a few more
SIZES = [(1, 1, 1), (3, 5, 7), (2, 1, 40), (1, 40, 1), (2, 3, 37, 53), (1, 32, 64), (1, 65, 33)]
_USAGE = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.DOTALL,
)


@cache
def emulated(backwards: bool = False) -> Any:
    from fused_ssim.cuda import SsimKernels
    from nvrtc_kernels import emulator

    if emulator.compiler() is None:
        pytest.skip("needs a C++ compiler to emulate the kernels")
    folder = Path(tempfile.gettempdir()) / f"igs-emulated-kernels-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return SsimKernels(emulator.EmulatorLauncher(folder, backwards))


def image_pair(shape: tuple[int, ...], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A random image and a disturbed copy of it."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator)
    noise = torch.randn(shape, generator=generator)
    return (target + 0.1 * noise).clamp(0, 1), target


def on_kernels(
    image: torch.Tensor, target: torch.Tensor, lambda_l1: float, kernels: Any = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient by the emulated kernels, through autograd."""
    leaf = image.clone().requires_grad_()
    flat = leaf.view(-1, *image.shape[-2:])
    weights = 1 - lambda_l1, lambda_l1, lambda_l1 - 1
    value = loss._MeansOnGpu.apply(kernels or emulated(), flat, target.view_as(flat), *weights)
    assert isinstance(value, torch.Tensor)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def on_cpu(
    image: torch.Tensor, target: torch.Tensor, lambda_l1: float
) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = image.clone().requires_grad_()
    value = photometric_loss(leaf, target, lambda_l1=lambda_l1)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("lambda_l1", [0.0, 0.8, 1.0])
def test_like_the_cpu_kernel(shape: tuple[int, ...], lambda_l1: float) -> None:
    image, target = image_pair(shape)
    value, gradient = on_kernels(image, target, lambda_l1)
    expected, expected_gradient = on_cpu(image, target, lambda_l1)
    assert value.shape == expected.shape == ()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-6)
    scale = float(expected_gradient.abs().max())
    torch.testing.assert_close(gradient, expected_gradient, rtol=0, atol=1e-5 * scale)


def test_like_the_twin_in_double() -> None:
    image, target = image_pair((2, 45, 70), 3)
    value, gradient = on_kernels(image, target, 0.0)
    leaf = image.double().requires_grad_()
    expected = reference.photometric_loss(leaf, target.double(), lambda_l1=0.0)
    expected.backward()
    assert leaf.grad is not None
    assert float(value) == pytest.approx(float(expected.detach()), abs=1e-6)
    scale = float(leaf.grad.abs().max())
    torch.testing.assert_close(gradient.double(), leaf.grad, rtol=0, atol=5e-6 * scale)


def test_the_order_of_threads_does_not_matter() -> None:
    image, target = image_pair((2, 40, 35), 1)
    first, second = (on_kernels(image, target, 0.8, emulated(order)) for order in (False, True))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_the_gradient_takes_the_incoming_factor() -> None:
    image, target = image_pair((3, 20, 30))
    _, once = on_kernels(image, target, 0.8)
    leaf = image.clone().requires_grad_()
    value = loss._MeansOnGpu.apply(emulated(), leaf, target, 0.2, 0.8, -0.2)
    assert isinstance(value, torch.Tensor)
    (3 * value).backward()
    torch.testing.assert_close(leaf.grad, 3 * once)


def test_no_derivatives_are_kept_for_an_image_that_needs_none() -> None:
    image, target = image_pair((1, 20, 30))
    means, derivatives = emulated().means(image, target, False)
    assert derivatives is None
    assert means[1].item() == pytest.approx(ssim(image, target).item(), abs=1e-6)


def test_nan_is_passed_on() -> None:
    image, target = image_pair((1, 40, 40))
    image[0, 20, 20] = torch.nan
    for lambda_l1 in (0.8, 1.0):
        value, gradient = on_kernels(image, target, lambda_l1)
        assert value.isnan()
        assert gradient[0, 20, 20].isnan()
        assert gradient[0, 0, 0].isfinite()


def test_an_image_of_too_many_tiles_is_refused() -> None:
    from fused_ssim.cuda.kernel_calls import _arguments

    image = torch.zeros(1, 1, 1).expand(2**31, 1, 1)
    with pytest.raises(ValueError, match="too large for one call"):
        _arguments(image, image)


def usage_of(architecture: str) -> dict[str, dict[str, int]]:
    from fused_ssim.cuda.kernel_calls import program
    from nvrtc_kernels import compile_program

    code = compile_program(program(), architecture)
    assert code.image[:4] == b"\x7fELF"
    return {
        kernel: {"registers": int(registers), "spilled": int(stores) + int(loads)}
        for kernel, stores, loads, registers in _USAGE.findall(code.log)
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture: str) -> None:
    """No more registers and spills than recorded; this file, run by itself, writes the record."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs NVRTC: the extra [cuda]")
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))[architecture]
    found = usage_of(architecture)
    assert found.keys() == recorded.keys()
    for name, now in found.items():
        assert now["registers"] <= recorded[name]["registers"] + SLACK, f"{name}: more registers"
        assert now["spilled"] <= recorded[name]["spilled"] + 4 * SLACK, f"{name}: spills more"


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [*SIZES, (3, 1014, 1352)])
def test_on_the_gpu(shape: tuple[int, ...]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU and a CUDA build of torch")
    image, target = image_pair(shape)
    leaf = image.to("cuda").requires_grad_()
    value = photometric_loss(leaf, target.to("cuda"))
    value.backward()
    expected, expected_gradient = on_cpu(image, target, 0.8)
    assert value.device.type == "cuda"
    assert leaf.grad is not None
    torch.testing.assert_close(value.detach().cpu(), expected, rtol=0, atol=1e-6)
    scale = float(expected_gradient.abs().max())
    torch.testing.assert_close(leaf.grad.cpu(), expected_gradient, rtol=0, atol=1e-5 * scale)
    inner = ssim(image.to("cuda"), target.to("cuda"))
    assert inner.item() == pytest.approx(ssim(image, target).item(), abs=1e-6)


if __name__ == "__main__":
    table = {architecture: usage_of(architecture) for architecture in ARCHITECTURES}
    RECORD.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
