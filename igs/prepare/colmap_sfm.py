"""Cameras from the images of one time step, by COLMAP's incremental structure from motion.

SIFT features (Lowe, IJCV 2004), exhaustive matching with geometric verification, incremental
mapping (Schönberger and Frahm, CVPR 2016), all through pycolmap (BSD licence), on the CPU.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from igs.prepare.colmap_runtime import (
    CAMERA_MODELS,
    FeatureSettings,
    ImageInput,
    Intrinsics,
    Matches,
    Progress,
    extract_features,
    load_pycolmap,
    match_features,
    open_database,
    quiet,
    read_matches,
    stage_images,
)
from igs.scene import (
    Camera,
    ColmapModel,
    Distortion,
    Rig,
    SceneError,
    camera_name,
    read_colmap,
    write_colmap,
)
from igs.scene.colmap_records import ColmapCamera, ColmapImage
from igs.scene.errors import list_names
from igs.scene.rotations import rotation_from_quat

logger = logging.getLogger(__name__)

_FEW_FEATURES = 100
_MIN_POSE_MATCHES = 30
_SAME_FOCAL = 0.05
_AS_GOOD = 1.05


@dataclass(frozen=True)
class SfmSettings:
    """How cameras are found.

    Attributes:
        camera_model: one of `CAMERA_MODELS`, for cameras without known intrinsics.
        shared_intrinsics: True: one focal length and lens for all images; False: each its own.
            None starts with each its own and joins them where all images have one size, the
            cameras agree within 5 % and the joint model explains the images as well.
        min_registered: fewest cameras that must be placed; None is three quarters of them, and at
            least 3 (2 of 2).
        min_triangulation_angle: degrees between the rays of the first pair's points.
        features: see `FeatureSettings`; its seed and threads hold for all steps.
    """

    camera_model: str = "SIMPLE_RADIAL"
    shared_intrinsics: bool | None = None
    min_registered: int | None = None
    min_triangulation_angle: float = 4.0
    features: FeatureSettings = field(default_factory=FeatureSettings)


@dataclass(frozen=True)
class SfmResult:
    """Cameras found from images.

    World axes and scale are COLMAP's own: arbitrary, the same for cameras and points.

    Attributes:
        rig: the registered cameras in the order of the images given; `rig.cameras` are the
            pinholes of the undistorted images, `rig.distortion` leads there from the stored ones.
        model: the whole COLMAP model, with observations; `model.points` has xyz, rgb, errors and
            tracks.
        errors: registered camera to its mean reprojection error, pixels.
        observations: registered camera to the number of points it sees.
        unregistered: camera to the reason in words why it could not be placed.
    """

    rig: Rig
    model: ColmapModel
    errors: Mapping[str, float]
    observations: Mapping[str, int]
    unregistered: Mapping[str, str]


def reconstruct_cameras(
    images: Mapping[str, ImageInput],
    settings: SfmSettings | None = None,
    known: Mapping[str, Intrinsics] | None = None,
    work_folder: Path | None = None,
    progress: Progress | None = None,
) -> SfmResult:
    """Poses, intrinsics and sparse points from the images of one time step.

    Args:
        images: camera name to (H, W, 3) uint8 RGB, or to an image file.
        settings: see `SfmSettings`.
        known: camera name to intrinsics that are kept as they are: a `Camera` (its pose is
            ignored) or, for a lens with distortion, a `Distortion`.
        work_folder: where COLMAP's database and images go; a temporary one for None.
        progress: called with (steps done, steps): one for every image, then matching, mapping.

    Returns:
        Cameras, points, and what could not be placed.

    Raises:
        RuntimeError: pycolmap is not installed; the message says how to.
        SceneError: fewer than two images, a setting out of range, images that share too little to
            start from, or fewer cameras registered than wanted; the message says which and why.
    """
    settings = settings or SfmSettings()
    known = known or {}
    _check(images, settings, known)
    pycolmap = load_pycolmap()
    if work_folder is not None:
        return _reconstruct(pycolmap, images, settings, known, work_folder, progress)
    with tempfile.TemporaryDirectory(prefix="igs_sfm_") as temporary:
        return _reconstruct(pycolmap, images, settings, known, Path(temporary), progress)


def _check(
    images: Mapping[str, ImageInput], settings: SfmSettings, known: Mapping[str, Intrinsics]
) -> None:
    if len(images) < 2:
        raise SceneError(f"cameras from images: needs at least 2 images, got {len(images)}")
    if settings.camera_model not in CAMERA_MODELS:
        raise SceneError(
            f"camera_model: {settings.camera_model!r} must be one of {', '.join(CAMERA_MODELS)}"
        )
    strangers = [name for name in known if name not in images]
    if strangers:
        raise SceneError(f"known intrinsics: no image of camera {list_names(strangers)}")
    if settings.shared_intrinsics and known:
        raise SceneError("shared_intrinsics: cannot go with known intrinsics of single cameras")


def _reconstruct(
    pycolmap: ModuleType,
    images: Mapping[str, ImageInput],
    settings: SfmSettings,
    known: Mapping[str, Intrinsics],
    work: Path,
    progress: Progress | None,
) -> SfmResult:
    total = len(images) + 2
    report = progress or (lambda done, of: None)
    sizes = stage_images(images, work / "images")
    if settings.shared_intrinsics and len(set(sizes.values())) > 1:
        raise SceneError("shared_intrinsics: the images differ in size, so not one camera's")
    database = work / "database.db"
    database.unlink(missing_ok=True)
    with quiet(pycolmap):
        pycolmap.set_random_seed(settings.features.seed)
        extract_features(
            pycolmap,
            database,
            work / "images",
            sizes,
            settings.camera_model,
            bool(settings.shared_intrinsics),
            known,
            settings.features,
            lambda done, of: report(done, total),
        )
        match_features(pycolmap, database, settings.features)
        report(total - 1, total)
        matches = read_matches(pycolmap, database)
        best = _map(pycolmap, database, work, settings, known)
    report(total, total)
    if best is None:
        raise SceneError(_no_start(matches))
    best.write_binary(work / "model")
    model = read_colmap(work / "model")
    if settings.shared_intrinsics is None and not known and len(set(sizes.values())) == 1:
        with quiet(pycolmap):
            model = joined_intrinsics(pycolmap, model, work / "joined")
    result = _collect(model, list(images), matches, settings)
    _require(result, settings, len(images))
    return result


def _map(
    pycolmap: ModuleType,
    database: Path,
    work: Path,
    settings: SfmSettings,
    known: Mapping[str, Intrinsics],
) -> Any | None:
    """The largest reconstruction, or None where none could be started."""
    options = pycolmap.IncrementalPipelineOptions()
    features = settings.features
    options.num_threads, options.random_seed = features.threads, features.seed
    options.min_num_matches = features.min_matches
    options.min_model_size = 2
    options.extract_colors = True
    options.mapper.init_min_tri_angle = settings.min_triangulation_angle
    with open_database(pycolmap, database) as db:
        held = {i.camera_id for i in db.read_all_images() if Path(i.name).stem in known}
    options.constant_cameras = held
    (work / "sparse").mkdir(exist_ok=True)
    found = pycolmap.incremental_mapping(database, work / "images", work / "sparse", options)
    models = sorted(found.items(), key=lambda item: (-item[1].num_reg_images(), item[0]))
    if len(models) > 1:
        logger.warning(
            "cameras from images: the images fall into %d groups that share no points; the "
            "largest, of %d cameras, is used",
            len(models),
            models[0][1].num_reg_images(),
        )
    (work / "model").mkdir(exist_ok=True)
    return models[0][1] if models else None


def joined_intrinsics(pycolmap: ModuleType, model: ColmapModel, folder: Path) -> ColmapModel:
    """One set of intrinsics for all images where they agree, by one more bundle adjustment.

    Returns the model as it was where focal lengths differ by more than 5 % from their median, or
    where the joint model's reprojection error is more than 5 % higher.
    """
    records = list(model.cameras.values())
    focal = np.array([record.params[0] for record in records])
    middle = float(np.median(focal))
    if len(records) < 3 or (np.abs(focal / middle - 1) > _SAME_FOCAL).any():
        return model
    params = tuple(float(v) for v in np.median([record.params for record in records], axis=0))
    number = min(model.cameras)
    images = {key: replace(image, camera_id=number) for key, image in model.images.items()}
    joint = ColmapModel({number: replace(records[0], params=params)}, images, model.points)
    write_colmap(folder / "start", joint)
    reconstruction = pycolmap.Reconstruction(folder / "start")
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    pycolmap.bundle_adjustment(reconstruction, options)
    (folder / "end").mkdir(exist_ok=True)
    reconstruction.write_binary(folder / "end")
    joint = read_colmap(folder / "end")
    before, after = (_overall(camera_errors(m)) for m in (model, joint))
    logger.info(
        "cameras from images: reprojection error %.3f pixels with one set of intrinsics for all, "
        "%.3f with one for each camera",
        after,
        before,
    )
    return joint if after <= before * _AS_GOOD else model


def _overall(errors: tuple[Mapping[str, float], Mapping[str, int]]) -> float:
    values, counts = errors
    seen = [name for name, count in counts.items() if count]
    total = sum(counts[name] for name in seen)
    return sum(values[name] * counts[name] for name in seen) / max(total, 1)


def _collect(
    model: ColmapModel, names: list[str], matches: Matches, settings: SfmSettings
) -> SfmResult:
    rig = model.rig(undistort=True)
    registered = [name for name in names if name in rig.cameras]
    errors, observations = camera_errors(model)
    missing = [name for name in names if name not in rig.cameras]
    reasons = {name: why_unregistered(name, matches, registered, settings) for name in missing}
    return SfmResult(rig.subset(registered), model, errors, observations, reasons)


def camera_errors(model: ColmapModel) -> tuple[dict[str, float], dict[str, int]]:
    """Mean reprojection error in pixels and number of observed points of every image.

    The error is that of the stored image, lens distortion included; NaN without any observation.
    """
    order = np.argsort(model.points.ids)
    errors: dict[str, float] = {}
    counts: dict[str, int] = {}
    for image in model.images.values():
        name = camera_name(image.name)
        seen = image.point3d_ids >= 0
        counts[name] = int(seen.sum())
        at = order[np.searchsorted(model.points.ids, image.point3d_ids[seen], sorter=order)]
        expected = project_stored(model, image, model.points.xyz[at])
        residual = np.linalg.norm(expected - image.points2d[seen], axis=1)
        errors[name] = float(residual.mean()) if len(residual) else float("nan")
    return errors, counts


def project_stored(model: ColmapModel, image: ColmapImage, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of the stored image where (N, 3) world points fall."""
    lens = stored_lens(model.cameras[image.camera_id], camera_name(image.name))
    local = points @ rotation_from_quat(image.quat).T + image.translation
    normal = lens.distort(local[:, :2] / local[:, 2:])
    stored = lens.stored
    return normal * [stored.fx, stored.fy] + [stored.cx, stored.cy]


def stored_lens(record: ColmapCamera, name: str) -> Distortion:
    """Intrinsics and distortion of a COLMAP camera, at the identity pose.

    Raises:
        SceneError: a camera model other than `CAMERA_MODELS`.
    """
    p = record.params
    if record.model not in CAMERA_MODELS:
        raise SceneError(f"camera {name!r}: model {record.model} is not {', '.join(CAMERA_MODELS)}")
    four = record.model in ("PINHOLE", "OPENCV")
    fx, fy, cx, cy = p[:4] if four else (p[0], p[0], p[1], p[2])
    camera = Camera(name, record.width, record.height, fx, fy, cx, cy, np.eye(4))
    return Distortion.from_coefficients(camera, p[4:8] if four else p[3:])


def why_unregistered(
    name: str, matches: Matches, registered: Sequence[str], settings: SfmSettings
) -> str:
    """The likeliest reason in words why COLMAP could not place a camera."""
    count = matches.features.get(name, 0)
    if count < _FEW_FEATURES:
        return (
            f"few features: {count} found in its image, {_FEW_FEATURES} are about the least; is it "
            "sharp, exposed and textured?"
        )
    partners = matches.with_camera(name)
    if not partners:
        return (
            f"no matches: none of its {count} features agrees with any other camera "
            f"({settings.features.min_matches} are needed); does it see the same part of the scene?"
        )
    best, most = next(iter(partners.items()))
    inside = {other: n for other, n in partners.items() if other in registered}
    if not inside:
        return (
            f"not enough overlap: it matches only cameras that are not placed either (best "
            f"{best} with {most} matches)"
        )
    best, most = next(iter(inside.items()))
    if most < _MIN_POSE_MATCHES:
        return (
            f"few matches: at most {most} with a placed camera ({best}); about "
            f"{_MIN_POSE_MATCHES} are needed"
        )
    return (
        f"not enough overlap: {most} matches with {best}, but too few of them belong to points "
        "that two placed cameras see; add a view in between"
    )


def _no_start(matches: Matches) -> str:
    if not matches.pairs:
        counts = ", ".join(f"{name} {count}" for name, count in matches.features.items())
        return (
            "cameras from images: no two images share enough features to start from (features "
            f"found: {counts}); the views must overlap and show texture"
        )
    (first, second), best = max(matches.pairs.items(), key=lambda item: len(item[1]))
    return (
        "cameras from images: no pair of images gives a stable start; the best, "
        f"{first} and {second}, has {len(best)} matches (100 are about the least); views must "
        "overlap, stand apart and show texture"
    )


def _require(result: SfmResult, settings: SfmSettings, total: int) -> None:
    least = settings.min_registered
    if least is None:
        least = min(total, max(3, -(-3 * total // 4)))
    placed = len(result.rig.cameras)
    for name, reason in result.unregistered.items():
        logger.warning("camera %r could not be placed: %s", name, reason)
    if placed < least:
        reasons = "; ".join(f"{name}: {why}" for name, why in result.unregistered.items())
        raise SceneError(
            f"cameras from images: {placed} of {total} cameras could be placed, at least {least} "
            f"are wanted; {reasons}"
        )
