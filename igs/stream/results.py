"""From the records of all frames to `results.json`; pure functions of plain values.

Source of the keys: spec `streaming.md`, section 6; `summary` and `frames` are ours, with faults 14
and 15 of section 16 mended (separate clocks per stage, frame 0 included, counts before and after).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

RECONSTRUCTION_STAGES = ("decode", "motion", "refine")


def assemble(
    records: Sequence[Mapping[str, Any]],
    *,
    held_out: Sequence[str],
    fps: float,
    peak_memory_mb: float,
    frame0: Mapping[str, Any],
    temporal_stability: float | None,
) -> dict[str, Any]:
    """The whole of `results.json`.

    Args:
        records: one per frame in order; see `recorder.FrameRecorder.keep`. The session adds
            `wall_seconds` and `peak_memory_mb`.
        held_out: measured cameras; the first one's PSNR fills the original's keys.
        fps: renders per second of frame 0's Gaussians.
        peak_memory_mb: largest resident memory of the process that ends the run; those that came
            before it left theirs in their records.
        frame0: its `seconds` before the stream, and what else was found: `attempts`, and
            `camera_colors`, gain and offset of each camera.
        temporal_stability: dB, see `metrics.stability`; None without held-out cameras.
    """
    later = [r for r in records if r["index"] > 0]
    first_view = held_out[0] if held_out else None
    psnr = {f"frame_{r['index']}": r["psnr"][first_view] for r in later} if first_view else {}
    groups = _groups(later)
    return {
        "psnr": psnr,
        "avg": _mean(list(psnr.values())),
        "total_time": sum(r["wall_seconds"] for r in records),
        "mask_num": [group[0]["num_in_box"] for group in groups],
        "points_num": [group[-1]["num_before_refinement"] for group in groups],
        "fps": fps,
        "per_frame_times": [reconstruction_seconds(r) for r in later],
        "summary": _summary(
            records, held_out, fps, peak_memory_mb, frame0["seconds"], temporal_stability
        ),
        "frame0": dict(frame0),
        "frames": [_public(r) for r in records],
    }


def reconstruction_seconds(record: Mapping[str, Any]) -> float:
    """Seconds from images to Gaussians: decoding, motion and refinement, nothing else."""
    return sum(record["seconds"].get(stage, 0.0) for stage in RECONSTRUCTION_STAGES)


def mean_over_views(values: Mapping[str, float]) -> float | None:
    """Mean over held-out cameras, None without any."""
    return _mean(list(values.values()))


def _summary(
    records: Sequence[Mapping[str, Any]],
    held_out: Sequence[str],
    fps: float,
    peak_memory_mb: float,
    frame0_seconds: float,
    temporal_stability: float | None,
) -> dict[str, Any]:
    keys = [r for r in records if r["is_key"]]
    later = [r for r in records if r["index"] > 0]
    stages: dict[str, float] = {}
    for record in records:
        for stage, seconds in record["seconds"].items():
            stages[stage] = stages.get(stage, 0.0) + seconds
    return {
        "num_frames": len(records),
        "held_out": list(held_out),
        "psnr_mean": _mean([_view_mean(r, "psnr") for r in records]),
        "psnr_frame0": _view_mean(records[0], "psnr") if records else None,
        "psnr_first_key": _view_mean(keys[0], "psnr") if keys else None,
        "psnr_last_key": _view_mean(keys[-1], "psnr") if keys else None,
        "ssim_mean": _mean([_view_mean(r, "ssim") for r in records]),
        "temporal_stability": temporal_stability,
        "seconds_per_frame": _mean([reconstruction_seconds(r) for r in later]),
        "seconds_by_stage": {"frame0": frame0_seconds, **stages},
        "bytes_per_frame": _mean([float(r["bytes"]) for r in records]),
        "peak_memory_mb": max([peak_memory_mb, *(r["peak_memory_mb"] for r in records)]),
        "num_gaussians": records[-1]["num_gaussians"] if records else 0,
        "fps": fps,
    }


def _public(record: Mapping[str, Any]) -> dict[str, Any]:
    wanted = (
        "index",
        "is_key",
        "psnr",
        "ssim",
        "bytes",
        "num_gaussians",
        "num_before_refinement",
        "num_in_box",
    )
    return {
        **{key: record[key] for key in wanted},
        "seconds": reconstruction_seconds(record),
        "seconds_by_stage": dict(record["seconds"]),
    }


def _view_mean(record: Mapping[str, Any], key: str) -> float | None:
    return mean_over_views(record[key])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _groups(later: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Frames predicted from the same key frame, in order."""
    groups: list[list[Mapping[str, Any]]] = []
    for record in later:
        if groups and groups[-1][0]["predicted_from"] == record["predicted_from"]:
            groups[-1].append(record)
        else:
            groups.append([record])
    return groups


COLUMNS = (
    ("psnr_mean", "PSNR mean", "{:.2f}"),
    ("psnr_frame0", "frame 0", "{:.2f}"),
    ("psnr_last_key", "last key", "{:.2f}"),
    ("ssim_mean", "SSIM", "{:.4f}"),
    ("temporal_stability", "stability dB", "{:.2f}"),
    ("seconds_per_frame", "s/frame", "{:.3f}"),
    ("bytes_per_frame", "KB/frame", "{:.1f}"),
    ("peak_memory_mb", "memory MB", "{:.0f}"),
    ("num_gaussians", "Gaussians", "{:d}"),
)


def table(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Runs side by side as plain text, one row a run; a dash where a run has no such figure."""
    rows = [["run", *(title for _, title, _ in COLUMNS)]]
    for name, summary in summaries.items():
        rows.append([name, *(_cell(summary.get(key), key, form) for key, _, form in COLUMNS)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cell(value: Any, key: str, form: str) -> str:
    if value is None:
        return "-"
    return form.format(value / 1000 if key == "bytes_per_frame" else value)
