"""The images of a scene folder as a source of frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from igs.scene.camera import Camera
from igs.scene.dataset import Dataset, SceneFolder
from igs.scene.distortion import Undistorter
from igs.scene.errors import SceneError
from igs.scene.frame import MultiViewFrame
from igs.scene.images import read_image, read_image_size
from igs.scene.prefetch import prefetched
from igs.scene.rig import Rig, require_shape


class ImageFolderSource:
    """Frames from ``<root>/<scene>/colmap_<i>/<image_dir>/<camera>.png``, read just in time.

    That every camera has an image in every frame is checked at the start; sizes are checked as the
    images are read.

    Args:
        root: the data set's folder, or the data set.
        scene: the scene in it.
        image_dir: folder of the target images in every frame; their size is the working size.
        network_dir: folder of square images for the motion network, None for none.
        cameras: the rig; None reads the scene's own.
        only: use these cameras, in this order; None uses all.
        network_views: cameras that need network images; None is all of those used.
        num_frames: use the first so many; None uses all that are there.
        fps: frame rate of the capture, which the layout does not tell.
        prefetch: frames read ahead in a background thread; 0 reads in the caller's.
        threads: images read at the same time.

    Raises:
        FileNotFoundError: a scene, frame folder, image or camera file is missing.
        SceneError: images whose shape does not fit the camera, or more frames than there are.

    Source: spec `streaming.md`, sections 2.1 and 3.
    """

    def __init__(
        self,
        root: Dataset | str | os.PathLike[str],
        scene: str,
        image_dir: str = "images",
        network_dir: str | None = None,
        *,
        cameras: Rig | Mapping[str, Camera] | None = None,
        only: Sequence[str] | None = None,
        network_views: Sequence[str] | None = None,
        num_frames: int | None = None,
        fps: float = 30.0,
        prefetch: int = 2,
        threads: int = 1,
    ) -> None:
        if not fps > 0 or threads < 1:
            raise SceneError(f"fps {fps} must be positive and threads {threads} at least 1")
        dataset = root if isinstance(root, Dataset) else Dataset.open(root)
        self._scene = dataset.scene(scene)
        rig = self._scene.rig() if cameras is None else Rig.of(cameras)
        rig = rig if only is None else rig.subset(only)
        self._folders = {image_dir: list(rig.cameras)}
        if network_dir is not None:
            views = rig.cameras if network_views is None else rig.subset(network_views).cameras
            self._folders.setdefault(network_dir, list(views))
        self._image_dir, self._network_dir = image_dir, network_dir
        self._num_frames = _count_frames(self._scene, num_frames)
        self._paths = [self._find(index) for index in range(self._num_frames)]
        self._rig = _at_size(rig, self._paths[0][image_dir])
        self._undistort = {
            name: Undistorter(lens, self._rig.cameras[name])
            for name, lens in rig.distortion.items()
        }
        self._fps, self._prefetch, self._threads = fps, prefetch, threads
        if rig.distortion and network_dir is not None:
            raise SceneError(
                f"{self._scene.path}: network images cannot be undistorted here; leave out "
                "network_dir, and they are made from the corrected images"
            )

    @property
    def rig(self) -> Rig:
        """Cameras at the size of the images, and which are held out."""
        return self._rig

    @property
    def cameras(self) -> Mapping[str, Camera]:
        """Cameras in the rig's order, at the size of the images."""
        return self._rig.cameras

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self._num_frames

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self._fps

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        """Yield the frames from number `start` on.

        Raises:
            SceneError: `start` is outside 0 .. num_frames, or (while iterating) an image is damaged
                or of another size than the first frame's.
        """
        if not 0 <= start <= self._num_frames:
            raise SceneError(f"frames: start {start} is outside 0 to {self._num_frames}")
        return prefetched(lambda: self._read_frames(start), self._prefetch)

    def _find(self, index: int) -> dict[str, dict[str, Path]]:
        return {
            folder: self._scene.image_paths(index, folder, names)
            for folder, names in self._folders.items()
        }

    def _read_frames(self, start: int) -> Iterator[MultiViewFrame]:
        with ExitStack() as stack:
            run = map
            if self._threads > 1:
                run = stack.enter_context(ThreadPoolExecutor(self._threads)).map
            for index in range(start, self._num_frames):
                paths = self._paths[index]
                images = paths[self._image_dir]
                target = dict(zip(images, run(self._read_target, images.items()), strict=True))
                network: dict[str, np.ndarray] = {}
                if self._network_dir is not None:
                    small = paths[self._network_dir]
                    network = dict(zip(small, run(_read_square, small.values()), strict=True))
                yield MultiViewFrame(index, index / self._fps, target, network)

    def _read_target(self, item: tuple[str, Path]) -> np.ndarray:
        name, path = item
        image = read_image(path)
        camera = self.cameras[name]
        if image.shape[:2] != (camera.height, camera.width):
            raise SceneError(
                f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, "
                f"the first frame's is {camera.width} x {camera.height}"
            )
        return self._undistort[name](image) if name in self._undistort else image


def _read_square(path: Path) -> np.ndarray:
    image = read_image(path)
    if image.shape[0] != image.shape[1]:
        raise SceneError(
            f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, network images are square"
        )
    return image


def _count_frames(scene: SceneFolder, wanted: int | None) -> int:
    if wanted is not None and wanted < 1:
        raise SceneError(f"num_frames: {wanted} must be at least 1")
    there = scene.num_frames()
    if wanted is not None and wanted > there:
        raise SceneError(f"{scene.path}: has {there} frames, {wanted} are wanted")
    return there if wanted is None else wanted


def _at_size(rig: Rig, paths: Mapping[str, Path]) -> Rig:
    cameras = {}
    for name, camera in rig.cameras.items():
        width, height = read_image_size(paths[name])
        require_shape(paths[name], camera, width, height)
        cameras[name] = camera.resized(width, height)
    return replace(rig, cameras=cameras)
