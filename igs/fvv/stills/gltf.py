"""glTF 2.0 with `KHR_gaussian_splatting` (Khronos), binary or as JSON.

Gaussians are a primitive of points; programs that do not know the extension show coloured points.
glTF's y points up, so that Gaussians are turned by half a turn about x. Scales are standard
deviations, as the extension says since it left its draft (drafts had their logarithms).
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from igs.fvv.stills.axes import turned_about_x
from igs.gaussians import SH_C0, Gaussians
from igs.scene.files import write_bytes

EXTENSION = "KHR_gaussian_splatting"
_FLOAT, _ARRAY_BUFFER = 5126, 34962
_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
_JSON, _BIN = 0x4E4F534A, 0x004E4942


def write_gltf(path: str | Path, gaussians: Gaussians) -> None:
    """Write `.glb`, or `.gltf` with the data inside, by the ending of the name.

    Raises:
        ValueError: no Gaussians, which glTF cannot express.
        OSError: it cannot be written.
    """
    if not len(gaussians):
        raise ValueError(f"{path}: glTF cannot hold a scene without Gaussians")
    columns = _columns(turned_about_x(gaussians.detach().to("cpu")))
    data = b"".join(values.astype("<f4").tobytes() for values in columns.values())
    document = _document(columns)
    if Path(path).suffix.lower() == ".gltf":
        encoded = base64.b64encode(data).decode("ascii")
        uri = f"data:application/octet-stream;base64,{encoded}"
        document["buffers"] = [{"byteLength": len(data), "uri": uri}]
        write_bytes(path, json.dumps(document, separators=(",", ":")).encode("utf-8"))
        return
    document["buffers"] = [{"byteLength": len(data)}]
    text = json.dumps(document, separators=(",", ":")).encode("utf-8")
    parts = _chunk(_JSON, text, b" ") + _chunk(_BIN, data, b"\0")
    write_bytes(path, struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts)


def _columns(gaussians: Gaussians) -> dict[str, np.ndarray]:
    sh = gaussians.sh.numpy()
    quats = gaussians.unit_quats.numpy()
    color = np.clip(0.5 + SH_C0 * sh[:, 0], 0, 1)
    opacity = gaussians.opacities.numpy()[:, None]
    columns = {
        "POSITION": gaussians.means.numpy(),
        "COLOR_0": np.concatenate([_linear(color), opacity], axis=1),
        f"{EXTENSION}:ROTATION": quats[:, [1, 2, 3, 0]],
        f"{EXTENSION}:SCALE": gaussians.scales.numpy(),
        f"{EXTENSION}:OPACITY": opacity,
    }
    for degree in range(gaussians.sh_degree + 1):
        for i in range(2 * degree + 1):
            columns[f"{EXTENSION}:SH_DEGREE_{degree}_COEF_{i}"] = sh[:, degree**2 + i]
    return columns


def _linear(color: np.ndarray) -> np.ndarray:
    """From sRGB to linear light, in which glTF has the colours of vertices."""
    return np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)


def _document(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    views, accessors, offset = [], [], 0
    for name, values in columns.items():
        size = values.shape[0] * values.shape[1] * 4
        views.append(
            {"buffer": 0, "byteOffset": offset, "byteLength": size, "target": _ARRAY_BUFFER}
        )
        accessor: dict[str, Any] = {
            "bufferView": len(accessors),
            "componentType": _FLOAT,
            "count": values.shape[0],
            "type": _TYPES[values.shape[1]],
        }
        if name == "POSITION":
            accessor["min"] = [float(v) for v in values.min(axis=0)]
            accessor["max"] = [float(v) for v in values.max(axis=0)]
        accessors.append(accessor)
        offset += size
    primitive = {
        "mode": 0,
        "attributes": {name: i for i, name in enumerate(columns)},
        "extensions": {EXTENSION: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    return {
        "asset": {"version": "2.0", "generator": "igs"},
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
    }


def _chunk(kind: int, data: bytes, fill: bytes) -> bytes:
    padded = data + fill * (-len(data) % 4)
    return struct.pack("<II", len(padded), kind) + padded
