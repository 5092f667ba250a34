"""What the rows of bench/gpu.py share: the device, its clock, and our rasterizer's passes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import diff_gaussian_rasterization as dgr
import torch
from gpu_scene import Size
from rasterizer import Case, Scene, make_scene
from torch import Tensor

LOW_PASS = 0.3
CASES = (Case(150_000, 1352, 1014, 1.5, None), Case(1_000_000, 1920, 1080, 0.75, None))
SMALL_CASE = Case(2_000, 160, 120, 3.0, None)
REPEATS = 30


class Row(NamedTuple):
    """One line of the table."""

    what: str
    measured: str
    goal: str


class Bench:
    """The device, and how to measure on it."""

    def __init__(self, device: torch.device, small: bool, config: str | None) -> None:
        self.device, self.small, self.config = device, small, config
        self.repeats = 2 if small else REPEATS
        self.few = 1 if small else 5  # repeats of what takes long
        self.cases = (SMALL_CASE,) if small else CASES
        self.size = Size(2000, 160, 120, 4, 6) if small else Size()

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def milliseconds(self, function: Callable[[], Any], repeats: int | None = None) -> float:
        """Median over the repeats, after three calls to warm up."""
        for _ in range(1 if self.small else 3):
            function()
        seconds = []
        for _ in range(repeats or self.repeats):
            self.wait()
            start = time.perf_counter()
            function()
            self.wait()
            seconds.append(time.perf_counter() - start)
        return 1e3 * statistics.median(seconds)


def pass_through(render: Callable[[], list[Tensor]], leaves: Scene) -> Callable[[], None]:
    """Forward and backward with a fixed random gradient."""
    gradients: list[Tensor] = []

    def run() -> None:
        for leaf in leaves.values():
            leaf.grad = None
        images = render()
        if not gradients:
            gradients.extend(torch.randn_like(image) for image in images)
        torch.autograd.backward(images, gradients)

    return run


def scene_on(case: Case, device: torch.device) -> Scene:
    return {k: v.detach().to(device).requires_grad_() for k, v in make_scene(case).items()}


def our_pass(
    case: Case, device: torch.device, want: tuple[str, ...], half: bool = False, share: float = 1.0
) -> Callable[[], None]:
    """Our forward and backward pass; with SH in half precision, or of a share of the tiles."""
    leaves, focal = scene_on(case, device), case.width / 1.5
    if half:
        leaves["sh"] = leaves["sh"].detach().half().requires_grad_()
    active = None
    if share < 1:
        tiles = torch.arange(-(-case.width // 16), device=device) < share * case.width / 16
        active = tiles.expand(-(-case.height // 16), -1)
    view = dgr.View.from_pinhole(case.width, case.height, focal, focal, torch.eye(4, device=device))

    def render() -> list[Tensor]:
        out = dgr.rasterize(
            leaves["means"], leaves["quats"], leaves["scales"], leaves["opacities"],
            sh=leaves["sh"], view=view, want=want, kernel_size=LOW_PASS, compensate=False,
            absolute_statistic=False, active_tiles=active,
        )  # fmt: skip
        return [getattr(out, name) for name in want]

    return pass_through(render, leaves)
