"""Rows of bench/gpu.py: compiling every kernel, and the parts that refinement is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from fused_ssim import photometric_loss
from gpu_bench import Bench, Row, our_pass
from gpu_scene import Size, make_gaussians
from simple_knn import distCUDA2

from igs.config.schema import RefineRates
from igs.gaussians import GaussianOptimizer


def compile_row(bench: Bench) -> Iterator[Row]:
    """Seconds of NVRTC, which works without a GPU; four programs side by side, as at first use."""
    from diff_gaussian_rasterization.cuda import programs
    from fused_ssim.cuda.kernel_calls import program as ssim_program
    from simple_knn.cuda.points import every_program as point_programs

    architecture = "sm_90"
    if bench.device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(bench.device)
        architecture = f"sm_{10 * major + minor}"
    stream = [
        programs.preprocess(False, False, False), programs.preprocess(True, False, False),
        programs.binning(), programs.forward(0), programs.forward(1), programs.backward(0),
        programs.sums(), programs.gaussians(False, False, False), ssim_program(),
        *point_programs(),
    ]  # fmt: skip
    groups = {"all that a stream needs": stream}
    if not bench.small:
        groups["every kernel there is"] = [
            *programs.every_program(), ssim_program(), *point_programs()
        ]  # fmt: skip
    for name, some in groups.items():
        yield Row(
            f"NVRTC for {architecture}, {name} ({len(some)} programs)",
            f"{_compiled(some, architecture):.1f} s",
            "at most 20 s" if some is stream else "",
        )


def _compiled(some: Sequence[Any], architecture: str) -> float:
    from nvrtc_kernels import compile_program

    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda program: compile_program(program, architecture), some))
    return time.perf_counter() - start


def parts_row(bench: Bench) -> Iterator[Row]:
    """SSIM, Adam, half-precision colour, a tenth of the tiles, and the neighbour search."""
    case = bench.cases[0]
    name = f"{case.count // 1000}k {case.width}x{case.height}"
    size, device = bench.size.gaussians, bench.device
    timed: dict[str, Callable[[], Callable[[], Any]]] = {
        f"{name}, colour, SH in half precision": lambda: our_pass(
            case, device, ("color",), half=True
        ),
        f"{name}, colour, a tenth of the tiles": lambda: our_pass(
            case, device, ("color",), share=0.1
        ),
        f"L1 + SSIM, 3x{case.height}x{case.width}, forward + backward": lambda: _loss(case, device),
        f"Adam step, {size} Gaussians": lambda: _adam(bench.size, device),
        f"distCUDA2, {size} points": lambda: _distances(size, device),
    }
    for what, make in timed.items():
        yield Row(what, f"{bench.milliseconds(make()):.2f} ms", "")


def _distances(count: int, device: torch.device) -> Callable[[], Any]:
    points = torch.rand(count, 3, device=device)
    return lambda: distCUDA2(points)


def _loss(case: Any, device: torch.device) -> Callable[[], None]:
    random = torch.Generator().manual_seed(0)
    image, target = torch.rand(2, 3, case.height, case.width, generator=random).to(device)
    image = image.clone().requires_grad_()

    def run() -> None:
        image.grad = None
        photometric_loss(image, target).backward()

    return run


def _adam(size: Size, device: torch.device) -> Callable[[], None]:
    rates = {name: float(rate) for name, rate in vars(RefineRates()).items()}
    optimizer = GaussianOptimizer(make_gaussians(size, device), rates)
    for tensor in optimizer.gaussians.tensors().values():
        tensor.grad = torch.randn_like(tensor)
    return optimizer.step
