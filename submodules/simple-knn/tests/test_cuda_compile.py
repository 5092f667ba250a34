"""Every CUDA kernel for points compiles for the architectures in use, with no more registers than
are recorded in `cuda_resources.json`, and without spills. Needs NVRTC, but no GPU.

Run by itself, this file writes the record.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("nvrtc_kernels", reason="needs the package igs-nvrtc-kernels")

RECORD = Path(__file__).resolve().parent / "cuda_resources.json"
ARCHITECTURES = ("sm_80", "sm_90", "sm_120")
SLACK = 8  # registers: another compiler version may need a few more
_USAGE = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers",
    re.DOTALL,
)


def registers_of(architecture: str) -> dict[str, int]:
    """Program and kernel to registers per thread."""
    from nvrtc_kernels import compile_program
    from simple_knn.cuda.points import every_program

    found = {}
    for program in every_program():
        code = compile_program(program, architecture)
        assert code.image[:4] == b"\x7fELF"
        for kernel, stores, loads, registers in _USAGE.findall(code.log):
            assert (stores, loads) == ("0", "0"), f"{program.label}, {kernel}: spills"
            found[f"{program.label}: {kernel}"] = int(registers)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(architecture: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs NVRTC: the extra [cuda]")
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))[architecture]
    found = registers_of(architecture)
    assert found.keys() == recorded.keys()
    for name, registers in found.items():
        assert registers <= recorded[name] + SLACK, f"{name}: more registers"


if __name__ == "__main__":
    table = {architecture: registers_of(architecture) for architecture in ARCHITECTURES}
    RECORD.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
