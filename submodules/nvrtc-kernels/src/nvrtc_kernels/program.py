"""One CUDA C++ file under given macros: what is compiled, cached and loaded as a unit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SHIMS = Path(__file__).resolve().parent / "include"  # headers that NVRTC lacks
HEADER_SUFFIXES = (".h", ".cuh")
OPTIONS = ("--std=c++17", "--device-as-default-execution-space")


@dataclass(frozen=True, eq=False)
class Program:
    """A source file, the folders of its headers, and its macros.

    Two are equal only if they are one: looking up what is loaded must cost nothing.

    Attributes:
        file: the ``.cu`` file.
        include: folders searched for ``#include``; every ``.h`` and ``.cuh`` in them counts
            towards the program's digest.
        defines: macros as (name, integer) pairs.
        extra: further options of NVRTC.
    """

    file: Path
    include: tuple[Path, ...] = ()
    defines: tuple[tuple[str, int], ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The file's name with its macros, for messages and tables."""
        macros = ",".join(f"{name}={value}" for name, value in self.defines)
        return f"{self.file.stem}[{macros}]" if macros else self.file.stem

    @property
    def options(self) -> tuple[str, ...]:
        """NVRTC's options, all but the architecture."""
        folders = (*self.include, SHIMS)
        return (
            *OPTIONS,
            *self.extra,
            *(f"--include-path={folder}" for folder in folders),
            *(f"--define-macro={name}={value}" for name, value in self.defines),
        )

    def digest(self) -> str:
        """Hex digest of the source, of all headers it may include, and of the macros."""
        whole = hashlib.sha256()
        for path in (self.file, *_headers((*self.include, SHIMS))):
            whole.update(path.name.encode() + b"\0" + _content(path) + b"\0")
        whole.update(repr((self.defines, self.extra, OPTIONS)).encode())
        return whole.hexdigest()[:32]


@lru_cache(maxsize=64)
def _headers(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    found = (path for folder in folders for path in sorted(folder.iterdir()))
    return tuple(p for p in found if p.suffix in HEADER_SUFFIXES or p.parent == SHIMS)


@lru_cache(maxsize=256)
def _content(path: Path) -> bytes:
    return path.read_bytes()
