"""Every CUDA kernel compiles for the architectures in use, with no more registers and spills
than are recorded in `cuda_resources.json`. Needs NVRTC, but no GPU.

    python test_cuda_compile.py        writes the record anew
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
RECORD = Path(__file__).resolve().parent / "cuda_resources.json"
SLACK = 8  # registers: another compiler version may need a few more
_USAGE = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill"
    r" loads.*?Used (\d+) registers",
    re.DOTALL,
)

Usage = dict[str, dict[str, int]]


def usage_of(architecture: str) -> Usage:
    """Registers and spilled bytes of each kernel of each program."""
    from diff_gaussian_rasterization.cuda import programs
    from nvrtc_kernels import compile_program

    every = programs.every_program()
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(lambda program: compile_program(program, architecture), every))
    found: Usage = {}
    for program, code in zip(every, codes, strict=True):
        assert code.image[:4] == b"\x7fELF", program.label
        for kernel, _, stores, loads, registers in _USAGE.findall(code.log):
            found[f"{program.label} {kernel}"] = {
                "registers": int(registers),
                "spilled": int(stores) + int(loads),
            }
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs NVRTC: the extra [cuda]")
    pytest.importorskip("nvrtc_kernels", reason="needs the package igs-nvrtc-kernels")
    recorded: Usage = json.loads(RECORD.read_text(encoding="utf-8"))[architecture]
    found = usage_of(architecture)
    assert found.keys() == recorded.keys(), "run this file to write the record anew"
    for name, now in found.items():
        before = recorded[name]
        assert now["registers"] <= before["registers"] + SLACK, f"{name}: more registers"
        assert now["spilled"] <= before["spilled"] + 4 * SLACK, f"{name}: spills more"


def write_record() -> None:
    table = {architecture: usage_of(architecture) for architecture in ARCHITECTURES}
    RECORD.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_record()
