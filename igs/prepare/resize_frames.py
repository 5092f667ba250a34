"""Further sizes of images that are there: one folder of every frame of a scene to another."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from igs.prepare.media import list_images
from igs.prepare.write_images import half_size
from igs.scene import SceneFolder, read_image, write_image

Resize = Callable[[np.ndarray, int, int], np.ndarray]


def resize_frames(
    scene: Path,
    source: str,
    target: str,
    size: Sequence[int] | None,
    resize: Resize,
    workers: int = 1,
) -> int:
    """Write ``colmap_<i>/<target>/<camera>`` from ``colmap_<i>/<source>/<camera>`` of all frames.

    Files that are there already are left as they are.

    Args:
        scene: the folder that holds the frames.
        source: folder of each frame to read.
        target: folder of each frame to write.
        size: width and height; None halves each image.
        resize: from an (H, W, 3) uint8 image, a width and a height; a function of a module, which
            other processes can import.
        workers: processes.

    Returns:
        Number of images written.

    Raises:
        FileNotFoundError: no frames, or a frame without the source folder.
        SceneError: an image that cannot be read.
    """
    folder = SceneFolder(scene.parent, scene.name)
    files = []
    for index in range(folder.num_frames()):
        place = folder.frame_path(index) / source
        if not place.is_dir():
            raise FileNotFoundError(f"{place}: no such image folder")
        files += [path for path in list_images(place) if not _target(path, target).is_file()]
    one = partial(_resize_one, target=target, size=size, resize=resize)
    if workers <= 1:
        return sum(map(one, files))
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return sum(pool.map(one, files, chunksize=8))


def _target(path: Path, target: str) -> Path:
    return path.parent.parent / target / path.name


def _resize_one(path: Path, target: str, size: Sequence[int] | None, resize: Resize) -> int:
    image = read_image(path)
    width, height = half_size(image.shape[1], image.shape[0]) if size is None else size
    write_image(_target(path, target), resize(image, width, height))
    return 1


def bilinear_without_antialias(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize (H, W, 3) uint8 as the original makes its 512 x 512 images.

    Every pixel mixes the four pixels around its position, pixel centres at +0.5, whatever the
    factor; rounded half up.

    Source: spec `streaming.md`, section 9.
    """
    row, row_next, down = _taps(image.shape[0], height)
    column, column_next, right = _taps(image.shape[1], width)
    values = image.astype(np.float32)
    across = values[:, column] * (1 - right)[:, None] + values[:, column_next] * right[:, None]
    out = across[row] * (1 - down)[:, None, None] + across[row_next] * down[:, None, None]
    return np.clip(np.floor(out + 0.5), 0, 255).astype(np.uint8)


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    position = np.maximum((np.arange(new) + 0.5) * old / new - 0.5, 0).astype(np.float32)
    first = np.minimum(position.astype(np.int64), old - 1)
    return first, np.minimum(first + 1, old - 1), position - first
