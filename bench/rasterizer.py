"""Time the rasterizer on the four scenes of the benchmark recipe, beside a peer in the same run.

    python bench/rasterizer.py [--quick] [--threads N]

Forward is projection, SH degree 3, sort and compositing; backward gives all gradients to means,
scales, quaternions, SH and opacities. Medians of wall time after one warm-up; `cpu` is the
processor time of both passes together, which other jobs on the machine disturb less. The peer is
plain 3DGS with torch and NVIDIA Warp on its CPU backend (bench/warp_peer.py), which composites
on one thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import diff_gaussian_rasterization as dgr
import numpy as np
import torch
from torch import Tensor


class Case(NamedTuple):
    """A scene of the recipe: p is the median size in pixels at a width of 512."""

    count: int
    width: int
    height: int
    p: float
    opensplat_ms: float | None

    @property
    def name(self) -> str:
        return f"{self.count // 1000}k {self.width}x{self.height}"


# Last column: OpenSplat's CPU totals as published with the recipe, measured on another machine
# (2 cores of an AMD EPYC server); for the fourth scene the best total seen there.
CASES = (
    Case(10_000, 512, 384, 3.0, 249.0),
    Case(10_000, 1352, 1014, 3.0, 1880.0),
    Case(100_000, 512, 384, 1.5, 950.0),
    Case(100_000, 1352, 1014, 1.5, 6600.0),
    Case(150_000, 1352, 1014, 1.5, None),
)
LINEARITY = (50_000, 100_000, 200_000, 400_000)
LOW_PASS = 0.3

Scene = dict[str, Tensor]


class Timing(NamedTuple):
    """Medians in milliseconds."""

    forward: float
    backward: float
    cpu: float

    @property
    def total(self) -> float:
        return self.forward + self.backward


def make_scene(case: Case) -> Scene:
    """The recipe's random scene: camera at the origin, tan(FoVx/2) = 0.75."""
    rng = np.random.default_rng(42)
    n = case.count
    z = rng.uniform(2, 10, n)
    x = z * 0.75 * rng.uniform(-1, 1, n)
    y = z * 0.75 * case.height / case.width * rng.uniform(-1, 1, n)
    scales = np.exp(rng.normal(0, 0.5, (n, 3))) * (case.p * z / (512 / 1.5))[:, None]
    quats = rng.normal(size=(n, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    opacities = 1 / (1 + np.exp(-rng.normal(0, 1.5, (n, 1))))
    arrays = {
        "means": np.stack([x, y, z], 1),
        "quats": quats,
        "scales": scales,
        "opacities": opacities,
        "sh": rng.normal(0, 0.2, (n, 16, 3)),
    }
    return {k: torch.tensor(v, dtype=torch.float32).requires_grad_() for k, v in arrays.items()}


def measure(render: Callable[[], list[Tensor]], leaves: Scene, repeats: int) -> Timing:
    """Time forward and backward separately, one warm-up first."""
    samples = []
    gradients: list[Tensor] = []
    for k in range(repeats + 1):
        for leaf in leaves.values():
            leaf.grad = None
        cpu, start = time.process_time(), time.perf_counter()
        images = render()
        middle, spent = time.perf_counter(), time.process_time() - cpu
        if not gradients:
            gradients = [torch.randn(i.shape) for i in images]
        cpu, again = time.process_time(), time.perf_counter()
        torch.autograd.backward(images, gradients)
        end, spent = time.perf_counter(), spent + time.process_time() - cpu
        if k:
            samples.append((middle - start, end - again, spent))
    return Timing(*(1e3 * statistics.median(column) for column in zip(*samples, strict=True)))


def measure_ours(case: Case, want: tuple[str, ...], repeats: int) -> Timing:
    scene = make_scene(case)
    focal = case.width / 1.5
    view = dgr.View.from_pinhole(case.width, case.height, focal, focal, torch.eye(4))

    def render() -> list[Tensor]:
        out = dgr.rasterize(
            scene["means"],
            scene["quats"],
            scene["scales"],
            scene["opacities"],
            sh=scene["sh"],
            view=view,
            want=want,
            kernel_size=LOW_PASS,
            compensate=False,
        )
        return [getattr(out, name) for name in want]

    return measure(render, scene, repeats)


def load_peer() -> ModuleType | None:
    """The Warp peer, or None where Warp is not installed (`pip install warp-lang`)."""
    try:
        import warp_peer
    except ImportError:
        return None
    return warp_peer


def measure_peer(case: Case, repeats: int, warp_peer: ModuleType) -> Timing:
    scene = make_scene(case)
    camera = warp_peer.Camera(case.width, case.height, case.width / 1.5)
    return measure(lambda: [warp_peer.render(camera, **scene)], scene, repeats)


def cell(timing: Timing | None) -> str:
    if timing is None:
        return f"{'-':>24}"
    return f"{timing.forward:7.0f} {timing.backward:7.0f} {timing.total:8.0f}"


def print_header() -> None:
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, load {_load()}; torch {torch.__version__}")
    print(f"engine: {dgr.simd_variant()}, {dgr.get_num_threads()} threads; milliseconds\n")
    print(
        f"{'':18}{'colour only':^24}  {'all outputs':^24} {'all/':>6}  {'Warp peer, colour':^24}"
        f" {'peer/':>6} {'OpenSplat':>10}"
    )
    columns = f"{'fwd':>7} {'bwd':>7} {'total':>8}"
    print(
        f"{'scene':18}{columns}  {columns} {'colour':>6}  {columns} {'ours':>6} {'(spec) *':>10}"
        f" {'cpu colour':>11} {'cpu all':>8}"
    )


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def print_case(case: Case, repeats: int, warp_peer: ModuleType | None) -> None:
    color = measure_ours(case, ("color",), repeats)
    everything = measure_ours(case, dgr.OUTPUTS, repeats)
    peer = measure_peer(case, max(1, repeats // 3), warp_peer) if warp_peer else None
    ratio = f"{peer.total / color.total:6.0f}x" if peer else f"{'-':>7}"
    published = f"{case.opensplat_ms:9.0f}" if case.opensplat_ms else f"{'-':>9}"
    print(
        f"{case.name:18}{cell(color)}  {cell(everything)} {everything.total / color.total:6.2f}"
        f"  {cell(peer)}{ratio} {published} {color.cpu:11.0f} {everything.cpu:8.0f}",
        flush=True,
    )


def print_linearity(repeats: int) -> None:
    print("\nGaussians against time, 512x384, p = 1.5, colour only, forward + backward:")
    base = None
    for count in LINEARITY:
        timing = measure_ours(Case(count, 512, 384, 1.5, None), ("color",), repeats)
        base = base or timing.total / count
        per = 1e6 * timing.total / count
        print(
            f"  {count // 1000:4d}k {timing.total:8.0f} ms, {per:6.0f} ns a Gaussian, "
            f"{timing.total / count / base:5.2f} of the first",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the rasterizer beside a peer.")
    parser.add_argument("--quick", action="store_true", help="two small scenes, few repeats")
    parser.add_argument("--threads", type=int, default=None, help="default: all CPUs")
    arguments = parser.parse_args()
    if arguments.threads:
        dgr.set_num_threads(arguments.threads)
        torch.set_num_threads(arguments.threads)
    repeats = 3 if arguments.quick else 7
    warp_peer = load_peer()
    print_header()
    for case in (CASES[0], CASES[2]) if arguments.quick else CASES:
        print_case(case, repeats, warp_peer)
    print("* measured by the recipe's authors on their machine, forward + backward, colour only")
    if not arguments.quick:
        print_linearity(repeats)


if __name__ == "__main__":
    main()
