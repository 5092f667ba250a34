"""Stills of a recording, read by programs that share no code with this project.

    python bench/stills.py demo.fvv [--frame 7] [--node FOLDER]

Decodes one frame to every format and prints the largest differences from the PLY as `plyfile` reads
it. With `--node`, a folder in which
`npm install gltf-validator @spz-loader/core` ran, also what the Khronos validator says of the glTF
files, and what the format's own library reads from the `.spz`.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from plyfile import PlyData

from igs.fvv import FvvReader
from igs.fvv.stills import STILL_FORMATS, read_spz, write_still
from igs.gaussians import Gaussians

SCRIPT = Path(__file__).with_suffix(".mjs")
C0, C1 = 0.28209479177387814, 0.4886025119029199
FLIP = np.diag([1.0, -1.0, -1.0])
PREFIX = "KHR_gaussian_splatting:"
Columns = dict[str, np.ndarray]


def most(a: Any, b: Any) -> str:
    return f"{np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max():.2g}"


def degrees(a: np.ndarray, b: np.ndarray) -> str:
    """Largest angle between rotations, quaternions of any length."""
    a, b = (q / np.linalg.norm(q, axis=1, keepdims=True) for q in (a, b))
    # By the difference, since an arc cosine near 1 tells nothing small.
    apart = np.minimum(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return f"{np.degrees(4 * np.arcsin(np.clip(apart / 2, 0, 1))).max():.2g}"


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def read_ply(path: Path) -> Columns:
    rows = PlyData.read(str(path))["vertex"]

    def stacked(*names: str) -> np.ndarray:
        return np.stack([np.asarray(rows[name], np.float64) for name in names], axis=1)

    rest = sorted((p.name for p in rows.properties if p.name.startswith("f_rest_")), key=_number)
    harmonics = stacked(*rest) if rest else np.zeros((len(rows), 0))
    return {
        "means": stacked("x", "y", "z"),
        "log_scales": stacked("scale_0", "scale_1", "scale_2"),
        "quats": stacked("rot_0", "rot_1", "rot_2", "rot_3"),
        "opacities": sigmoid(np.asarray(rows["opacity"], np.float64)),
        "dc": stacked("f_dc_0", "f_dc_1", "f_dc_2"),
        "sh": harmonics.reshape(len(rows), 3, -1).transpose(0, 2, 1),
    }


def _number(name: str) -> int:
    return int(name.rsplit("_", 1)[1])


def covariances(quats: np.ndarray, scales: np.ndarray) -> np.ndarray:
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    axes = np.stack([np.stack(row, axis=1) for row in rows], axis=1) * scales[:, None, :]
    return axes @ axes.transpose(0, 2, 1)


def check_ply(ply: Columns, gaussians: Gaussians) -> None:
    print(
        f"ply against the decoder: means {most(ply['means'], gaussians.means)}, "
        f"log scales {most(ply['log_scales'], gaussians.log_scales)}, "
        f"harmonics {most(ply['sh'], gaussians.sh[:, 1:])}"
    )


def check_splat(path: Path, ply: Columns) -> None:
    raw = np.fromfile(path, np.uint8).reshape(-1, 32)
    floats = raw[:, :24].copy().view("<f4").astype(np.float64)
    # Rows come in another order; float32 positions tell them apart.
    mine, theirs = (np.lexsort(m.T[::-1]) for m in (floats[:, :3], ply["means"]))
    raw, floats = raw[mine], floats[mine]
    ordered = {name: values[theirs] for name, values in ply.items()}
    rgb = np.clip(0.5 + C0 * ordered["dc"], 0, 1) * 255
    print(
        f"splat: means {most(floats[:, :3], ordered['means'])}, "
        f"log scales {most(np.log(floats[:, 3:]), ordered['log_scales'])}, "
        f"colours {most(raw[:, 24:27], rgb)} of 255, "
        f"opacities {most(raw[:, 27], 255 * ordered['opacities'])} of 255, "
        f"rotations {degrees(raw[:, 28:] / 128.0 - 1, ordered['quats'])} degrees"
    )


def check_glb(path: Path, ply: Columns) -> None:
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<I", raw, 12)
    document, data = json.loads(raw[20 : 20 + size]), raw[28 + size :]
    attributes = document["meshes"][0]["primitives"][0]["attributes"]

    def read(name: str) -> np.ndarray:
        accessor = document["accessors"][attributes[name]]
        view = document["bufferViews"][accessor["bufferView"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
        values = np.frombuffer(data, "<f4", accessor["count"] * width, view["byteOffset"])
        return values.reshape(-1, width).astype(np.float64)

    made = covariances(read(PREFIX + "ROTATION")[:, [3, 0, 1, 2]], read(PREFIX + "SCALE"))
    wanted = FLIP @ covariances(ply["quats"], np.exp(ply["log_scales"])) @ FLIP
    size_of = np.abs(wanted).max(axis=(1, 2), keepdims=True)
    print(
        f"glb: means {most(read('POSITION'), ply['means'] @ FLIP)}, "
        f"covariances {most(made / size_of, wanted / size_of)} of their size, "
        f"opacities {most(read(PREFIX + 'OPACITY')[:, 0], ply['opacities'])}, "
        f"colours up to degree 1 {_colors_apart(read, ply)}"
    )


def _colors_apart(read: Any, ply: Columns) -> str:
    """In ten directions, by the formulas of the extension."""
    directions = np.random.default_rng(0).normal(size=(10, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    theirs = [read(PREFIX + "SH_DEGREE_0_COEF_0")]
    mine = [ply["dc"]]
    if ply["sh"].shape[1] >= 3:
        theirs += [read(f"{PREFIX}SH_DEGREE_1_COEF_{i}") for i in range(3)]
        mine += [ply["sh"][:, i] for i in range(3)]

    def color(sh: list[np.ndarray], d: np.ndarray) -> np.ndarray:
        basis = np.array([C0, -C1 * d[1], C1 * d[2], -C1 * d[0]])[: len(sh)]
        return 0.5 + np.tensordot(basis, np.stack(sh), axes=1)

    return most([color(mine, d) for d in directions], [color(theirs, FLIP @ d) for d in directions])


def ask_node(folder: Path, *words: str) -> Any:
    done = subprocess.run(
        ["node", str(SCRIPT), str(folder), *words], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def check_spz(path: Path, ply: Columns, folder: Path) -> None:
    theirs, own = ask_node(folder, "spz", str(path)), read_spz(path)
    count = theirs["numPoints"]
    part = {k: np.reshape(v, (count, -1)) for k, v in theirs.items() if isinstance(v, list)}
    logs, quats = np.log(part["scales"]), part["rotations"][:, [3, 0, 1, 2]]
    for name, means, scales, turns, opacities, dc, sh in (
        ("our reader", own.means, own.log_scales, own.unit_quats.numpy(), own.opacities,
         own.sh[:, 0].numpy(), own.sh[:, 1:]),
        ("the ply", ply["means"], ply["log_scales"], ply["quats"], ply["opacities"], ply["dc"],
         ply["sh"]),
    ):  # fmt: skip
        print(
            f"spz by its own library against {name}: means {most(part['positions'], means)}, "
            f"log scales {most(logs, scales)}, rotations {degrees(quats, turns)} degrees, "
            f"opacities {most(part['alphas'][:, 0], opacities)}, "
            f"colours {most(part['colors'], 0.5 + C0 * dc)}, "
            f"harmonics {most(part['sh'], np.reshape(sh, (count, -1)))}"
        )


def check_with_validator(files: list[Path], folder: Path) -> None:
    for file, issues in zip(files, ask_node(folder, "validate", *map(str, files)), strict=True):
        others = [i for i in issues if PREFIX not in i["pointer"] and i["severity"] < 2]
        known = sum(PREFIX in i["pointer"] for i in issues)
        print(f"{file.name}: {known} objections to the extension's names, others: {others}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("recording", type=Path, help=".fvv file")
    parser.add_argument("--frame", type=int, default=7)
    parser.add_argument("--node", type=Path, help="folder with the packages from npm")
    arguments = parser.parse_args()
    with FvvReader(arguments.recording) as reader, tempfile.TemporaryDirectory() as name:
        gaussians = reader.frame(arguments.frame).gaussians
        paths = {ending: Path(name) / f"still.{ending}" for ending in STILL_FORMATS}
        for path in paths.values():
            write_still(path, gaussians)
        ply = read_ply(paths["ply"])
        check_ply(ply, gaussians)
        check_splat(paths["splat"], ply)
        check_glb(paths["glb"], ply)
        if arguments.node:
            check_spz(paths["spz"], ply, arguments.node)
            check_with_validator([paths["glb"], paths["gltf"]], arguments.node)


if __name__ == "__main__":
    main()
