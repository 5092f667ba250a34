"""Everything that is measured on a GPU, as one table for docs/benchmarks.md.

    python bench/gpu.py                       all rows
    python bench/gpu.py --rows raster refine  some
    python bench/gpu.py --device cpu --small  check the script itself without a GPU

Rows: first (cold compilation), parity (`pytest -m gpu`), raster (beside gsplat where it can be
imported), candidate (AGM-Net), refine, stream, frame0. A row that fails says why; the others go on.
Times are medians after a warm-up, with the device synchronised.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import diff_gaussian_rasterization as dgr
import torch
from gpu_scene import Size, make_cameras, make_gaussians, moved, write_capture
from rasterizer import Case, Scene, make_scene
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
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


def our_pass(case: Case, device: torch.device, want: tuple[str, ...]) -> Callable[[], None]:
    leaves, focal = scene_on(case, device), case.width / 1.5
    view = dgr.View.from_pinhole(case.width, case.height, focal, focal, torch.eye(4, device=device))

    def render() -> list[Tensor]:
        out = dgr.rasterize(
            leaves["means"], leaves["quats"], leaves["scales"], leaves["opacities"],
            sh=leaves["sh"], view=view, want=want, kernel_size=LOW_PASS, compensate=False,
            absolute_statistic=False,
        )  # fmt: skip
        return [getattr(out, name) for name in want]

    return pass_through(render, leaves)


def gsplat_pass(case: Case, device: torch.device) -> Callable[[], None]:
    from gsplat import rasterization  # pyright: ignore[reportMissingImports]

    leaves, focal = scene_on(case, device), case.width / 1.5
    poses = torch.eye(4, device=device)[None]
    lens = torch.tensor(
        [[[focal, 0, case.width / 2], [0, focal, case.height / 2], [0, 0, 1]]], device=device
    )

    def render() -> list[Tensor]:
        color, _, _ = rasterization(
            leaves["means"], leaves["quats"], leaves["scales"], leaves["opacities"][:, 0],
            leaves["sh"], poses, lens, case.width, case.height, sh_degree=3, eps2d=LOW_PASS,
            packed=False,
        )  # fmt: skip
        return [color]

    return pass_through(render, leaves)


def first_row(bench: Bench) -> list[Row]:
    """The first render of a process whose cache is empty."""
    start = time.perf_counter()
    our_pass(SMALL_CASE, bench.device, ("color",))()
    bench.wait()
    seconds = time.perf_counter() - start
    return [Row("first use, cold cache: first colour pass", f"{seconds:.1f} s", "at most 20 s")]


def parity_row(bench: Bench) -> list[Row]:
    marker = "parity" if bench.device.type == "cpu" else "gpu"
    tests = "submodules/diff-gaussian-rasterization/tests/test_parity.py" if bench.small else "."
    words = [sys.executable, "-m", "pytest", "-q", "-m", marker, tests]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    counts = re.findall(r"\d+ (?:passed|failed|skipped|error)\w*", done.stdout)
    return [Row(f"pytest -m {marker}", ", ".join(counts) or done.stdout[-200:], "all pass")]


def raster_row(bench: Bench) -> list[Row]:
    rows = []
    for case in bench.cases:
        color = bench.milliseconds(our_pass(case, bench.device, ("color",)))
        rade = bench.milliseconds(our_pass(case, bench.device, dgr.OUTPUTS))
        name = f"{case.count // 1000}k {case.width}x{case.height}, forward + backward"
        rows.append(Row(f"{name}, colour", f"{color:.2f} ms", ""))
        rows.append(
            Row(f"{name}, all outputs", f"{rade:.2f} ms, {rade / color:.2f}x colour", "<= 1.5x")
        )
        try:
            peer = bench.milliseconds(gsplat_pass(case, bench.device))
            measured = f"{peer:.2f} ms, {peer / color:.2f}x ours"
        except Exception as error:
            measured = f"failed: {_line(error)}"
        rows.append(Row(f"{name}, gsplat", measured, ">= 1.3x, stretch 2x"))
    return rows


def candidate_row(bench: Bench) -> list[Row]:
    from dataclasses import replace

    from motion import make_input

    from igs.motion import AGMConfig, AGMNet

    points, side, anchors = (500, 64, 32) if bench.small else (150_000, 512, 8192)
    preset = AGMConfig.small() if bench.small else AGMConfig()
    network = AGMNet(replace(preset, network_size=side, anchors=anchors)).eval().to(bench.device)
    sizes = Namespace(points=points, views=4, size=side)
    gaussians, views, images = make_input(sizes, bench.device)
    rows = []
    for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16)):
        with torch.no_grad():
            mixed = torch.autocast(
                bench.device.type, torch.bfloat16, enabled=dtype != torch.float32
            )
            with mixed:
                key = network.encode_key(gaussians, **views)
                spent = bench.milliseconds(lambda: network.predict(key, images))  # noqa: B023
        what = f"AGM-Net candidate, 4 views, {side}, {anchors} anchors, {points} Gaussians, {name}"
        rows.append(Row(what, f"{spent:.1f} ms", "at most 50 ms"))
    return rows


def refine_row(bench: Bench) -> list[Row]:
    from igs.config.schema import RefineConfig
    from igs.render import render
    from igs.stream.refine import refine_key_frame

    cameras, gaussians = make_cameras(bench.size), make_gaussians(bench.size, bench.device)
    background = torch.zeros(3, device=bench.device)
    config = RefineConfig(iterations=2) if bench.small else RefineConfig()
    images: dict[str, Any] = {}
    with torch.no_grad():
        for camera in cameras:
            color = render(moved(gaussians, 3), camera, background).color.clamp(0, 1) * 255
            images[camera.name] = color.permute(1, 2, 0).round().to("cpu", torch.uint8).numpy()

    def run() -> None:
        refine_key_frame(
            gaussians, cameras, images, config, extent=3.0, background=background,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

    seconds = bench.milliseconds(run, repeats=1 if bench.small else 5) / 1e3
    what = f"key-frame refinement, {config.num_iterations()} iterations, {len(gaussians)} Gaussians"
    return [Row(f"{what}, {len(cameras)} views", f"{seconds:.2f} s", "at most 0.4 s")]


def stream_row(bench: Bench) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture"
        write_capture(capture, bench.size, bench.device)
        words = [
            *(f"output={folder}/out", "data.kind=videos", f"data.root={capture}"),
            "data.videos=videos",
            *("box.file=bbox.json", "box.scene=bench", "frame0.mode=load"),
            *(f"frame0.ply={capture}/frame0.ply", "write.videos=false"),
            *("free_view.enabled=false", f"device={bench.device.type}"),
        ]
        if bench.small:
            words.append("refine.iterations=1")
        config = bench.config or str(ROOT / "configs" / "demo.yaml")
        _igs("stream", "--config", config, *words)
        summary = json.loads((Path(folder) / "out" / "results.json").read_text())["summary"]
    times = {k: v for k, v in summary.items() if "second" in k or k.endswith("_s")}
    measured = ", ".join(f"{k} {v:.3f}" for k, v in times.items() if isinstance(v, float))
    what = f"whole stream, {bench.size.frames} frames, settings of {Path(config).name}"
    return [Row(what, measured or json.dumps(summary)[:300], "at most 0.2 s per frame")]


def frame0_row(bench: Bench) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture"
        size = bench.size
        still = Size(size.gaussians, size.width, size.height, size.views, 1)
        write_capture(capture, still, bench.device)
        start = time.perf_counter()
        words = [f"device={bench.device.type}"]
        if bench.small:
            words.append("frame0.iterations=20")
        _igs("frame0", str(capture), "--out", f"{folder}/out", "--preset", "fast", *words)
        seconds = time.perf_counter() - start
    return [Row("frame 0, preset fast", f"{seconds:.0f} s", "at most 120 s")]


def _igs(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "igs.cli", *words], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-400:])


ROWS: dict[str, Callable[[Bench], list[Row]]] = {
    "first": first_row,
    "parity": parity_row,
    "raster": raster_row,
    "candidate": candidate_row,
    "refine": refine_row,
    "stream": stream_row,
    "frame0": frame0_row,
}


def machine(device: torch.device) -> str:
    """Machine, driver and versions, one line each."""
    lines = [f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"]
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            driver = "unknown"
        lines.append(
            f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute "
            f"{properties.major}.{properties.minor}, driver {driver.split()[0]}"
        )
    versions = {"torch": torch.__version__, "CUDA of torch": torch.version.cuda}
    for module in ("gsplat", "nvrtc_kernels"):
        versions[module] = _version(module)
    lines.append(", ".join(f"{name} {version}" for name, version in versions.items()))
    return "\n".join(lines)


def _version(module: str) -> str:
    try:
        if module == "nvrtc_kernels":
            from nvrtc_kernels import nvrtc_version

            return f"with NVRTC {'.'.join(map(str, nvrtc_version()))}"
        return str(__import__(module).__version__)
    except Exception as error:
        return f"not usable ({_line(error)})"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error) else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure everything on a GPU.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny sizes: checks this script")
    parser.add_argument("--config", help="settings of the stream (default configs/demo.yaml)")
    parser.add_argument("--traceback", action="store_true", help="of rows that fail")
    arguments = parser.parse_args()
    bench = Bench(torch.device(arguments.device), arguments.small, arguments.config)
    print(machine(bench.device), "\n\n| what | measured | goal |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["IGS_KERNEL_CACHE"] = cache  # cold, and nothing is left behind
        for name in arguments.rows:
            try:
                rows = ROWS[name](bench)
            except Exception as error:
                if arguments.traceback:
                    traceback.print_exc()
                rows = [Row(name, f"failed: {_line(error)}", "")]
            for row in rows:
                print(f"| {row.what} | {row.measured} | {row.goal} |", flush=True)


if __name__ == "__main__":
    main()
