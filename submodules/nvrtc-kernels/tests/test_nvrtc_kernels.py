"""Compiling, keeping, refusing; and the emulator's strictness."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from nvrtc_kernels import (
    Code,
    CudaLauncher,
    CudaUnavailableError,
    KernelCompileError,
    Program,
    cache,
    cache_folder,
    compile_program,
    compiler,
    emulator,
)
from nvrtc_kernels import launcher as launcher_module

SOURCE = """
#include "double.h"
#ifndef OFFSET
#define OFFSET 0
#endif
struct Args { float* values; int count; };
extern "C" __global__ void __launch_bounds__(64) shift(const Args a) {
  const int i = blockIdx.x * 64 + threadIdx.x;
  const float other = __shfl_xor_sync(0xffffffffu, float(threadIdx.x % 32), 1);
  if (i < a.count) a.values[i] = twice(a.values[i]) + other + OFFSET;
}
"""
HEADER = "__device__ inline float twice(float x) { return 2.0f * x; }\n"


class Args(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), ("count", ctypes.c_int)]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "double.h").write_text(HEADER)
    (tmp_path / "shift.cu").write_text(SOURCE)
    return Program(tmp_path / "shift.cu", (tmp_path,))


@pytest.fixture
def nvrtc() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="needs NVRTC: the extra [cuda]")


def other_folder(program: Program, folder: Path, header: str) -> Program:
    folder.mkdir()
    (folder / "double.h").write_text(header)
    (folder / "shift.cu").write_text(SOURCE)
    return Program(folder / "shift.cu", (folder,), program.defines)


def test_digest_sees_headers_and_macros(program: Program, tmp_path: Path) -> None:
    same = other_folder(program, tmp_path / "same", HEADER)
    header = other_folder(program, tmp_path / "header", HEADER + "\n")
    macro = Program(program.file, program.include, (("OFFSET", 1),))
    flag = Program(program.file, program.include, extra=("--fmad=false",))
    assert program.digest() == same.digest()
    assert len({p.digest() for p in (program, header, macro, flag)}) == 4


def test_code_is_kept(
    program: Program, nvrtc: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IGS_KERNEL_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    first = compiler.code_for(program, 90)
    assert first.image[:4] == b"\x7fELF"
    (kept,) = (tmp_path / "cache").iterdir()
    assert "sm_90" in kept.name
    assert "nvrtc" in kept.name
    monkeypatch.setattr(compiler, "compile_program", lambda *_: pytest.fail("compiled again"))
    assert compiler.code_for(program, 90).image == first.image


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("IGS_KERNEL_CACHE", str(blocked))
    cache.store("x.bin", b"code")
    assert "not kept" in caplog.text
    assert cache.load("x.bin") is None


def test_targets(nvrtc: None) -> None:
    assert compiler.target_of(80) == "sm_80"
    assert compiler.target_of(990).startswith("compute_")
    with pytest.raises(
        CudaUnavailableError, match=r"compute capability 6\.1; the kernels need 7\.0"
    ):
        compiler.target_of(61)
    with pytest.raises(CudaUnavailableError, match=r"does not know compute capability 7\.1"):
        compiler.target_of(71)


def test_newer_gpus_get_ptx(program: Program, nvrtc: None) -> None:
    assert b".entry shift" in compile_program(program, compiler.target_of(990)).image


def test_a_broken_source_says_where(program: Program, nvrtc: None) -> None:
    program.file.write_text(SOURCE.replace("twice(", "thrice("))
    with pytest.raises(KernelCompileError, match=r"(?s)shift for sm_80.*shift\.cu\(\d+\).*thrice"):
        compile_program(program, "sm_80")


def test_a_missing_compiler_says_what_to_install(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.nvrtc", None)
    with pytest.raises(CudaUnavailableError, match=r"pip install 'igs\[cuda\]'"):
        compile_program(program, "sm_80")


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_missing_driver_says_so(program: Program, nvrtc: None) -> None:
    with pytest.raises(CudaUnavailableError, match="NVIDIA driver"):
        CudaLauncher().launch(program, "shift", 1, 64, Args(), torch.device("cuda", 0))


class FakeDriver:
    """Contexts are 100 + the GPU's number; the current one is what torch takes its device from."""

    def __init__(self) -> None:
        self.current = 100
        self.launched: list[tuple[int, int, int]] = []  # context, blocks, stream
        self.loaded: list[int] = []

    @property
    def device(self) -> int:
        return self.current - 100

    def cuInit(self, _flags: int) -> tuple[int]:  # noqa: N802 - the driver's names
        return (0,)

    def cuDeviceGet(self, index: int) -> tuple[int, int]:  # noqa: N802
        return 0, index

    def cuDevicePrimaryCtxRetain(self, index: int) -> tuple[int, int]:  # noqa: N802
        return 0, 100 + index

    def cuCtxGetCurrent(self) -> tuple[int, int]:  # noqa: N802
        return 0, self.current

    def cuCtxSetCurrent(self, context: int) -> tuple[int]:  # noqa: N802
        self.current = context
        return (0,)

    def cuModuleLoadData(self, image: bytes) -> tuple[int, str | None]:  # noqa: N802
        if image == b"damaged":
            return 200, None
        self.loaded.append(self.device)
        return 0, f"module on {self.device}"

    def cuGetErrorString(self, status: int) -> tuple[int, bytes]:  # noqa: N802
        return 0, f"error {status}".encode()

    def cuModuleGetFunction(self, module: str, name: bytes) -> tuple[int, str]:  # noqa: N802
        return 0, f"{name.decode()} of {module}"

    def cuLaunchKernel(self, function: str, blocks: int, *rest: int) -> tuple[int]:  # noqa: N802
        assert function.endswith(f"on {self.device}")
        self.launched.append((self.device, blocks, rest[6]))
        return (0,)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """Two GPUs as torch and the driver show them."""
    fake = FakeDriver()

    @contextmanager
    def on(index: int) -> Iterator[None]:
        before, fake.current = fake.current, 100 + index
        yield
        fake.current = before

    monkeypatch.setattr(launcher_module, "_driver", lambda: fake)
    monkeypatch.setattr(launcher_module, "_capability", lambda _: 90)
    monkeypatch.setattr(launcher_module, "code_for", lambda *_: Code(b"code"))
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: fake.device)
    monkeypatch.setattr(torch.cuda, "device", on)
    monkeypatch.setattr(
        torch.cuda, "current_stream", lambda index: SimpleNamespace(cuda_stream=7 + index)
    )
    return fake


def test_a_launch_on_another_gpu_leaves_the_current_one(
    driver: FakeDriver, program: Program
) -> None:
    launcher = CudaLauncher()
    for index in (1, 0, 1):
        launcher.launch(program, "shift", 3 + index, 64, Args(), torch.device("cuda", index))
        assert driver.device == 0
    assert driver.launched == [(1, 4, 8), (0, 3, 7), (1, 4, 8)]
    assert driver.loaded == [1, 0]
    launcher.launch(program, "shift", 0, 64, Args(), torch.device("cuda", 1))
    assert len(driver.launched) == 3


def test_preparing_for_another_gpu_leaves_the_current_one(
    driver: FakeDriver, program: Program
) -> None:
    others = [Program(program.file, program.include, (("OFFSET", k),)) for k in range(3)]
    CudaLauncher().prepare(others, torch.device("cuda", 1))
    assert driver.loaded == [1, 1, 1]
    assert driver.device == 0


def test_damaged_code_in_the_cache_is_compiled_anew(
    driver: FakeDriver, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file cut short by a full disk must not stop every later start."""

    def code_for(_program: Program, _capability: int, anew: bool = False) -> Code:
        return Code(b"whole", "log") if anew else Code(b"damaged", kept=True)

    monkeypatch.setattr(launcher_module, "code_for", code_for)
    CudaLauncher().launch(program, "shift", 1, 64, Args(), torch.device("cuda", 0))
    assert driver.loaded == [0]
    assert len(driver.launched) == 1
    monkeypatch.setattr(launcher_module, "code_for", lambda *_: Code(b"damaged", "log"))
    with pytest.raises(RuntimeError, match="loading shift: error 200"):
        CudaLauncher().launch(program, "shift", 1, 64, Args(), torch.device("cuda", 0))


@pytest.mark.skipif(emulator.compiler() is None, reason="needs a C++ compiler")
def test_emulator_runs_and_takes_macros(program: Program, tmp_path: Path) -> None:
    values = torch.arange(100.0)
    args = Args(values.data_ptr(), 100)
    with_macro = Program(program.file, program.include, (("OFFSET", 5),))
    launcher = emulator.EmulatorLauncher(tmp_path)
    launcher.launch(with_macro, "shift", 2, 64, args, values.device)
    row = torch.arange(100)
    assert torch.equal(values, 2.0 * row + ((row % 32) ^ 1) + 5)
    args_of_another_size = ctypes.c_int * 1
    with pytest.raises(RuntimeError, match="takes 16 bytes, given 4"):
        launcher.launch(with_macro, "shift", 1, 64, args_of_another_size(), values.device)  # type: ignore[arg-type]


@pytest.mark.skipif(emulator.compiler() is None, reason="needs a C++ compiler")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("if (threadIdx.x < 1) { __syncthreads(); } else { __syncwarp(); }", "deadlock"),
        ("if (threadIdx.x < 40) __shfl_xor_sync(0xffffffffu, 1, 1);", "deadlock"),
        ("__shfl_xor_sync(0xffu, 1, 1);", "all 32 lanes"),
    ],
)
def test_emulator_is_strict(body: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.cu"
    file.write_text(
        'struct Args { int unused; };\nextern "C" __global__ void wrong(const Args a) {'
        + body
        + "}"
    )
    code = (
        "import ctypes, pathlib, torch\n"
        "from nvrtc_kernels import Program, emulator\n"
        "class A(ctypes.Structure): _fields_ = [('unused', ctypes.c_int)]\n"
        f"f = pathlib.Path({str(file)!r})\n"
        "l = emulator.EmulatorLauncher(f.parent)\n"
        "l.launch(Program(f), 'wrong', 1, 64, A(), torch.device('cpu'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert said in done.stderr
