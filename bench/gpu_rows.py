"""Rows of bench/gpu.py: the rasterizer and its peer, the tests, AGM-Net, refinement, whole runs.

Each is a generator, so that what was measured before a failure is printed all the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diff_gaussian_rasterization as dgr
import torch
from gpu_bench import LOW_PASS, SMALL_CASE, Bench, Row, our_pass, pass_through, scene_on
from gpu_parts import compile_row, parts_row
from gpu_scene import Size, make_cameras, make_gaussians, moved, write_capture
from rasterizer import Case
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
PREDICTED = ("motion=agm", "motion.weights=igs_small", "schedule.interval=5")
SHOWN_FAILURES = 20


def first_row(bench: Bench) -> Iterator[Row]:
    """The first render of a process whose cache is empty; the GPU itself is open already."""
    torch.zeros(1, device=bench.device)
    bench.wait()
    with tempfile.TemporaryDirectory() as cold:
        os.environ["IGS_KERNEL_CACHE"] = cold
        start = time.perf_counter()
        our_pass(SMALL_CASE, bench.device, ("color",))()
        bench.wait()
        seconds = time.perf_counter() - start
    yield Row("first use, cold cache: first colour pass", f"{seconds:.1f} s", "at most 20 s")


def raster_row(bench: Bench) -> Iterator[Row]:
    for case in bench.cases:
        name = f"{case.count // 1000}k {case.width}x{case.height}, forward + backward"
        color = bench.milliseconds(our_pass(case, bench.device, ("color",)))
        yield Row(f"{name}, colour", f"{color:.2f} ms", "")
        rade = bench.milliseconds(our_pass(case, bench.device, dgr.OUTPUTS))
        yield Row(f"{name}, all outputs", f"{rade:.2f} ms, {rade / color:.2f}x colour", "<= 1.5x")


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


def gsplat_row(bench: Bench) -> Iterator[Row]:
    """The peer's first pass, which builds it; then both, one after the other."""
    if bench.device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(bench.device)
        os.environ.setdefault("TORCH_CUDA_ARCH_LIST", f"{major}.{minor}")
    os.environ.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    start = time.perf_counter()
    gsplat_pass(SMALL_CASE, bench.device)()
    bench.wait()
    seconds = time.perf_counter() - start
    yield Row("gsplat, first pass with its compilation", f"{seconds:.1f} s", "")
    for case in bench.cases:
        name = f"{case.count // 1000}k {case.width}x{case.height}, forward + backward, colour"
        ours = bench.milliseconds(our_pass(case, bench.device, ("color",)))
        peer = bench.milliseconds(gsplat_pass(case, bench.device))
        again = bench.milliseconds(our_pass(case, bench.device, ("color",)))
        color = (ours + again) / 2
        measured = f"{peer:.2f} ms, {peer / color:.2f}x ours ({ours:.2f} and {again:.2f} ms)"
        yield Row(f"{name}, gsplat", measured, ">= 1.3x, stretch 2x")


def parity_row(bench: Bench) -> Iterator[Row]:
    marker = "parity" if bench.device.type == "cpu" else "gpu"
    folder = ROOT / "submodules" / "diff-gaussian-rasterization" / "tests"
    files = [folder / "test_parity.py"] if bench.small else _tests_with(marker)
    words = [sys.executable, "-m", "pytest", "-q", "-m", marker, "--continue-on-collection-errors"]
    done = subprocess.run(
        [*words, *map(str, files)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    counts = re.findall(r"\d+ (?:passed|failed|skipped|error)\w*", done.stdout)
    said = ", ".join(counts) or (done.stdout + done.stderr)[-200:]
    yield Row(f"pytest -m {marker}", said, "all pass")
    failures = re.findall(r"^(?:FAILED|ERROR) (.+)$", done.stdout, re.MULTILINE)
    for failure in failures[:SHOWN_FAILURES]:
        yield Row("of these, failed", failure, "")


def _tests_with(marker: str) -> list[Path]:
    """Files that name the marker: the others need packages that a GPU machine may not have."""
    every = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("submodules/*/tests/test_*.py")]
    return sorted(f for f in every if f"mark.{marker}" in f.read_text(encoding="utf-8"))


def candidate_row(bench: Bench) -> Iterator[Row]:
    from dataclasses import replace

    from motion import make_input

    from igs.motion import AGMConfig, AGMNet

    points, side, anchors = (500, 64, 32) if bench.small else (150_000, 512, 8192)
    preset = AGMConfig.small() if bench.small else AGMConfig()
    network = AGMNet(replace(preset, network_size=side, anchors=anchors)).eval().to(bench.device)
    sizes = Namespace(points=points, views=4, size=side)
    gaussians, views, images = make_input(sizes, bench.device)
    for name, dtype in (("bf16", torch.bfloat16), ("float32", None), ("fp16", torch.float16)):
        with torch.no_grad(), torch.autocast(bench.device.type, dtype, enabled=dtype is not None):
            key = bench.milliseconds(lambda: network.encode_key(gaussians, **views), bench.few)
            state = network.encode_key(gaussians, **views)
            spent = bench.milliseconds(lambda: network.predict(state, images))  # noqa: B023
        what = f"AGM-Net, 4 views, {side}, {anchors} anchors, {points} Gaussians, {name}"
        yield Row(f"{what}: candidate", f"{spent:.1f} ms", "at most 50 ms")
        yield Row(f"{what}: key frame", f"{key:.1f} ms", "")


def refine_row(bench: Bench) -> Iterator[Row]:
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
    for name, (some, where) in cases.items():
        seconds = bench.milliseconds(lambda: run(some, where), bench.few) / 1e3  # noqa: B023
        goal = "" if name else "at most 0.4 s"
        yield Row(f"{what}, {len(cameras)} views{name}", f"{seconds:.2f} s", goal)


def _middle(camera: Any, device: torch.device) -> Tensor:
    columns = torch.arange(camera.width, device=device)
    inside = (columns - camera.width / 2).abs() < 0.2 * camera.width
    return inside.expand(camera.height, -1)


def stream_row(bench: Bench) -> Iterator[Row]:
    """From video files to Gaussians: every frame refined, and four of five predicted."""
    config = bench.config or str(ROOT / "configs" / "demo.yaml")
    name = f"settings of {Path(config).name}"
    runs: dict[str, tuple[str, ...]] = {name: ()}
    if not (bench.config or bench.small):
        runs[f"{name}, four of five frames predicted"] = PREDICTED
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture"
        write_capture(capture, bench.size, bench.device)
        for what, settings in runs.items():
            out = Path(folder) / f"out{len(settings)}"
            summary = _streamed(bench, config, capture, out, settings)
            spent = f"{summary['seconds_per_frame']:.3f} s per frame"
            frames = bench.size.frames
            yield Row(f"whole stream, {frames} frames, {what}", spent, "at most 0.2 s")
            for stage, seconds in summary["seconds_by_stage"].items():
                if stage != "frame0":  # loaded here
                    yield Row(f"of that, {stage}", f"{seconds / frames:.3f} s per frame", "")


def _streamed(
    bench: Bench, config: str, capture: Path, out: Path, settings: tuple[str, ...]
) -> dict[str, Any]:
    words = [
        *(f"output={out}", "data.kind=videos", f"data.root={capture}"),
        *("data.videos=videos", "box.file=bbox.json", "box.scene=bench", "frame0.mode=load"),
        *(f"frame0.ply={capture}/frame0.ply", "write.videos=false"),
        *("free_view.enabled=false", f"device={bench.device}", *settings),
    ]
    if bench.small:
        words.append("refine.iterations=1")
    igs("stream", "--config", config, *words)
    return json.loads((out / "results.json").read_text(encoding="utf-8"))["summary"]


def frame0_row(bench: Bench) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder) / "capture"
        size = bench.size
        still = Size(size.gaussians, size.width, size.height, size.views, 1)
        write_capture(capture, still, bench.device)
        start = time.perf_counter()
        words = [f"device={bench.device}"]
        if bench.small:
            words.append("frame0.iterations=20")
        igs("frame0", str(capture), "--out", f"{folder}/out", "--preset", "fast", *words)
        seconds = time.perf_counter() - start
    yield Row("frame 0, preset fast", f"{seconds:.0f} s", "at most 120 s")


def igs(*words: str) -> None:
    """A command of igs in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "igs.cli", *words], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip()[-400:])


# Seconds that a row may take; together with what is left for gsplat less than ten minutes.
ROWS: dict[str, tuple[Callable[[Bench], Iterator[Row]], float]] = {
    "first": (first_row, 60),
    "raster": (raster_row, 60),
    "refine": (refine_row, 60),
    "candidate": (candidate_row, 60),
    "parts": (parts_row, 45),
    "stream": (stream_row, 150),
    "frame0": (frame0_row, 180),
    "parity": (parity_row, 180),
    "compile": (compile_row, 60),
    "gsplat": (gsplat_row, 3600),
}
