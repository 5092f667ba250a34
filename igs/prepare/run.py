"""A whole preparation: a capture in, the dataset layout and a config to stream it out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from igs.config.prepare import PrepareConfig, check_prepare
from igs.prepare import detect, find, layout, record, roles
from igs.prepare.capture import Capture
from igs.prepare.disk import estimate_disk, require_disk
from igs.prepare.keep_edited import write_unless_edited
from igs.prepare.stream_config import FEW_CAMERAS, PreparedScene, stream_paths
from igs.prepare.timeline import FrameRange, Timeline, make_timeline
from igs.prepare.view_choice import DEFAULT_INPUT_VIEWS, choose_views, nearest_angles
from igs.prepare.write_images import Encoding, ViewTask, half_size, write_images
from igs.scene import Box, ColmapModel, ColmapPoints, Rig, SceneError, SceneFolder

logger = logging.getLogger(__name__)

_NETWORK_SIZE = 512
_WIDE_ANGLE = 40.0  # degrees


@dataclass(frozen=True)
class PrepareProgress:
    """Where a preparation stands; `stage` is sync, cameras, images, points or box."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Prepared:
    """What a preparation has made.

    Attributes:
        scene: the scene's folder.
        config: the config for `igs stream`.
        rig: cameras of ``images/``, with those held out.
        num_frames: number of frames.
        box: of what moves; None where there is none.
        num_points: sparse points.
        decoded: camera pictures that were decoded; 0 where all were there.
        warnings: in words, what a reconstruction may lack.
    """

    scene: SceneFolder
    config: Path
    rig: Rig
    num_frames: int
    box: Box | None
    num_points: int
    decoded: int
    warnings: tuple[str, ...] = ()


ProgressCallback = Callable[[PrepareProgress], None]


@dataclass(frozen=True)
class _Job:
    """What the steps of one run share."""

    config: PrepareConfig
    scene: SceneFolder
    capture: Capture
    timeline: Timeline
    findings: find.Findings
    told: Callable[[str], Callable[[int, int], None]]

    @property
    def num_frames(self) -> int:
        return len(self.timeline.steps)


def prepare(
    config: PrepareConfig, *, resume: bool = False, progress: ProgressCallback | None = None
) -> Prepared:
    """Bring a capture into the dataset layout.

    Written under `config.output`: ``<scene>/colmap_<i>/`` with images and ``sparse/0``,
    ``<scene>/rig.json``, ``bbox.json``, the pair file, ``stream.yaml`` (of a further scene
    ``stream_<scene>.yaml``), and in the scene's folder ``prepare.json``, which says what was found,
    and ``box.png``, the box drawn into views.

    Args:
        config: checked here.
        resume: go on with a preparation that was cut off; what is whole is not made again. A
            ``stream.yaml`` that was edited stays, the new one is then ``stream.yaml.new``.
        progress: told where it stands.

    Raises:
        ConfigError: values that preparing cannot work with.
        FileNotFoundError: the input or a file in it that is not there.
        SceneError: a capture that cannot be used, too small a disk, or an output that holds
            something else; one line that names the thing.
        RuntimeError: cameras must be estimated and COLMAP's package is not installed.

    Source: spec `streaming.md`, sections 2.1 and 9.
    """
    check_prepare(config)
    job = _open(config, progress or (lambda _: None))
    planned = _tasks(job, job.capture.rig or find.stand_in_rig(job.capture))
    if different := roles.different_sizes({task.camera.name: task.camera for task in planned}):
        logger.warning("%s", different)
    need = estimate_disk(planned, job.scene.root)
    require_disk(need, job.scene.root)
    logger.info("disk: %s", need)
    record.claim(job.scene.path, config, job.capture, resume)
    rig, points = _cameras(job)
    tasks = _tasks(job, rig)
    decoded = write_images(tasks, config.num_workers(), job.told("images"))
    cameras = {task.camera.name: task.camera for task in tasks}
    rig = replace(rig, cameras=cameras, distortion={})
    model = find.find_points(
        rig, points, lambda: find.pictures_of(tasks), config, job.findings, job.told("points")
    )
    found = find.find_box(rig, tasks, config, job.findings, job.told("box"))
    inputs = _inputs(job, rig, found.box if found else None)
    if found:
        found.draw(job.scene.path / "box.png", rig, inputs)
    return _write(job, rig, model, found.box if found else None, inputs, decoded)


def _open(config: PrepareConfig, progress: ProgressCallback) -> _Job:
    """Read what the capture is; nothing is written."""
    folder, cameras = Path(config.input), config.cameras
    name = config.scene or folder.resolve().name
    if not name or Path(name).name != name or name.startswith("."):
        raise SceneError(f"scene: {name!r} is no name for a folder; give scene=NAME")
    capture = detect.open_capture(
        folder,
        config.kind,
        cameras=cameras.file,
        exclude=cameras.exclude,
        order=cameras.order,
        estimate=cameras.mode == "estimate",
    )
    if capture.rig is None and cameras.mode == "given":
        raise SceneError(
            f"{folder}: no camera file here (cameras.mode=given); cameras.file names one, "
            "cameras.mode=estimate finds the cameras by COLMAP"
        )
    findings = find.Findings()
    frames = FrameRange.parse(config.frames)

    def told(stage: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(PrepareProgress(stage, done, total))

    # Without the offsets first: cameras that disagree are found before any video is searched.
    timeline = make_timeline(capture, config.sync, frames, config.fps)
    offsets = find.find_offsets(capture, config, findings, told("sync"))
    if offsets != config.sync.offsets:
        timeline = make_timeline(capture, config.sync, frames, config.fps, offsets)
    scene = SceneFolder(Path(config.output), name)
    return _Job(config, scene, capture, timeline, findings, told)


def _cameras(job: _Job) -> tuple[Rig, ColmapPoints | None]:
    """The capture's cameras with those held out, or estimated ones and their points."""
    rig, points = job.capture.rig, job.capture.points
    if rig is None:
        stored = find.pictures_of(_stored_tasks(job))
        rig, points = find.estimated_cameras(
            stored, job.config, job.scene.path, job.findings, job.told("cameras")
        )
    rig = roles.with_held_out(rig, job.config.held_out)
    roles.input_views(rig, job.config.inputs)  # refused before pictures are written
    if len(rig.training) < FEW_CAMERAS:
        job.findings.warn(
            f"{len(rig.training)} cameras to train on: surfaces are found only where several see "
            "them, so expect a picture near the cameras' own views and floating shapes elsewhere"
        )
    if (apart := neighbour_angle(rig)) > _WIDE_ANGLE:
        job.findings.warn(
            f"cameras stand {apart:.0f} degrees from their nearest neighbour (median); beyond some "
            f"{_WIDE_ANGLE:.0f} two views hardly show the same surface: more cameras in between "
            "are what a view from elsewhere needs"
        )
    return rig, points


def neighbour_angle(rig: Rig) -> float:
    """Degrees from a training camera to its nearest neighbour, median, seen from what all look at;
    0 where there is but one camera."""
    from igs.render.paths import focus_point  # late: needs torch, which image writers do without

    cameras = list(rig.training.values())
    if len(cameras) < 2:
        return 0.0
    try:
        focus = focus_point(cameras)
    except ValueError:  # parallel axes, as of a flat array, which looks at one thing all the same
        return 0.0
    return float(np.median(nearest_angles(cameras, focus)))


def _stored_tasks(job: _Job) -> list[ViewTask]:
    rig = find.stand_in_rig(job.capture)
    steps = job.timeline.steps[:1]
    return [_task(job, rig, name, steps, ()) for name in rig.cameras]


def _tasks(job: _Job, rig: Rig) -> list[ViewTask]:
    """One task a camera, at the size of the output."""
    sized = roles.at_output_size(roles.at_stored_size(job.capture, rig), job.config.images)
    out = []
    for name, camera in sized.cameras.items():
        full, half = (camera.width, camera.height), half_size(camera.width, camera.height)
        sizes = {"images": full, "images_r2": half, "images_512": (_NETWORK_SIZE,) * 2}
        folders = tuple((folder, *sizes[folder]) for folder in job.config.images.folders)
        out.append(_task(job, sized, name, job.timeline.steps, folders))
    return out


def _task(
    job: _Job, rig: Rig, name: str, steps: Sequence, folders: tuple[tuple[str, int, int], ...]
) -> ViewTask:
    images = job.config.images
    return ViewTask(
        job.capture.views[name],
        rig.cameras[name],
        rig.distortion.get(name),
        job.timeline.timings.get(name),
        tuple((index, step.positions[name]) for index, step in enumerate(steps)),
        folders,
        job.scene.path,
        Encoding(f".{images.format}", images.png_level, images.quality),
    )


def _write(
    job: _Job, rig: Rig, model: ColmapModel, box: Box | None, inputs: Sequence[str], decoded: int
) -> Prepared:
    """Everything but the images."""
    config, scene = job.config, job.scene
    layout.write_cameras(scene, rig, model, job.num_frames, job.timeline.fps)
    layout.write_box_and_pairs(scene, box, job.num_frames, sorted({1, config.interval}))
    path, output = stream_paths(scene.root, scene.name)
    written = write_unless_edited(
        path,
        PreparedScene(
            output,
            scene.root,
            scene.name,
            rig,
            images=work_folder(rig, config),
            network_images="images_512" in config.images.folders,
            num_frames=job.num_frames,
            fps=job.timeline.fps,
            inputs=inputs,
            has_box=box is not None,
            num_points=len(model.points),
            gpu=_has_gpu(),
        ),
        record.written(scene.path),
    )
    findings = job.findings
    results = {**findings.figures, "warnings": findings.warnings}
    record.add_results(scene.path, results, written)
    return Prepared(
        scene,
        path,
        rig,
        job.num_frames,
        box,
        len(model.points),
        decoded,
        tuple(findings.warnings),
    )


def work_folder(rig: Rig, config: PrepareConfig) -> str:
    """The folder of images that streaming works on; see `ImagesConfig.work`."""
    images = config.images
    if images.work is not None:
        return images.work
    wide = max(camera.width for camera in rig.cameras.values()) > images.work_width
    wanted = ("images_r2", "images") if wide else ("images", "images_r2")
    return next(name for name in wanted if name in images.folders)


def _inputs(job: _Job, rig: Rig, box: Box | None) -> list[str]:
    """Input views of the motion network; none leaves the choice to streaming."""
    given = roles.input_views(rig, job.config.inputs)
    if box is None or (given is None and len(rig.training) < DEFAULT_INPUT_VIEWS):
        return given or []
    choice = choose_views(rig, box, given=given)
    for text in choice.warnings:
        job.findings.warn(text)
    return list(choice.views)


def _has_gpu() -> bool:
    import torch  # late: the processes that write images import this room, and need no torch

    return torch.cuda.is_available()
