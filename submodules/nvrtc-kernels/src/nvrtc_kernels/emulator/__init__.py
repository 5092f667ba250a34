"""Runs CUDA kernels on the CPU, for tests on machines without a GPU.

The same sources, compiled as C++ with a header in place of the GPU: threads are fibers, barriers
and warp exchanges are real. Far too slow for anything but small scenes.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import torch

from nvrtc_kernels.program import Program

HEADER = Path(__file__).resolve().parent / "emulator.h"
_KERNEL = re.compile(
    r"__global__ void\s+(?:__launch_bounds__\(\d+\)\s+)?(\w+)\(const ([\w:]+) \w+\)"
)
_FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared", "-w")


def compiler() -> str | None:
    """The C++ compiler that builds emulated kernels, if there is one."""
    return shutil.which(os.environ.get("CXX", "g++"))


class EmulatorLauncher:
    """A `Launcher` for tensors on the CPU.

    Args:
        folder: where compiled programs are kept; may be shared between runs.
        backwards: run blocks and threads in descending order. The result must not depend on it.
    """

    def __init__(self, folder: Path, backwards: bool = False) -> None:
        self._folder = folder
        self._backwards = backwards
        self._libraries: dict[Program, ctypes.CDLL] = {}

    def launch(
        self,
        program: Program,
        kernel: str,
        blocks: int,
        threads: int,
        arguments: ctypes.Structure,
        device: torch.device,
    ) -> None:
        """Run to the end.

        Raises:
            RuntimeError: the source does not compile, or the struct has another size there.
        """
        if device.type != "cpu":
            raise ValueError(f"the emulator runs on CPU tensors, got {device}")
        library = self._library(program)
        size = getattr(library, f"size_of_{kernel}")()
        if size != ctypes.sizeof(arguments):
            raise RuntimeError(
                f"{kernel} of {program.label} takes {size} bytes, given {ctypes.sizeof(arguments)}"
            )
        run = getattr(library, f"emulate_{kernel}")
        run(blocks, threads, int(self._backwards), ctypes.byref(arguments))

    def prepare(self, programs: Iterable[Program], device: torch.device) -> None:
        """Nothing: programs are compiled when they are launched."""

    def _library(self, program: Program) -> ctypes.CDLL:
        found = self._libraries.get(program)
        if found is None:
            found = self._libraries[program] = ctypes.CDLL(str(self._build(program)))
        return found

    def _build(self, program: Program) -> Path:
        whole = f"{program.file.stem}-{program.digest()}-{HEADER.stat().st_mtime_ns}"
        target = self._folder / f"{whole}.so"
        if target.exists():
            return target
        kernels = _KERNEL.findall(program.file.read_text(encoding="utf-8"))
        main = self._folder / f"{whole}-{os.getpid()}.cpp"
        main.write_text(
            f'#include "{HEADER}"\n#include "{program.file}"\n'
            + "".join(f"IGS_EMULATE({name}, {argument})\n" for name, argument in kernels),
            encoding="utf-8",
        )
        part = main.with_suffix(".part")
        done = subprocess.run(
            [
                compiler() or "g++",
                *_FLAGS,
                *(f"-I{folder}" for folder in program.include),
                *(f"-D{name}={value}" for name, value in program.defines),
                *("-o", str(part), str(main)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        main.unlink()
        if done.returncode:
            raise RuntimeError(f"{program.label} does not compile as C++:\n{done.stderr}")
        os.replace(part, target)
        return target
