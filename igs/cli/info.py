"""`igs info`: what a `.fvv` file holds, and whether it is whole."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from igs.fvv import FvvReader

_UNITS = {
    "position": "world units on each axis",
    "rotation": "radians",
    "log_scale": "of the natural logarithm of scales",
    "opacity": "of 0..1",
    "color": "of 0..1",
    **dict.fromkeys(("sh1", "sh2", "sh3"), "of a coefficient"),
}


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("info", help="describe a .fvv file", description=__doc__)
    parser.add_argument("file", help=".fvv file")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--check", action="store_true", help="decode every frame to find damage")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the description; 1 if the file is damaged or cut off."""
    from igs.fvv import FvvReader

    with FvvReader(arguments.file) as reader:
        decoded = sum(1 for _ in reader.frames()) if arguments.check else None
        report = describe(reader, decoded)
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print("\n".join(_lines(report)))
    return 1 if report["damage"] or report["unread_bytes"] else 0


def describe(reader: FvvReader, decoded: int | None) -> dict[str, Any]:
    """The report as plain values; `decoded` frames were decoded, None if none was tried."""
    from igs.fvv.chunks import INTRA, REFERENCE

    entries, header = reader.entries, reader.header
    layers = dict.fromkeys(header.layers, 0)
    for entry in entries:
        for layer, (_, length) in entry.layers.items():
            if layer in layers:
                layers[layer] += length
    size = reader.path.stat().st_size
    return {
        "file": str(reader.path),
        "bytes": size,
        "frames": len(entries),
        "first_frame": entries[0].frame if entries else None,
        "last_frame": entries[-1].frame if entries else None,
        "intra_frames": sum(bool(e.flags & INTRA) for e in entries),
        "reference_frames": sum(bool(e.flags & REFERENCE) for e in entries),
        "bytes_per_frame": size / len(entries) if entries else None,
        "bytes_of_layers": list(layers.values()),
        "sh_degree": header.sh_degree,
        "bounds": [list(corner) for corner in header.bounds],
        "refine": header.refine,
        "error_bounds": header.error_bounds,
        "refined_error_bounds": header.refined_error_bounds,
        "cameras": [camera.name for camera in header.cameras],
        "indexed": reader.indexed,
        "whole_bytes": reader.end,
        "unread_bytes": reader.unread,
        "decoded_frames": decoded,
        "damage": [
            {"offset": d.offset, "frame": d.frame, "reason": d.reason} for d in reader.damage
        ],
    }


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"{report['file']}: {report['bytes']} bytes, SH degree {report['sh_degree']}"]
    if report["frames"]:
        lines.append(
            f"frames {report['first_frame']} to {report['last_frame']}: {report['frames']}, "
            f"{report['intra_frames']} of them intra, {report['reference_frames']} references"
        )
        lines.append(f"bytes a frame: {report['bytes_per_frame']:.0f}")
    else:
        lines.append("no frames")
    sizes = ", ".join(str(size) for size in report["bytes_of_layers"])
    last = f", steps {report['refine']} times finer last" if report["refine"] > 1 else ""
    lines.append(f"bytes by layer, base first{last}: {sizes}")
    lines += _errors(report)
    if report["cameras"]:
        lines.append(f"cameras: {', '.join(report['cameras'])}")
    if not report["indexed"]:
        lines.append("no index: the writer has not finished, or was cut off")
    if report["unread_bytes"]:
        lines.append(
            f"cut off: {report['unread_bytes']} bytes from byte {report['whole_bytes']} on are no "
            "whole chunk"
        )
    if report["decoded_frames"] is not None:
        lines.append(f"decoded: {report['decoded_frames']} of {report['frames']} frames")
    lines += [
        f"damage at byte {d['offset']}"
        + ("" if d["frame"] is None else f", frame {d['frame']}")
        + f": {d['reason']}"
        for d in report["damage"]
    ]
    return lines


def _errors(report: dict[str, Any]) -> list[str]:
    """Largest errors with all layers, and without the refinement if there is one."""
    coarse, fine = report["error_bounds"], report["refined_error_bounds"]
    lines = []
    for name, value in (fine or coarse).items():
        if name.startswith("sh") and int(name[2:]) > report["sh_degree"]:
            continue
        rest = f"; without the last layer {coarse[name]:.3g}" if fine else ""
        lines.append(f"  {name:10s} {value:.3g} {_UNITS.get(name, '')}{rest}".rstrip())
    return ["largest errors", *lines] if lines else []
