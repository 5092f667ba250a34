"""Everything that is measured on a GPU, as one table for docs/benchmarks.md.

    python bench/gpu.py                       all rows
    python bench/gpu.py --rows raster refine  some
    python bench/gpu.py --device cpu --small  check the script itself without a GPU

Rows: first (cold compilation), compile (every kernel; needs no GPU), gsplat (the peer is built),
parity (`pytest -m gpu`), raster (beside gsplat), parts (what refinement is made of), candidate
(AGM-Net), refine, stream, frame0. A row that fails says why; the others go on. Times are medians
after a warm-up, with the device synchronised; after each row comes its peak of memory: that of
torch's allocator on a GPU, that of the process on a CPU.

gsplat 1.5.3 compiles its kernels at its first import, with the CUDA toolkit of torch's own CUDA
version (`nvcc --version` must answer) and ninja:

    pip install ninja && pip install --no-build-isolation gsplat==1.5.3
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diff_gaussian_rasterization as dgr
import torch
from gpu_bench import LOW_PASS, SMALL_CASE, Bench, Row, our_pass, pass_through, scene_on
from gpu_parts import compile_row, parts_row
from gpu_scene import Size, make_cameras, make_gaussians, moved, write_capture
from rasterizer import Case
from torch import Tensor

from igs.metrics import peak_device_memory_mb, peak_memory_mb

ROOT = Path(__file__).resolve().parents[1]


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


def gsplat_row(bench: Bench) -> list[Row]:
    """The peer's first pass, which builds it."""
    start = time.perf_counter()
    gsplat_pass(SMALL_CASE, bench.device)()
    bench.wait()
    seconds = time.perf_counter() - start
    return [Row("gsplat, first pass with its compilation", f"{seconds:.1f} s", "")]


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
    for name, dtype in (("float32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        with torch.no_grad(), torch.autocast(bench.device.type, dtype, enabled=dtype is not None):
            key = bench.milliseconds(lambda: network.encode_key(gaussians, **views), bench.few)
            state = network.encode_key(gaussians, **views)
            spent = bench.milliseconds(lambda: network.predict(state, images))  # noqa: B023
        what = f"AGM-Net, 4 views, {side}, {anchors} anchors, {points} Gaussians, {name}"
        rows.append(Row(f"{what}: candidate", f"{spent:.1f} ms", "at most 50 ms"))
        rows.append(Row(f"{what}: key frame", f"{key:.1f} ms", ""))
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
            images[camera.name] = color.permute(1, 2, 0).round().to(torch.uint8).contiguous()
    # The slab swings in the middle fifth of its width: there the pixels change.
    active = gaussians.means[:, 0].abs() < 1.2
    changed = {camera.name: _middle(camera, bench.device) for camera in cameras}

    def run(active: Tensor | None, changed: dict[str, Tensor] | None) -> None:
        refine_key_frame(
            gaussians, cameras, images, config, extent=3.0, background=background,
            generator=torch.Generator().manual_seed(0), active=active, changed=changed,
        )  # fmt: skip

    what = f"key-frame refinement, {config.num_iterations()} iterations, {len(gaussians)} Gaussians"
    cases = {
        "": (None, None),
        ", the changed ones": (active, None),
        ", the changed ones and tiles": (active, changed),
    }
    rows = []
    for name, (some, where) in cases.items():
        seconds = bench.milliseconds(lambda: run(some, where), bench.few) / 1e3  # noqa: B023
        goal = "" if name else "at most 0.4 s"
        rows.append(Row(f"{what}, {len(cameras)} views{name}", f"{seconds:.2f} s", goal))
    return rows


def _middle(camera: Any, device: torch.device) -> Tensor:
    columns = torch.arange(camera.width, device=device)
    inside = (columns - camera.width / 2).abs() < 0.2 * camera.width
    return inside.expand(camera.height, -1)


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
    frames, name = bench.size.frames, Path(config).name
    spent = f"{summary['seconds_per_frame']:.3f} s per frame"
    rows = [Row(f"whole stream, {frames} frames, settings of {name}", spent, "at most 0.2 s")]
    for stage, seconds in summary["seconds_by_stage"].items():
        if stage != "frame0":  # loaded here
            rows.append(Row(f"of that, {stage}", f"{seconds / frames:.3f} s per frame", ""))
    return rows


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
    "compile": compile_row,
    "gsplat": gsplat_row,
    "parity": parity_row,
    "raster": raster_row,
    "parts": parts_row,
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
            for row in [*rows, memory_row(bench, name)]:
                print(f"| {row.what} | {row.measured} | {row.goal} |", flush=True)


def memory_row(bench: Bench, name: str) -> Row:
    """The peak since the row before; rows that start programs of their own do not show here."""
    if bench.device.type != "cuda":
        return Row(f"{name}: peak memory of the process", f"{peak_memory_mb():.0f} MB", "")
    peak = peak_device_memory_mb(bench.device)
    torch.cuda.reset_peak_memory_stats(bench.device)
    return Row(f"{name}: peak GPU memory of tensors", f"{peak:.0f} MB", "")


if __name__ == "__main__":
    main()
