"""The kernels' argument, field for field as in `kernels/args.cuh`."""

from __future__ import annotations

import ctypes

from torch import Tensor

MAX_VIEWS = 8
DEPTH, COORD, NORMAL, COUNT = 1, 2, 4, 8  # kFeature* in args.cuh


class CameraArgs(ctypes.Structure):
    """One view; the matrices stay on the device."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("viewmatrix", "projmatrix", "campos", "background")),
        ("tanfovx", ctypes.c_float),
        ("tanfovy", ctypes.c_float),
    ]


INPUTS = ("means", "opacities", "scales", "quats", "cov3d", "sh", "colors")
ACTIVE = ("active",)
PER_GAUSSIAN = ("splats", "planes", "negative", "radii", "depth_keys", "tile_counts", "slot_begin",
                "problem")  # fmt: skip
PAIRS = ("order", "ends", "tile_keys", "pair_gaussians", "sorted_keys", "sorted_pairs", "entries",
         "tile_begin", "hits")  # fmt: skip
PER_PIXEL = ("transmittance", "last", "median", "normal_inverse")
IMAGES = ("color", "alpha", "depth", "median_depth", "coord", "median_coord", "normal")
COUNTING = ("pair_pixels", "pair_transmittance", "counts", "scores")
INCOMING = tuple(f"g_{name}" for name in IMAGES)
SUMS = ("sums", "totals")
OUTGOING = ("d_means", "d_means2d", "d_opacities", "d_scales", "d_quats", "d_cov3d", "d_sh",
            "d_colors", "nan_report")  # fmt: skip
POINTERS = (*INPUTS, *ACTIVE, *PER_GAUSSIAN, *PAIRS, *PER_PIXEL, *IMAGES, *COUNTING, *INCOMING,
            *SUMS, *OUTGOING)  # fmt: skip
INTEGERS = ("count", "views", "width", "height", "tiles_x", "tiles_y", "sh_degree", "sh_stride",
            "pairs", "long_keys", "compensate", "absolute", "by_transmittance",
            "planes_wanted", "sum_features")  # fmt: skip
FLOATS = ("kernel_size", "modifier", "gradient_limit")


class RasterArgs(ctypes.Structure):
    """What every kernel takes by value; pointers that are not set are null."""

    _fields_ = [
        ("cameras", CameraArgs * MAX_VIEWS),
        *((name, ctypes.c_void_p) for name in POINTERS),
        *((name, ctypes.c_int) for name in INTEGERS),
        *((name, ctypes.c_float) for name in FLOATS),
    ]

    def point(self, **tensors: Tensor | None) -> None:
        """Set pointers to the memory of contiguous tensors; None stands for null.

        The caller keeps the tensors alive until the kernels are queued: torch's allocator hands
        freed memory only to work that comes later on the same stream.
        """
        for name, tensor in tensors.items():
            setattr(self, name, None if tensor is None else tensor.data_ptr())
