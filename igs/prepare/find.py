"""What is found from the pictures where a capture does not tell: offsets, cameras, points, box."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from igs.config.prepare import PrepareConfig
from igs.prepare.capture import Capture
from igs.prepare.colmap_runtime import FeatureSettings
from igs.prepare.colmap_sfm import SfmSettings, camera_errors, reconstruct_cameras
from igs.prepare.moving_box import MovingBoxSettings, draw_moving_box, find_moving_box
from igs.prepare.sync import SyncReport, SyncSettings, offsets_from_audio, offsets_from_motion
from igs.prepare.sync_mixed import add_by_motion, known_by
from igs.prepare.timeline import timestamp_file
from igs.prepare.triangulate import TriangulationSettings, triangulate
from igs.prepare.write_images import ViewTask
from igs.scene import (
    Box,
    Camera,
    ColmapModel,
    ColmapPoints,
    Rig,
    SceneError,
    model_from_rig,
    read_colmap,
    write_colmap,
)
from igs.scene.video_timing import common_frame_rate, read_timing

logger = logging.getLogger(__name__)

StageProgress = Callable[[int, int], None]

_SYNC_FRAMES = 20  # fewer show no motion that could be told from another camera's
_MOST_OFFSET = 60.0  # frames
_OVERLAP = 4  # offsets up to this part of the videos: more leaves too little to compare
_ESTIMATED = "distorted/sparse/0"  # of the scene's folder: where the original has it as well
_BOX_WIDTH = 640
_SIGNALS = {"audio": "sound", "motion": "motion"}


@dataclass
class Findings:
    """What was found, in words and figures for the record, and what is wanting."""

    warnings: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        """Note something that a reconstruction will lack."""
        logger.warning("%s", text)
        self.warnings.append(text)


def find_offsets(
    capture: Capture, config: PrepareConfig, findings: Findings, progress: StageProgress
) -> dict[str, float]:
    """Seconds to take off each camera's times: those set, and those estimated if asked for.

    Nothing is estimated where a common clock tells the times, or where the videos are too short.
    """
    sync, given = config.sync, dict(config.sync.offsets)
    videos = {name: str(view.video) for name, view in capture.views.items() if view.video}
    told = sync.clock == "absolute" or timestamp_file(capture.folder, sync.timestamps) is not None
    if sync.mode == "off" or told or given or len(videos) < 2:
        return given
    timings = {name: read_timing(path) for name, path in videos.items()}
    fps = common_frame_rate(timings)
    length = min(len(timing.stamps) for timing in timings.values())
    if length < _SYNC_FRAMES:
        return given
    settings = SyncSettings(max_offset=min(_MOST_OFFSET, length / _OVERLAP))
    report = offsets_from_audio(videos, fps, settings, progress=progress)
    count = min(length, max(round(sync.seconds * fps), _SYNC_FRAMES))
    if report is None or len(known_by(report)) < 2:
        report = offsets_from_motion(videos, fps, settings, num_frames=count, progress=progress)
    elif report.unknown:
        report = add_by_motion(report, videos, settings, num_frames=count, progress=progress)
    _say_offsets(report, sync.mode == "apply", findings)
    if sync.mode != "apply":
        return given
    return {name: report.offsets[name].frames / fps for name in report.unsynchronised}


def _say_offsets(report: SyncReport, applied: bool, findings: Findings) -> None:
    findings.figures["sync"] = {
        "method": report.method,
        "methods": {name: offset.method for name, offset in report.offsets.items()},
        "reference": report.reference,
        "frames": {name: round(offset.frames, 3) for name, offset in report.offsets.items()},
        "confidence": {n: round(offset.confidence, 3) for n, offset in report.offsets.items()},
        "applied": applied,
    }
    if report.unknown:
        logger.info(
            "synchronisation by %s: nothing is known of %d of %d cameras",
            _said(report, list(report.offsets)),
            len(report.unknown),
            len(report.offsets),
        )
    if report.unsynchronised:
        mixed = len({report.offsets[n].method for n in report.unsynchronised}) > 1
        listed = ", ".join(
            f"{n} {report.offsets[n].frames:+.1f}" + (f" ({_said(report, [n])})" if mixed else "")
            for n in report.unsynchronised
        )
        findings.warn(
            f"by their {_said(report, report.unsynchronised)}, cameras may be off in time by so "
            f"many frames: {listed}"
            + ("; applied" if applied else "; if that is true, sync.mode=apply shifts them")
        )


def _said(report: SyncReport, names: Sequence[str]) -> str:
    """By what cameras were placed, in words."""
    used = {report.offsets[name].method for name in names}
    return " and ".join(word for key, word in _SIGNALS.items() if key in used)


def pictures_of(tasks: Sequence[ViewTask], number: int = 0) -> dict[str, np.ndarray]:
    """The undistorted pictures of one step, by its place among the tasks' steps."""
    out = {}
    for task in tasks:
        one = replace(task, steps=task.steps[number : number + 1])
        out[task.camera.name] = next(one.pictures())[1]
    return out


def estimated_cameras(
    stored: Mapping[str, np.ndarray],
    config: PrepareConfig,
    scene: Path,
    findings: Findings,
    progress: StageProgress,
) -> tuple[Rig, ColmapPoints]:
    """Cameras and points from the stored pictures of the first step; kept for `--resume`.

    Cameras that could not be placed are missing from the rig.

    Raises:
        SceneError: too few cameras could be placed; says which and why.
        RuntimeError: COLMAP's package is not installed.
    """
    folder = scene / _ESTIMATED
    if not (folder / "points3D.bin").is_file():
        settings = SfmSettings(
            camera_model=config.cameras.model,
            shared_intrinsics=config.cameras.shared,
            features=FeatureSettings(seed=config.seed, threads=config.num_workers()),
        )
        _require_one_size(stored, config.cameras.shared)
        result = reconstruct_cameras(stored, settings, progress=progress)
        for name, reason in result.unregistered.items():
            findings.warn(f"camera {name} is left out, COLMAP could not place it: {reason}")
        write_colmap(folder, result.model)
    model = read_colmap(folder)
    rig = model.rig(undistort=True)
    errors, _ = camera_errors(model)
    findings.figures["reprojection_error"] = {n: round(e, 4) for n, e in errors.items()}
    worst = max(errors, key=lambda name: errors[name])
    logger.info(
        "cameras: %d of %d placed, %d points, mean reprojection error %.2f pixels, worst %s %.2f",
        len(rig.cameras),
        len(stored),
        len(model.points),
        float(np.mean(list(errors.values()))),
        worst,
        errors[worst],
    )
    if errors[worst] > config.cameras.max_error:
        findings.warn(
            f"camera {worst} has a mean reprojection error of {errors[worst]:.2f} pixels; is it "
            "synchronous, and does its lens fit cameras.model?"
        )
    return rig, ColmapPoints.of(model.points.xyz, model.points.rgb)


def _require_one_size(stored: Mapping[str, np.ndarray], shared: bool) -> None:
    sizes = {image.shape[1::-1] for image in stored.values()}
    if shared and len(sizes) > 1:
        listed = ", ".join(f"{width} x {height}" for width, height in sorted(sizes))
        raise SceneError(
            f"cameras differ in resolution ({listed}), so that they cannot share one set of "
            "intrinsics; give cameras.shared=false"
        )


def find_points(
    rig: Rig,
    points: ColmapPoints | None,
    pictures: Callable[[], Mapping[str, np.ndarray]],
    config: PrepareConfig,
    findings: Findings,
    progress: StageProgress,
) -> ColmapModel:
    """The model for ``sparse/0``: the capture's points, or triangulated ones, or none.

    Triangulation also tells which given poses the pictures contradict.
    """
    if points is not None and len(points) > 0:
        return model_from_rig(rig, points, _suffix(config))
    if config.points.mode == "none" or len(rig.cameras) < 2:
        return model_from_rig(rig, None, _suffix(config))
    features = FeatureSettings(seed=config.seed, threads=config.num_workers())
    try:
        result = triangulate(
            rig, pictures(), TriangulationSettings(features=features), progress=progress
        )
    except RuntimeError as error:  # COLMAP's package is not installed
        findings.warn(f"no points are triangulated: {error}")
        return model_from_rig(rig, None, _suffix(config))
    findings.figures["epipolar_error"] = {
        name: None if np.isnan(error) else round(error, 3)
        for name, error in result.epipolar_errors.items()
    }
    for name, reason in result.doubtful.items():
        findings.warnings.append(f"camera {name}: {reason}")
    found = result.model.points
    logger.info("points: %d triangulated", len(found))
    return model_from_rig(rig, ColmapPoints.of(found.xyz, found.rgb), _suffix(config))


def _suffix(config: PrepareConfig) -> str:
    return f".{config.images.format}"


@dataclass(frozen=True)
class FoundBox:
    """The box of what moves, and what it can be drawn into.

    Attributes:
        box: the box.
        images: camera name to (h, w, 3) uint8 of one step.
        masks: camera name to (h, w) bool, pixels that change; None for a box that was given.
    """

    box: Box
    images: Mapping[str, np.ndarray]
    masks: Mapping[str, np.ndarray] | None = None

    def draw(self, path: Path, rig: Rig, inputs: Sequence[str]) -> None:
        """Write the picture by which a person sees whether box and input views are right."""
        draw_moving_box(path, rig.cameras, self.images, self.box, self.masks, inputs)


def find_box(
    rig: Rig,
    tasks: Sequence[ViewTask],
    config: PrepareConfig,
    findings: Findings,
    progress: StageProgress,
) -> FoundBox | None:
    """The box of what moves; None where it is not wanted or not found."""
    if config.box.bounds is not None:
        box = Box(np.array(config.box.bounds[0]), np.array(config.box.bounds[1]))
        return FoundBox(box, pictures_of(_small(tasks)))
    count = min(len(task.steps) for task in tasks)
    if config.box.mode == "none" or count < 2 or len(rig.cameras) < 2:
        return None
    places = np.unique(
        np.linspace(0, count - 1, min(config.box.samples, count)).round().astype(int)
    )
    frames = _frames_at(_small(tasks), places.tolist())
    settings = MovingBoxSettings(num_frames=len(frames))
    try:
        found = find_moving_box(rig.cameras, frames, settings, progress=progress)
    except SceneError as error:
        findings.warn(f"no box: {error}")
        return None
    findings.figures["box"] = {
        "changed": {name: round(share, 5) for name, share in found.changed.items()},
        "explained": {name: round(share, 4) for name, share in found.explained.items()},
    }
    return FoundBox(found.box, frames[0], found.masks)


def _small(tasks: Sequence[ViewTask]) -> list[ViewTask]:
    """The tasks at a width that is enough to see what moves."""
    out = []
    for task in tasks:
        camera = task.camera
        width = min(_BOX_WIDTH, camera.width)
        height = max(round(camera.height * width / camera.width), 1)
        out.append(replace(task, camera=camera.resized(width, height)))
    return out


def _frames_at(tasks: Sequence[ViewTask], places: Sequence[int]) -> list[dict[str, np.ndarray]]:
    frames: list[dict[str, np.ndarray]] = [{} for _ in places]
    for task in tasks:
        chosen = replace(task, steps=tuple(task.steps[place] for place in places))
        for frame, (_, image) in zip(frames, chosen.pictures(), strict=True):
            frame[task.camera.name] = image
    return frames


def stand_in_rig(capture: Capture) -> Rig:
    """Cameras of the right sizes for a capture whose cameras are not known yet."""
    cameras = []
    for name, view in capture.views.items():
        width, height = view.size()
        focal = float(max(width, height))
        cameras.append(Camera(name, width, height, focal, focal, width / 2, height / 2, np.eye(4)))
    return Rig.of(cameras)
