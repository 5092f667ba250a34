"""What every use of COLMAP needs: the library, a folder of images, features and matches."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from igs.scene import Camera, Distortion, SceneError, read_image, write_image

logger = logging.getLogger(__name__)

CAMERA_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
_OLDEST = (3, 13)

Intrinsics = Camera | Distortion
ImageInput = np.ndarray | str | os.PathLike[str]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FeatureSettings:
    """How features are found and matched.

    Attributes:
        max_features: most SIFT features of an image.
        max_image_size: longer side, pixels, to which larger images are reduced for the features.
        peak_threshold: least contrast of a feature; lower finds more in plain surfaces.
        max_ratio: largest ratio of the best to the second best descriptor distance of a match.
        max_error: pixels a match may lie off the epipolar line of its pair.
        min_matches: fewest geometrically verified matches of a pair that count.
        seed: of every random choice.
        threads: of every step.
    """

    max_features: int = 8192
    max_image_size: int = 3200
    peak_threshold: float = 0.00667
    max_ratio: float = 0.8
    max_error: float = 4.0
    min_matches: int = 15
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True)
class Matches:
    """What the database holds after matching.

    Attributes:
        features: camera name to the number of its features.
        pairs: (first, second) camera names, in the order of the images, to the (M, 4) float64
            pixel positions x1 y1 x2 y2 of their geometrically verified matches.
    """

    features: Mapping[str, int]
    pairs: Mapping[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def with_camera(self, name: str) -> dict[str, int]:
        """Verified matches of one camera with every other that has any, most first."""
        found = {
            b if a == name else a: len(m) for (a, b), m in self.pairs.items() if name in (a, b)
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def load_pycolmap() -> ModuleType:
    """The pycolmap module, imported only where it is used.

    Raises:
        RuntimeError: it is missing or too old; the message says how to install it.
    """
    try:
        with _own_signals():
            pycolmap = importlib.import_module("pycolmap")
    except ImportError as error:
        raise RuntimeError(
            "finding cameras from images needs COLMAP's Python package; install it with "
            '`pip install "igs[prepare]"` (or `pip install "pycolmap>=3.13"`), or give cameras'
        ) from error
    numbers = tuple(int(part) for part in pycolmap.__version__.split(".")[:2] if part.isdigit())
    if numbers < _OLDEST:
        raise RuntimeError(
            f'pycolmap {pycolmap.__version__} is too old; `pip install -U "pycolmap>=3.13"`'
        )
    return pycolmap


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what SIGTERM does: COLMAP's log prints a stack trace for whoever ends the program."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@contextmanager
def quiet(pycolmap: ModuleType) -> Iterator[None]:
    """Keep COLMAP's own log off the terminal, except for its errors."""
    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before


def stage_images(images: Mapping[str, ImageInput], folder: Path) -> dict[str, tuple[int, int]]:
    """Write the images as ``<camera>.png`` into a folder.

    Args:
        images: camera name to (H, W, 3) uint8 RGB, or to an image file.
        folder: made if missing.

    Returns:
        Camera name to width and height.

    Raises:
        SceneError, FileNotFoundError: an image that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sizes: dict[str, tuple[int, int]] = {}
    for name, image in images.items():
        pixels = image if isinstance(image, np.ndarray) else read_image(image)
        write_image(folder / f"{name}.png", pixels)
        sizes[name] = (pixels.shape[1], pixels.shape[0])
    return sizes


def colmap_parameters(known: Intrinsics, width: int, height: int) -> tuple[str, tuple[float, ...]]:
    """COLMAP's camera model and parameters of known intrinsics at an image size.

    Raises:
        SceneError: a k3 coefficient, which the OPENCV model has no place for.
    """
    lens = known if isinstance(known, Distortion) else None
    camera = (known.stored if isinstance(known, Distortion) else known).resized(width, height)
    pinhole = (camera.fx, camera.fy, camera.cx, camera.cy)
    if lens is None or not any(lens.coefficients):
        return "PINHOLE", pinhole
    if lens.k3:
        raise SceneError(
            f"camera {camera.name!r}: distortion k3 = {lens.k3:g} has no place in COLMAP's OPENCV "
            "model; undistort its images first"
        )
    return "OPENCV", (*pinhole, *lens.coefficients[:4])


def extract_features(
    pycolmap: ModuleType,
    database: Path,
    folder: Path,
    sizes: Mapping[str, tuple[int, int]],
    model: str,
    shared: bool,
    known: Mapping[str, Intrinsics],
    settings: FeatureSettings,
    progress: Progress | None = None,
) -> None:
    """SIFT features of staged images into a database; one camera each, or one for all."""
    extraction = _extraction_options(pycolmap, settings)
    mode = pycolmap.CameraMode
    if shared and not known:
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = model
        names = [f"{name}.png" for name in sizes]
        pycolmap.extract_features(
            database, folder, names, mode.SINGLE, reader, extraction, pycolmap.Device.cpu
        )
        return
    for i, (name, (width, height)) in enumerate(sizes.items()):
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = model
        if name in known:
            reader.camera_model, values = colmap_parameters(known[name], width, height)
            reader.camera_params = ", ".join(repr(float(value)) for value in values)
        pycolmap.extract_features(
            database,
            folder,
            [f"{name}.png"],
            mode.PER_IMAGE,
            reader,
            extraction,
            pycolmap.Device.cpu,
        )
        if progress is not None:
            progress(i + 1, len(sizes))


def match_features(pycolmap: ModuleType, database: Path, settings: FeatureSettings) -> None:
    """Match all pairs of images and keep what one epipolar geometry explains."""
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads, matching.use_gpu = settings.threads, False
    matching.sift.max_ratio = settings.max_ratio
    verification = pycolmap.TwoViewGeometryOptions()
    verification.min_num_inliers = settings.min_matches
    verification.ransac.max_error = settings.max_error
    verification.ransac.random_seed = settings.seed
    pycolmap.match_exhaustive(
        database,
        matching_options=matching,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def read_matches(pycolmap: ModuleType, database: Path) -> Matches:
    """Features and verified matches of a database, by camera name."""
    with open_database(pycolmap, database) as db:
        images = {image.image_id: image for image in db.read_all_images()}
        names = {number: Path(image.name).stem for number, image in images.items()}
        points = {number: np.asarray(db.read_keypoints(number), np.float64) for number in names}
        points = {
            number: k[:, :2] if k.ndim == 2 else np.zeros((0, 2)) for number, k in points.items()
        }
        pairs = {}
        order = sorted(names)
        for at, first in enumerate(order):
            for second in order[at + 1 :]:
                inliers = np.asarray(db.read_two_view_geometry(first, second).inlier_matches)
                if len(inliers):
                    pair = names[first], names[second]
                    pairs[pair] = np.concatenate(
                        [points[first][inliers[:, 0]], points[second][inliers[:, 1]]], axis=1
                    )
    return Matches({names[number]: len(points[number]) for number in order}, pairs)


@contextmanager
def open_database(pycolmap: ModuleType, path: Path) -> Iterator[Any]:
    """An open COLMAP database, closed at the end."""
    database = pycolmap.Database.open(path)
    try:
        yield database
    finally:
        database.close()


def _extraction_options(pycolmap: ModuleType, settings: FeatureSettings) -> Any:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads, options.use_gpu = settings.threads, False
    options.max_image_size = settings.max_image_size
    options.sift.max_num_features = settings.max_features
    options.sift.peak_threshold = settings.peak_threshold
    return options
