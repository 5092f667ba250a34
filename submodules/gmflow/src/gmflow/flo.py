"""The Middlebury `.flo` format: a tag, width and height, then float32 pairs row by row."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

TAG = np.float32(202021.25).astype("<f4").tobytes()


def read_flo(path: str | Path) -> np.ndarray:
    """Read flow, (H, W, 2) float32, pixels, channel 0 = x; unknown flow is above 1e9.

    Raises:
        ValueError: not a `.flo` file, or a truncated one.
    """
    data = Path(path).read_bytes()
    if len(data) < 12 or data[:4] != TAG:
        raise ValueError(f"{path}: not a .flo file (tag missing)")
    width, height = (int(n) for n in np.frombuffer(data, "<i4", 2, offset=4))
    if width < 1 or height < 1 or len(data) != 12 + 8 * width * height:
        raise ValueError(
            f"{path}: {len(data)} bytes do not hold the {width} x {height} flow it announces"
        )
    values = np.frombuffer(data, "<f4", 2 * width * height, offset=12)
    return values.reshape(height, width, 2).astype(np.float32)


def write_flo(path: str | Path, flow: np.ndarray) -> None:
    """Write (H, W, 2) flow; the file appears whole or not at all.

    Raises:
        ValueError: another shape.
    """
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2:
        raise ValueError(f"flow must be (H, W, 2), got {flow.shape}")
    path = Path(path)
    size = np.array([flow.shape[1], flow.shape[0]], "<i4").tobytes()
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(TAG + size + np.ascontiguousarray(flow, "<f4").tobytes())
    os.replace(partial, path)
