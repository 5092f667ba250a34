"""`igs doctor`: what is installed, what is missing, and what to do about it."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import igs

Status = Literal["ok", "warn", "missing"]

_GIB = 2**30
_LITTLE_MEMORY_GIB = 4.0
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 10), (3, 13)

# Module, distribution. igs cannot run without these.
_REQUIRED = (
    ("torch", "torch"),
    ("numpy", "numpy"),
    ("scipy", "scipy"),
    ("PIL", "pillow"),
    ("av", "av"),
    ("omegaconf", "omegaconf"),
    ("safetensors", "safetensors"),
    ("tqdm", "tqdm"),
    ("psutil", "psutil"),
    ("yaml", "pyyaml"),
    ("zstandard", "zstandard"),
)

# Module, distribution, folder under submodules/.
_NATIVE = (
    ("nvrtc_kernels", "igs-nvrtc-kernels", "nvrtc-kernels"),
    ("diff_gaussian_rasterization", "igs-rasterizer", "diff-gaussian-rasterization"),
    ("simple_knn", "igs-simple-knn", "simple-knn"),
    ("fused_ssim", "igs-fused-ssim", "fused-ssim"),
    ("gmflow", "igs-gmflow", "gmflow"),
)

# Module, distribution, what it is good for, how to get it.
_OPTIONAL = (
    ("mitsuba", "mitsuba", "rendering the demo scene anew", "pip install mitsuba"),
    ("warp", "warp-lang", "a peer for bench/rasterizer.py", "pip install warp-lang"),
    ("accelerate", "accelerate", "igs train and main.py", "pip install 'igs[train]'"),
    ("tensorboard", "tensorboard", "curves of a training", "pip install 'igs[train]'"),
    ("pycolmap", "pycolmap", "cameras from images (igs prepare)", "pip install 'igs[prepare]'"),
    ("ray", "ray", "igs build on a cluster", "pip install 'igs[cluster]'"),
    ("skimage", "scikit-image", "igs mesh", "pip install 'igs[mesh]'"),
    ("trimesh", "trimesh", "igs mesh", "pip install 'igs[mesh]'"),
    ("fastapi", "fastapi", "igs serve", "pip install 'igs[serve]'"),
    ("uvicorn", "uvicorn", "igs serve", "pip install 'igs[serve]'"),
    ("huggingface_hub", "huggingface_hub", "weights by hub id", "pip install 'igs[hub]'"),
    ("cuda", "cuda-bindings", "CUDA kernels", "pip install 'igs[cuda]'"),
)


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        section: heading it is listed under.
        name: what was looked at.
        status: ``ok``; ``warn`` for an optional part that is absent or a doubtful machine;
            ``missing`` for something igs cannot run without.
        detail: version, count or the error seen.
        cure: what to do about it; empty when there is nothing to do.
    """

    section: str
    name: str
    status: Status
    detail: str
    cure: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb `doctor`."""
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, what is missing, what to do about it",
        description="Exit code 0, or 1 when something that igs cannot run without is missing.",
    )
    parser.add_argument(
        "--required", action="store_true", help="print only what is missing and cannot be"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 if something required is missing, else 0."""
    checks = collect()
    missing = [check for check in checks if check.status == "missing"]
    shown = missing if arguments.required else checks
    if shown:
        print(render_report(shown))
    return 1 if missing else 0


def collect() -> list[Check]:
    """Look at the machine and the installation; changes nothing."""
    return [
        *_machine(),
        *(_required_package(module, name) for module, name in _REQUIRED),
        *(_native_package(*row) for row in _NATIVE),
        *_devices(),
        _video_encoder(),
        *(_optional_package(*row) for row in _OPTIONAL),
        *_packaged_files(),
    ]


def render_report(checks: Sequence[Check]) -> str:
    """The findings as aligned text, one a line, grouped by section, cures below their finding."""
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    section = ""
    for check in checks:
        if check.section != section:
            section = check.section
            lines += ["", section] if lines else [section]
        lines.append(f"  {check.status:<7}  {check.name:<{width}}  {check.detail}".rstrip())
        if check.cure:
            lines.append(f"  {'':<7}  {'':<{width}}  -> {check.cure}")
    return "\n".join(lines)


def _machine() -> list[Check]:
    section = "machine"
    version = sys.version_info[:2]
    supported = _OLDEST_PYTHON <= version <= _NEWEST_PYTHON
    python = Check(
        section,
        "python",
        "ok" if supported else "missing",
        f"{platform.python_version()} ({sys.executable})",
        "" if supported else "use Python 3.10 to 3.13: make distclean, then make demo PYTHON=...",
    )
    return [
        Check(section, "igs", "ok", igs.__version__),
        python,
        Check(section, "platform", "ok", f"{platform.platform()} {platform.machine()}"),
        Check(section, "cores", "ok", str(_usable_cores())),
        _memory(section),
    ]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # Linux alone knows which cores a process may use
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(section: str) -> Check:
    try:
        import psutil
    except ImportError:
        return Check(section, "memory", "warn", "unknown without psutil")
    memory = psutil.virtual_memory()
    free, total = memory.available / _GIB, memory.total / _GIB
    little = free < _LITTLE_MEMORY_GIB
    return Check(
        section,
        "memory",
        "warn" if little else "ok",
        f"{free:.1f} GiB free of {total:.1f} GiB",
        "close other programs: the demo needs about 4 GiB" if little else "",
    )


def _required_package(module: str, distribution: str) -> Check:
    error = _import_error(module)
    if error:
        cure = f"make setup, or: pip install {distribution}"
        return Check("packages", distribution, "missing", error, cure)
    # torch's own word tells its build (+cpu, +cu130), which the wheel's metadata may not.
    own = getattr(importlib.import_module(module), "__version__", None)
    return Check("packages", distribution, "ok", str(own or _version(distribution)))


def _native_package(module: str, distribution: str, folder: str) -> Check:
    error = _import_error(module)
    if error:
        cure = f"make setup, or: pip install ./submodules/{folder}"
        return Check("igs packages", distribution, "missing", error, cure)
    detail = _version(distribution)
    simd = _simd(module)
    return Check("igs packages", distribution, "ok", f"{detail}, {simd}" if simd else detail)


def _simd(module: str) -> str:
    """The instruction set the package's engine chose for this CPU, where it tells."""
    tell = getattr(importlib.import_module(module), "simd_variant", None)
    if not callable(tell):
        return ""
    try:
        return f"SIMD: {tell()}"
    except ValueError as error:  # IGS_SIMD names what this machine has not
        return str(error)


def _devices() -> list[Check]:
    section = "devices"
    if _import_error("torch"):
        return [Check(section, "torch", "warn", "unknown without torch")]
    import torch

    checks = [Check(section, "cpu", "ok", f"{torch.get_num_threads()} torch threads")]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory / _GIB
        checks.append(Check(section, f"cuda:{index}", "ok", f"{properties.name}, {memory:.0f} GiB"))
    if not torch.cuda.is_available():
        built = (
            f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU torch"
        )
        checks.append(Check(section, "cuda", "ok", f"none, not needed ({built})"))
    return checks


def _video_encoder() -> Check:
    section, name = "devices", "H.264 encoder"
    if _import_error("av"):
        return Check(section, name, "warn", "unknown without av")
    import av.codec

    try:
        codec = av.codec.Codec("h264", "w")
    except ValueError:  # PyAV's UnknownCodecError is one
        cure = "pip install --force-reinstall --only-binary=av av"
        return Check(section, name, "warn", "this build of PyAV has none", cure)
    return Check(section, name, "ok", codec.name)


def _optional_package(module: str, distribution: str, purpose: str, cure: str) -> Check:
    # Looked for, not imported: some of these take seconds to load.
    if importlib.util.find_spec(module) is None:
        return Check("optional", distribution, "warn", f"not installed ({purpose})", cure)
    return Check("optional", distribution, "ok", f"{_version(distribution)} ({purpose})")


def _packaged_files() -> list[Check]:
    section = "files"
    error = _import_error("igs.config.resources")
    if error:
        return [Check(section, "configs", "missing", error, "see the packages above")]
    from igs.config import resources

    return [_packaged_configs(resources.config_names()), _weights(resources.weights_names())]


def _packaged_configs(names: Sequence[str]) -> Check:
    if not names:
        cure = "reinstall igs: its configs were left out"
        return Check("files", "configs", "missing", "none found", cure)
    return Check("files", "configs", "ok", ", ".join(names))


def _weights(names: Sequence[str]) -> Check:
    if not names:
        cure = "stream with `motion: none` (refinement alone), or name a file in the config"
        return Check("files", "weights", "warn", "no AGM-Net weights come with this igs", cure)
    return Check("files", "weights", "ok", ", ".join(names))


def _import_error(module: str) -> str:
    """Empty when the module imports, else why it does not."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that does not load
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "version unknown (not installed by pip)"
