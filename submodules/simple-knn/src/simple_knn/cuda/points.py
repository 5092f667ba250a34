"""Nearest and farthest points on the GPU, exactly; kernels in `kernels/`, compiled at run time."""

from __future__ import annotations

import ctypes
from functools import cache, lru_cache
from pathlib import Path

import torch
from nvrtc_kernels import CudaLauncher, Launcher, Program
from torch import Tensor

KERNELS = Path(__file__).parent.absolute() / "kernels"
THREADS = 256
BUCKETS = 1024  # kBuckets in farthest.cu
MOST_POINTS = 2**31 - 1 - 1024  # the kernels count in 32 bits, and step beyond the end
MOST_NEAREST = 32  # neighbours that still fit into registers
_POINTERS = ("points", "others", "bounds", "order", "keys", "sorted", "boxes", "nearest",
             "distance", "index")  # fmt: skip
_INTEGERS = ("count", "other_count", "boxes_count", "bucket", "first", "wanted")


class PointArgs(ctypes.Structure):
    """What every kernel takes by value, field for field as in `kernels/points.cuh`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int) for name in _INTEGERS),
    ]


@cache  # one object for each, as long as the process lives
def program(name: str, **macros: int) -> Program:
    """The program ``name``.cu with ``IGS_`` macros."""
    defines = tuple((f"IGS_{key.upper()}", value) for key, value in macros.items())
    return Program(file=KERNELS / f"{name}.cu", include=(KERNELS,), defines=defines)


def every_program() -> list[Program]:
    """What the tests compile ahead."""
    return [program("morton"), program("knn"), program("farthest"), program("nearest", k=8)]


class PointKernels:
    """The kernels over a launcher: the GPU's, or an emulator's in the tests."""

    def __init__(self, launcher: Launcher | None = None) -> None:
        self._launcher = CudaLauncher() if launcher is None else launcher

    def mean_square_distance(self, points: Tensor) -> Tensor:
        """Mean squared distance to the three nearest other points.

        Args:
            points: (P, 3) float32, contiguous and finite, P >= 4.

        Returns:
            (P,) float32. Time grows as P * P / 256 in the worst case, near P in practice.
        """
        args, kept = self._in_order(points)
        boxes = _blocks(len(points))
        args.boxes_count = boxes
        kept["boxes"] = points.new_empty(boxes, 8)
        result = points.new_empty(len(points))
        _point(args, boxes=kept["boxes"], distance=result)
        self._run(program("knn"), "box_corners", boxes, args, points)
        self._run(program("knn"), "mean_distance", boxes, args, points)
        return result

    def nearest(self, points: Tensor, others: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The ``count`` nearest of ``others`` for each point.

        Args:
            points: (n, 3) float32, n > 0.
            others: (M, 3) float32, M >= count.
            count: 1 to 32.

        Returns:
            (n, count) float32 distances, nearest first, and (n, count) int64 rows; at one
            distance the lower row comes first.
        """
        if not 1 <= count <= min(MOST_NEAREST, len(others)):
            raise ValueError(f"count must be 1 to {min(MOST_NEAREST, len(others))}, got {count}")
        points, others = points.detach().contiguous(), others.detach().contiguous()
        distance = points.new_empty(len(points), count)
        index = torch.empty(len(points), count, dtype=torch.int64, device=points.device)
        args = PointArgs(count=len(points), other_count=len(others))
        _point(args, points=points, others=others, distance=distance, index=index)
        kernel = program("nearest", k=count)
        self._run(kernel, "nearest_points", _blocks(len(points)), args, points)
        return distance, index

    def farthest(self, points: Tensor, count: int, first: int) -> Tensor:
        """Greedy farthest point sampling, distances compared in double, lowest row of equals.

        Args:
            points: (n, 3) float32, finite.
            count: how many, 1 to n.
            first: row to start from.

        Returns:
            (count,) int64 rows in the order chosen; no row twice.
        """
        if not 1 <= count <= len(points) or not 0 <= first < len(points):
            raise ValueError(f"cannot choose {count} of {len(points)} points from row {first}")
        args, kept = self._in_order(points.detach().contiguous())
        args.bucket, args.first, args.wanted = -(-len(points) // BUCKETS), first, count
        kept["nearest"] = torch.empty(len(points), dtype=torch.float64, device=points.device)
        chosen = torch.empty(count, dtype=torch.int64, device=points.device)
        _point(args, nearest=kept["nearest"], index=chosen)
        self._run(program("farthest"), "farthest_points", 1, args, points, BUCKETS)
        return chosen

    def _in_order(self, points: Tensor) -> tuple[PointArgs, dict[str, Tensor]]:
        """The points along a Morton curve; the memory must live as long as the arguments."""
        lowest, highest = points.aminmax(dim=0)
        kept = {
            "points": points,
            "bounds": torch.cat([lowest, highest]),
            "keys": torch.empty(len(points), dtype=torch.int32, device=points.device),
            "sorted": points.new_empty(len(points), 4),
        }
        args = PointArgs(count=len(points))
        _point(args, **kept)
        self._run(program("morton"), "morton_keys", _blocks(len(points)), args, points)
        kept["order"] = torch.sort(kept["keys"], stable=True).indices
        _point(args, order=kept["order"])
        self._run(program("morton"), "gather_points", _blocks(len(points)), args, points)
        return args, kept

    def _run(
        self,
        kernel_program: Program,
        kernel: str,
        blocks: int,
        args: PointArgs,
        like: Tensor,
        threads: int = THREADS,
    ) -> None:
        self._launcher.launch(kernel_program, kernel, blocks, threads, args, like.device)


def _blocks(items: int) -> int:
    if items > MOST_POINTS:
        raise ValueError(f"{items} points are too many for one call: {MOST_POINTS} at most")
    return -(-items // THREADS)


def _point(args: PointArgs, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        setattr(args, name, tensor.data_ptr())


@lru_cache(maxsize=1)
def default_kernels() -> PointKernels:
    """The GPU's kernels, one set for the whole process."""
    return PointKernels()
