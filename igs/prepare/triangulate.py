"""Sparse points for cameras that are given: triangulated only, the poses stay as they are.

SIFT features and exhaustive matching as in `colmap_sfm`; COLMAP's triangulator (Schönberger and
Frahm, CVPR 2016) without bundle adjustment. Besides the points it tells which cameras' poses the
images contradict.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np

from igs.prepare.colmap_runtime import (
    FeatureSettings,
    ImageInput,
    Intrinsics,
    Matches,
    Progress,
    colmap_parameters,
    extract_features,
    load_pycolmap,
    match_features,
    open_database,
    quiet,
    read_matches,
    stage_images,
)
from igs.prepare.colmap_sfm import camera_errors
from igs.scene import (
    Camera,
    ColmapModel,
    ColmapPoints,
    Distortion,
    Rig,
    SceneError,
    read_colmap,
    write_colmap,
)
from igs.scene.colmap_records import ColmapCamera, ColmapImage
from igs.scene.errors import list_names
from igs.scene.rotations import quat_from_rotation

logger = logging.getLogger(__name__)

_UNDISTORT_STEPS = 20
_LEAST_DOUBTFUL = 0.75  # pixels; below that, features are not found more exactly


@dataclass(frozen=True)
class TriangulationSettings:
    """How points are found and poses are judged.

    Attributes:
        max_error: largest reprojection error of an observation, pixels.
        min_angle: least angle between two rays of a point, degrees.
        doubtful_error: median distance in pixels, at an image width of 1000, of a camera's matches
            from the epipolar lines of the given poses above which its pose is doubtful.
        features: see `FeatureSettings`; its seed and threads hold for all steps.
    """

    max_error: float = 4.0
    min_angle: float = 1.5
    doubtful_error: float = 2.0
    features: FeatureSettings = field(default_factory=FeatureSettings)


@dataclass(frozen=True)
class TriangulationResult:
    """Points for given cameras, and how well the images agree with the poses.

    Attributes:
        model: the COLMAP model: the given cameras (of the stored images), their observations and
            `model.points`.
        errors: camera to the mean reprojection error of its points, pixels; NaN without points.
        observations: camera to the number of points it sees.
        epipolar_errors: camera to the median distance in pixels of its matches from the epipolar
            lines that the given poses predict: the median over its pairs, so that one bad camera
            does not tar the others. NaN without matches.
        doubtful: camera to the reason in words why its pose is in doubt.
    """

    model: ColmapModel
    errors: Mapping[str, float]
    observations: Mapping[str, int]
    epipolar_errors: Mapping[str, float]
    doubtful: Mapping[str, str]


def triangulate(
    rig: Rig,
    images: Mapping[str, ImageInput],
    settings: TriangulationSettings | None = None,
    work_folder: Path | None = None,
    progress: Progress | None = None,
) -> TriangulationResult:
    """Sparse points from the images of one time step and their given cameras.

    Args:
        rig: the cameras. Those in `rig.distortion` have their images given as stored, the others
            as pinhole images; any size of the camera's shape.
        images: camera name to (H, W, 3) uint8 RGB, or to an image file; one for every camera.
        settings: see `TriangulationSettings`.
        work_folder: where COLMAP's database and images go; a temporary one for None.
        progress: called with (steps done, steps).

    Returns:
        The points, the errors and the doubtful cameras. No points at all is not an error: the
        result then holds none, and every camera is doubtful for a reason.

    Raises:
        RuntimeError: pycolmap is not installed; the message says how to.
        SceneError: fewer than two cameras, or a camera without an image.
    """
    settings = settings or TriangulationSettings()
    absent = [name for name in rig.cameras if name not in images]
    if absent:
        raise SceneError(f"triangulation: no image of camera {list_names(absent)}")
    if len(rig.cameras) < 2:
        raise SceneError("triangulation: needs at least 2 cameras, got 1")
    pycolmap = load_pycolmap()
    ordered = {name: images[name] for name in rig.cameras}
    if work_folder is not None:
        return _triangulate(pycolmap, rig, ordered, settings, work_folder, progress)
    with tempfile.TemporaryDirectory(prefix="igs_points_") as temporary:
        return _triangulate(pycolmap, rig, ordered, settings, Path(temporary), progress)


def _triangulate(
    pycolmap: ModuleType,
    rig: Rig,
    images: Mapping[str, ImageInput],
    settings: TriangulationSettings,
    work: Path,
    progress: Progress | None,
) -> TriangulationResult:
    total = len(images) + 2
    report = progress or (lambda done, of: None)
    sizes = stage_images(images, work / "images")
    known: dict[str, Intrinsics] = {n: rig.distortion.get(n, c) for n, c in rig.cameras.items()}
    database = work / "database.db"
    database.unlink(missing_ok=True)
    with quiet(pycolmap):
        pycolmap.set_random_seed(settings.features.seed)
        extract_features(
            pycolmap,
            database,
            work / "images",
            sizes,
            "PINHOLE",
            False,
            known,
            settings.features,
            lambda done, of: report(done, total),
        )
        match_features(pycolmap, database, settings.features)
        report(total - 1, total)
        matches = read_matches(pycolmap, database)
        model = _points(pycolmap, database, rig, known, sizes, settings, work)
    report(total, total)
    errors, counts = camera_errors(model)
    epipolar = epipolar_errors(matches, known, rig.cameras, sizes)
    doubtful = _doubtful(rig, matches, epipolar, counts, sizes, settings)
    for name, reason in doubtful.items():
        logger.warning("camera %r: %s", name, reason)
    return TriangulationResult(model, errors, counts, epipolar, doubtful)


def _points(
    pycolmap: ModuleType,
    database: Path,
    rig: Rig,
    known: Mapping[str, Intrinsics],
    sizes: Mapping[str, tuple[int, int]],
    settings: TriangulationSettings,
    work: Path,
) -> ColmapModel:
    """Write the given cameras with the database's numbers, triangulate, read the model back."""
    with open_database(pycolmap, database) as db:
        numbers = {
            Path(i.name).stem: (i.image_id, i.camera_id, i.name) for i in db.read_all_images()
        }
    cameras: dict[int, ColmapCamera] = {}
    records: dict[int, ColmapImage] = {}
    for name, (image_number, camera_number, file_name) in numbers.items():
        kind, values = colmap_parameters(known[name], *sizes[name])
        cameras[camera_number] = ColmapCamera(kind, *sizes[name], values)
        pose = rig.cameras[name].world_to_camera
        records[image_number] = ColmapImage(
            file_name, camera_number, quat_from_rotation(pose[:3, :3]), pose[:3, 3]
        )
    empty = ColmapPoints.of(np.zeros((0, 3)), np.zeros((0, 3)))
    write_colmap(work / "given", ColmapModel(cameras, records, empty))
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads, options.random_seed = settings.features.threads, settings.features.seed
    options.triangulation.min_angle = settings.min_angle
    options.triangulation.ignore_two_view_tracks = False
    options.mapper.filter_max_reproj_error = settings.max_error
    options.mapper.filter_min_tri_angle = settings.min_angle
    (work / "model").mkdir(exist_ok=True)
    found = pycolmap.triangulate_points(
        pycolmap.Reconstruction(work / "given"),
        database,
        work / "images",
        work / "model",
        options=options,
    )
    found.write_binary(work / "model")
    return read_colmap(work / "model")


def epipolar_errors(
    matches: Matches,
    known: Mapping[str, Intrinsics],
    cameras: Mapping[str, Camera],
    sizes: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """How far a camera's matches lie from the epipolar lines of given poses.

    Args:
        matches: verified by the images alone, not by the poses.
        known: camera name to the intrinsics of its stored image.
        cameras: camera name to its pose.
        sizes: camera name to width and height of the image that was matched.

    Returns:
        Camera name to pixels: the median over its pairs of the pairs' median distances (the mean
        of the distances in both images); NaN for a camera without matches.
    """
    found: dict[str, list[float]] = {name: [] for name in cameras}
    for (first, second), pixels in matches.pairs.items():
        a = _normalised(pixels[:, :2], known[first], sizes[first])
        b = _normalised(pixels[:, 2:], known[second], sizes[second])
        relative = cameras[second].world_to_camera @ cameras[first].camera_to_world
        distance = _line_distances(a, b, relative, _focal(known[first], sizes[first]))
        distance += _line_distances(
            b, a, np.linalg.inv(relative), _focal(known[second], sizes[second])
        )
        median = float(np.median(distance / 2))
        found[first].append(median)
        found[second].append(median)
    return {n: float(np.median(values)) if values else float("nan") for n, values in found.items()}


def _doubtful(
    rig: Rig,
    matches: Matches,
    epipolar: Mapping[str, float],
    counts: Mapping[str, int],
    sizes: Mapping[str, tuple[int, int]],
    settings: TriangulationSettings,
) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for name in rig.cameras:
        error, allowed = epipolar[name], settings.doubtful_error * sizes[name][0] / 1000
        allowed = max(allowed, _LEAST_DOUBTFUL)
        if np.isnan(error):
            reasons[name] = (
                f"its pose cannot be checked: none of its {matches.features.get(name, 0)} features "
                "agrees with another camera"
            )
        elif error > allowed:
            reasons[name] = (
                f"its pose is doubtful: matches lie {error:.1f} pixels off the epipolar lines of "
                f"the given poses (up to {allowed:.1f} is usual)"
            )
        elif counts.get(name, 0) == 0:
            reasons[name] = "its pose cannot be checked: it sees no triangulated point"
    return reasons


def _stored(known: Intrinsics, size: tuple[int, int]) -> tuple[Camera, Distortion | None]:
    if isinstance(known, Distortion):
        return known.stored.resized(*size), known
    return known.resized(*size), None


def _focal(known: Intrinsics, size: tuple[int, int]) -> float:
    camera, _ = _stored(known, size)
    return (camera.fx + camera.fy) / 2


def _normalised(pixels: np.ndarray, known: Intrinsics, size: tuple[int, int]) -> np.ndarray:
    """(M, 3) pinhole rays, z = 1, of (M, 2) pixels of a stored image."""
    camera, lens = _stored(known, size)
    seen = (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy]
    points = seen
    if lens is not None:
        for _ in range(_UNDISTORT_STEPS):
            points = points + seen - lens.distort(points)
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def _line_distances(
    rays: np.ndarray, others: np.ndarray, relative: np.ndarray, focal: float
) -> np.ndarray:
    """(M,) pixels from `rays` of one image to the epipolar lines of `others`' rays.

    `relative` maps the axes of the first camera to those of the second.
    """
    x, y, z = relative[:3, 3]
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    lines = others @ (cross @ relative[:3, :3])
    across = np.linalg.norm(lines[:, :2], axis=1)
    return focal * np.abs((lines * rays).sum(axis=1)) / np.maximum(across, 1e-12)
