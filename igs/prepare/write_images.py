"""Write the images of the layout: decode, undistort, resize; parallel, and only what is missing."""

from __future__ import annotations

import io
import logging
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from igs.prepare.capture import View
from igs.scene import Camera, Distortion, SceneError, Undistorter, read_image, resize_image
from igs.scene.files import write_bytes
from igs.scene.video_decode import VideoDecoder
from igs.scene.video_timing import VideoTiming

logger = logging.getLogger(__name__)

ImageProgress = Callable[[int, int], None]

_MOST_STEPS, _LEAST_STEPS = 32, 4  # of one job: long enough for a seek, short enough for progress


@dataclass(frozen=True)
class Encoding:
    """How images are stored: suffix (.png or .jpg), PNG level 0..9, JPEG quality 1..100."""

    suffix: str = ".png"
    png_level: int = 1
    quality: int = 95

    def encode(self, image: np.ndarray) -> bytes:
        """The file's bytes of an (H, W, 3) uint8 image."""
        buffer = io.BytesIO()
        if self.suffix == ".png":
            Image.fromarray(image).save(buffer, "PNG", compress_level=self.png_level)
        else:
            Image.fromarray(image).save(buffer, "JPEG", quality=self.quality)
        return buffer.getvalue()


@dataclass(frozen=True)
class ViewTask:
    """One camera's pictures of some steps.

    Attributes:
        view: where they are.
        camera: the pinhole at the size of `images/`.
        lens: distortion of the stored pictures; None where they have none.
        timing: of a video; None for images.
        steps: (number of the frame folder, position in the video or the view's images), ascending.
        folders: (folder of the frame, width, height) to write.
        scene: the scene's folder.
        encoding: of the files.
    """

    view: View
    camera: Camera
    lens: Distortion | None
    timing: VideoTiming | None
    steps: tuple[tuple[int, int], ...]
    folders: tuple[tuple[str, int, int], ...]
    scene: Path
    encoding: Encoding = field(default_factory=Encoding)

    def path(self, index: int, folder: str) -> Path:
        """File of this camera in a frame."""
        name = self.camera.name + self.encoding.suffix
        return self.scene / f"colmap_{index}" / folder / name

    def missing(self) -> ViewTask:
        """The task of the steps that are not whole yet; files are written whole or not at all."""
        steps = [
            (index, position)
            for index, position in self.steps
            if not all(self.path(index, folder).is_file() for folder, _, _ in self.folders)
        ]
        return replace(self, steps=tuple(steps))

    def pictures(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (frame number, undistorted picture at the size of `images/`).

        Raises:
            SceneError: a damaged file, or an image of another size than the camera's first.
        """
        undistort = Undistorter(self.lens, self.camera) if self.lens else None
        for index, image in self._stored():
            yield index, undistort(image) if undistort else image

    def _stored(self) -> Iterator[tuple[int, np.ndarray]]:
        size = (self.camera.width, self.camera.height)
        if self.timing is None:
            first = self.view.size()
            for index, position in self.steps:
                path = self.view.images[position]
                image = read_image(path)
                if image.shape[1::-1] != first:
                    raise SceneError(
                        f"{path}: is {image.shape[1]} x {image.shape[0]} pixels, the camera's "
                        f"first image {first[0]} x {first[1]}"
                    )
                yield index, resize_image(image, *size)
            return
        if not self.steps:
            return
        decoder = VideoDecoder(self.timing, self.steps[0][1], size)
        try:
            for index, position in self.steps:
                yield index, decoder.read(position)
        finally:
            decoder.close()

    def write(self) -> int:
        """Write every file that is missing; returns the number of steps done."""
        for index, picture in self.pictures():
            for folder, width, height in self.folders:
                path = self.path(index, folder)
                if not path.is_file():
                    write_bytes(path, self.encoding.encode(resize_image(picture, width, height)))
        return len(self.steps)


def half_size(width: int, height: int) -> tuple[int, int]:
    """The size of ``images_r2``: halves, rounded to even as the first-frame trainer does.

    Source: spec `streaming.md`, section 9.
    """
    return max(round(width / 2), 1), max(round(height / 2), 1)


def split_tasks(tasks: Sequence[ViewTask], workers: int) -> list[ViewTask]:
    """Cut tasks into jobs so that all workers stay busy; ordered by time over all cameras."""
    longest = max((len(task.steps) for task in tasks), default=0)
    size = max(min(longest // (4 * workers), _MOST_STEPS), _LEAST_STEPS)
    return [
        replace(task, steps=task.steps[start : start + size])
        for start in range(0, longest, size)
        for task in tasks
        if task.steps[start : start + size]
    ]


def write_images(
    tasks: Sequence[ViewTask], workers: int = 1, progress: ImageProgress | None = None
) -> int:
    """Write what is missing of all tasks.

    Args:
        tasks: one per camera.
        workers: processes; 1 works in this one.
        progress: called with (pictures done, pictures of all), those that were there included.

    Returns:
        Number of pictures that were decoded.

    Raises:
        SceneError, OSError: the first fault of any worker; what was finished stays.
    """
    told = progress or (lambda done, total: None)
    total = sum(len(task.steps) for task in tasks)
    missing = [task.missing() for task in tasks]
    done = total - sum(len(task.steps) for task in missing)
    if done and done < total:
        logger.info("%d of %d pictures are there already", done, total)
    told(done, total)
    decoded = 0
    jobs = split_tasks(missing, workers)
    for count in _run(jobs, min(workers, len(jobs))):
        decoded += count
        told(done + decoded, total)
    return decoded


def _run(jobs: Sequence[ViewTask], workers: int) -> Iterator[int]:
    """The steps done by each job as it ends."""
    if workers <= 1:
        for job in jobs:
            yield job.write()
        return
    context = multiprocessing.get_context("spawn")  # safe beside threads, and the same everywhere
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        waiting: set[Future[int]] = {pool.submit(_write, job) for job in jobs}
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _write(job: ViewTask) -> int:
    return job.write()
