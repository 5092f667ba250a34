"""NVRTC: from a `Program` to machine code, without a GPU."""

from __future__ import annotations

import importlib
import logging
import time
from dataclasses import dataclass
from typing import Any

from nvrtc_kernels import cache
from nvrtc_kernels.errors import INSTALL, CudaUnavailableError, KernelCompileError
from nvrtc_kernels.program import Program

logger = logging.getLogger(__name__)

OLDEST = 70  # compute capability 7.0, the first with independent thread scheduling


@dataclass(frozen=True)
class Code:
    """Machine code (cubin) or, for a GPU newer than the compiler, PTX that the driver finishes.

    Attributes:
        image: what the driver loads.
        log: the compiler's log, empty where the code came from the cache.
        kept: whether it came from the cache.
    """

    image: bytes
    log: str = ""
    kept: bool = False


def _nvrtc() -> Any:
    try:
        return importlib.import_module("cuda.bindings.nvrtc")
    except ImportError as error:
        raise CudaUnavailableError(
            f"CUDA tensors need NVIDIA's run-time compiler, which is not installed: {INSTALL}"
        ) from error


def _call(function: Any, *arguments: Any) -> Any:
    """Call NVRTC; raise its error by name, or return its single result."""
    try:
        status, *result = function(*arguments)
    except RuntimeError as error:  # the library itself is not there
        raise CudaUnavailableError(f"NVRTC could not be loaded ({error}): {INSTALL}") from error
    if int(status) != 0:
        raise CudaUnavailableError(f"NVRTC failed in {function.__name__}: {status.name}")
    return result[0] if result else None


def nvrtc_version() -> tuple[int, int]:
    """Version of the compiler, for instance (12, 9).

    Raises:
        CudaUnavailableError: it is not installed.
    """
    nvrtc = _nvrtc()
    try:
        status, major, minor = nvrtc.nvrtcVersion()
    except RuntimeError as error:
        raise CudaUnavailableError(f"NVRTC could not be loaded ({error}): {INSTALL}") from error
    if int(status) != 0:
        raise CudaUnavailableError(f"NVRTC failed in nvrtcVersion: {status.name}")
    return int(major), int(minor)


def target_of(capability: int) -> str:
    """NVRTC's architecture for a compute capability such as 90: code, or PTX for newer GPUs.

    Raises:
        CudaUnavailableError: older than 7.0, or unknown to this compiler.
    """
    if capability < OLDEST:
        raise CudaUnavailableError(
            f"this GPU has compute capability {capability / 10:.1f}; the kernels need "
            f"{OLDEST / 10:.1f} or newer: run on the CPU instead"
        )
    known = [int(arch) for arch in _call(_nvrtc().nvrtcGetSupportedArchs)]
    if capability in known:
        return f"sm_{capability}"
    if capability > max(known):
        return f"compute_{max(known)}"
    raise CudaUnavailableError(
        f"NVRTC {'.'.join(map(str, nvrtc_version()))} does not know compute capability "
        f"{capability / 10:.1f}, only {', '.join(map(str, known))}: install another version"
    )


def compile_program(program: Program, target: str) -> Code:
    """Compile, whatever the cache holds.

    Args:
        program: the source and its macros.
        target: ``sm_XX`` for machine code, ``compute_XX`` for PTX.

    Raises:
        CudaUnavailableError: NVRTC is not installed.
        KernelCompileError: the source does not compile; the message ends with the log.
    """
    nvrtc = _nvrtc()
    source, name = program.file.read_bytes(), program.file.name.encode()
    handle = _call(nvrtc.nvrtcCreateProgram, source, name, 0, [], [])
    try:
        options = [f"--gpu-architecture={target}", "--ptxas-options=-v", *program.options]
        encoded = [option.encode() for option in options]
        (status,) = nvrtc.nvrtcCompileProgram(handle, len(encoded), encoded)
        log = _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, handle)
        message = log.rstrip(b"\0 \n").decode(errors="replace")
        if int(status) != 0:
            raise KernelCompileError(f"{program.label} for {target}: {status.name}\n{message}")
        if target.startswith("sm_"):
            image = _text(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, handle)
        else:
            image = _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, handle)
        return Code(image, message)
    finally:
        nvrtc.nvrtcDestroyProgram(handle)


def _text(size_of: Any, read: Any, handle: Any) -> bytes:
    buffer = bytes(_call(size_of, handle))
    _call(read, handle, buffer)
    return buffer


def code_for(program: Program, capability: int, anew: bool = False) -> Code:
    """The program's code for a GPU: from the cache, or compiled now and kept.

    Args:
        program: the source and its macros.
        capability: of the GPU, such as 90.
        anew: compile, whatever the cache holds.

    Raises:
        CudaUnavailableError: no compiler, or no code for such a GPU.
        KernelCompileError: the source does not compile.
    """
    target = target_of(capability)
    major, minor = nvrtc_version()
    name = f"{program.file.stem}-{target}-nvrtc{major}.{minor}-{program.digest()}.bin"
    stored = None if anew else cache.load(name)
    if stored is not None:
        return Code(stored, kept=True)
    start = time.perf_counter()
    code = compile_program(program, target)
    logger.debug("%s for %s: %.1f s", program.label, target, time.perf_counter() - start)
    cache.store(name, code.image)
    return code
