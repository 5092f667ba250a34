"""Everything that is measured on a GPU, as one table for docs/benchmarks.md.

    python bench/gpu.py                       all rows, in less than ten minutes
    python bench/gpu.py --rows raster refine  some
    python bench/gpu.py --rows gsplat --minutes 20
    python bench/gpu.py --device cpu --small  check the script itself without a GPU

Rows: first (cold compilation), raster, refine, candidate (AGM-Net), parts (what refinement is made
of), stream, frame0, parity (`pytest -m gpu`), compile (every kernel; needs no GPU), gsplat (the
peer is built, then timed between two of our own passes).

Each row runs in a process of its own with a time limit: one that fails, hangs or breaks the GPU's
context says so and costs the others nothing, and what it measured before stays. A row that no time
is left for is named; ask for it by itself. Times are medians after a warm-up, with the device
synchronised; after a row comes its peak of memory: that of torch's allocator on a GPU, that of the
process on a CPU.

gsplat 1.5.3 compiles its kernels at its first pass, with the CUDA toolkit of torch's own CUDA
version (`nvcc --version` must answer) and ninja; that takes minutes, so it comes last:

    pip install ninja && pip install --no-build-isolation gsplat==1.5.3
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from importlib import metadata
from pathlib import Path

import torch
from gpu_bench import Bench, Row
from gpu_rows import ROWS

from igs.metrics import peak_device_memory_mb, peak_memory_mb

SHORTEST = 10.0  # seconds; less is not worth a start


def machine(device: torch.device) -> str:
    """Machine, driver and versions, one line each."""
    lines = [f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"]
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        lines.append(
            f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute "
            f"{properties.major}.{properties.minor}, driver {_driver()}"
        )
    versions = {
        "torch": torch.__version__,
        "CUDA of torch": torch.version.cuda,
        "NVRTC": _nvrtc(),
        "cuda-bindings": _version("cuda-bindings"),
        "gsplat": _version("gsplat"),
    }
    lines.append(", ".join(f"{name} {version}" for name, version in versions.items()))
    return "\n".join(lines)


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        said = ""
    return (said.split() or ["unknown"])[0]


def _version(package: str) -> str:
    """Without importing it: that may compile it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _nvrtc() -> str:
    try:
        from nvrtc_kernels import nvrtc_version

        return ".".join(map(str, nvrtc_version()))
    except Exception as error:
        return f"not usable ({_line(error)})"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error) else ''}"


def show(row: Row) -> None:
    cells = (" ".join(cell.replace("|", "/").split()) for cell in row)
    print(f"| {' | '.join(cells)} |", flush=True)


def run_here(name: str, arguments: Namespace) -> bool:
    """One row in this process; False if it failed."""
    bench = Bench(torch.device(arguments.device), arguments.small, arguments.config)
    try:
        for row in ROWS[name][0](bench):
            show(row)
    except Exception as error:
        traceback.print_exc()
        show(Row(name, f"failed: {_line(error)}", ""))
        return False
    if bench.device.type != "cuda":
        show(Row(f"{name}: peak memory of the process", f"{peak_memory_mb():.0f} MB", ""))
    elif peak := peak_device_memory_mb(bench.device):
        show(Row(f"{name}: peak GPU memory of tensors", f"{peak:.0f} MB", ""))
    return True


def run_apart(name: str, arguments: Namespace, limit: float, errors: Path) -> None:
    """One row in a process of its own, ended with all that it started when its time is over."""
    words = [sys.executable, __file__, "--here", name, "--device", arguments.device]
    words += ["--small"] if arguments.small else []
    words += ["--config", arguments.config] if arguments.config else []
    with errors.open("w+", encoding="utf-8", errors="replace") as said:
        child = subprocess.Popen(words, stderr=said, start_new_session=True)
        try:
            code = child.wait(limit)
            if code not in (0, 1):  # 1: it has said so itself
                show(Row(name, f"ended with code {code}: {_last_line(errors)}", ""))
        except subprocess.TimeoutExpired:
            show(Row(name, f"stopped after {limit:.0f} s; more with --rows {name} --minutes", ""))
        finally:
            _end(child)
    if arguments.traceback:
        print(errors.read_text(encoding="utf-8", errors="replace"), file=sys.stderr, flush=True)


def _end(child: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else ""


def run_all(arguments: Namespace) -> None:
    """The rows asked for, in the order of `ROWS`, within the time allowed."""
    end = time.monotonic() + 60 * arguments.minutes
    print(machine(torch.device(arguments.device)), "\n\n| what | measured | goal |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["IGS_KERNEL_CACHE"] = str(Path(folder) / "kernels")  # nothing is left behind
        for name, (_, seconds) in ROWS.items():
            if name not in arguments.rows:
                continue
            # A row asked for by itself may take all the time there is.
            left = end - time.monotonic()
            limit = left if len(arguments.rows) == 1 else min(seconds, left)
            if limit < SHORTEST:
                show(Row(name, f"no time left; python bench/gpu.py --rows {name}", ""))
                continue
            run_apart(name, arguments, limit, Path(folder) / f"{name}.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure everything on a GPU.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all rows together")
    parser.add_argument("--small", action="store_true", help="tiny sizes: checks this script")
    parser.add_argument("--config", help="settings of the stream (default configs/demo.yaml)")
    parser.add_argument("--traceback", action="store_true", help="what each row wrote to stderr")
    parser.add_argument("--here", choices=ROWS, help="one row in this process, without a limit")
    arguments = parser.parse_args()
    if torch.device(arguments.device).type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --small checks the script without one")
    if arguments.here:
        sys.exit(0 if run_here(arguments.here, arguments) else 1)
    run_all(arguments)


if __name__ == "__main__":
    main()
