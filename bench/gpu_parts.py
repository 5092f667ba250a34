"""Rows of bench/gpu.py: compiling every kernel, and the parts that refinement is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from fused_ssim import photometric_loss
from gpu_bench import Bench, Row, our_pass
from gpu_scene import Size, make_gaussians
from simple_knn import distCUDA2

from igs.config.schema import RefineRates
from igs.gaussians import GaussianOptimizer


def compile_row(bench: Bench) -> list[Row]:
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
    return [
        Row(
            f"NVRTC for {architecture}, {name} ({len(some)} programs)",
            f"{_compiled(some, architecture):.1f} s",
            "at most 20 s" if some is stream else "",
        )
        for name, some in groups.items()
    ]


def _compiled(some: Sequence[Any], architecture: str) -> float:
    from nvrtc_kernels import compile_program

    start = time.perf_counter()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda program: compile_program(program, architecture), some))
    return time.perf_counter() - start


def parts_row(bench: Bench) -> list[Row]:
    """SSIM, Adam, half-precision colour, a tenth of the tiles, and the neighbour search."""
    case = bench.cases[0]
    name = f"{case.count // 1000}k {case.width}x{case.height}"
    timed: dict[str, Callable[[], None]] = {
        f"{name}, colour, SH in half precision": our_pass(
            case, bench.device, ("color",), half=True
        ),
        f"{name}, colour, a tenth of the tiles": our_pass(
            case, bench.device, ("color",), share=0.1
        ),
        f"L1 + SSIM, 3x{case.height}x{case.width}, forward + backward": _loss(case, bench.device),
        f"Adam step, {bench.size.gaussians} Gaussians": _adam(bench.size, bench.device),
    }
    rows = [Row(what, f"{bench.milliseconds(run):.2f} ms", "") for what, run in timed.items()]
    points = torch.rand(bench.size.gaussians, 3, device=bench.device)
    spent = bench.milliseconds(lambda: distCUDA2(points), bench.few)
    return [*rows, Row(f"distCUDA2, {len(points)} points", f"{spent:.2f} ms", "")]


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
