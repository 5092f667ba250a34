"""Find the pictures of a capture: videos, a folder of images per camera, or one image each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from igs.prepare.capture import View
from igs.scene import SceneError, camera_name, find_videos
from igs.scene.images import IMAGE_SUFFIXES
from igs.scene.video_source import VIDEO_SUFFIXES

_VIDEO_FOLDERS = (".", "videos")
_IMAGE_FOLDERS = ("images", "ims", "input", ".")
_NO_CAMERAS = (*_IMAGE_FOLDERS, "videos", "masks", "mask", "depth", "sparse")
_NUMBER = re.compile(r"\d+")
# Technicolor's files: <scene>_undist_<frame>_<camera>.png
_FRAME_AND_CAMERA = re.compile(r".*?(\d+)_(\d+)$")


def find_views(folder: Path, videos: bool = True, images: bool = True) -> dict[str, View]:
    """The pictures of every camera, by name.

    Looked for, in this order: videos in the folder or in ``videos/``; a folder of images per
    camera, or one image per camera, in ``images/``, ``ims/``, ``input/`` or the folder itself.

    Args:
        folder: of the capture.
        videos: whether videos will do.
        images: whether images will do.

    Raises:
        FileNotFoundError: no such folder.
        SceneError: there are no pictures; the message says where they were looked for.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    if videos:
        for place in _VIDEO_FOLDERS:
            if has_files(folder / place, VIDEO_SUFFIXES):
                return {n: View(n, video=path) for n, path in find_videos(folder / place).items()}
    if images:
        for place in _IMAGE_FOLDERS:
            if found := image_folders(folder / place) or single_images(folder / place):
                return found
    wanted = " or ".join(["videos"] * videos + ["images"] * images)
    raise SceneError(
        f"{folder}: no {wanted} here; give one video per camera (cam00.mp4, ... or in videos/), "
        "or one folder of images per camera (images/cam00/0000.png, ...)"
    )


def has_files(folder: Path, suffixes: Sequence[str]) -> bool:
    """Whether a folder directly holds a file of one of these kinds."""
    return folder.is_dir() and any(_is_kind(path, suffixes) for path in folder.iterdir())


def _is_kind(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def list_images(folder: Path) -> list[Path]:
    """The images directly in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if _is_kind(path, IMAGE_SUFFIXES))


def image_folders(folder: Path) -> dict[str, View]:
    """One view for every subfolder that directly holds images; empty where there is none.

    Raises:
        SceneError: two images of one number in one folder.
    """
    if not folder.is_dir():
        return {}
    found = {}
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        images = [] if sub.name.startswith(".") or sub.name in _NO_CAMERAS else list_images(sub)
        if images:
            found[sub.name] = numbered_view(sub.name, images)
    return found


def numbered_view(name: str, images: Sequence[Path]) -> View:
    """Images of one camera by the last number in their names, by order where none has one.

    Raises:
        SceneError: some files have a number and others not, or two have the same.
    """
    numbers = [_NUMBER.findall(path.stem)[-1:] for path in images]
    if not any(numbers):
        return View(name, images=tuple(images), numbers=tuple(range(len(images))))
    by_number: dict[int, Path] = {}
    for path, number in zip(images, numbers, strict=True):
        if not number:
            raise SceneError(f"{path}: has no number in its name, others of the camera have")
        other = by_number.setdefault(int(number[0]), path)
        if other is not path:
            raise SceneError(f"{path}: has the same frame number as {other.name}")
    ordered = sorted(by_number)
    return View(name, images=tuple(by_number[n] for n in ordered), numbers=tuple(ordered))


def single_images(folder: Path) -> dict[str, View]:
    """One view for every image directly in a folder: a capture of one moment.

    Raises:
        SceneError: two images of one name.
    """
    found: dict[str, View] = {}
    for path in list_images(folder) if folder.is_dir() else []:
        name = camera_name(path.name)
        if name in found:
            raise SceneError(f"{path}: {found[name].path.name} is of the same camera")
        found[name] = View(name, images=(path,), numbers=(0,))
    return found


def frame_and_camera_images(folder: Path) -> dict[str, View]:
    """Views of images called ``<anything>_<frame>_<camera>.png``; cameras are called camNN.

    Raises:
        SceneError: no such image.
    """
    grouped: dict[str, dict[int, Path]] = {}
    for place in (folder, folder / "images"):
        for path in list_images(place) if place.is_dir() else []:
            match = _FRAME_AND_CAMERA.fullmatch(path.stem)
            if match:
                grouped.setdefault(f"cam{match[2]}", {})[int(match[1])] = path
        if grouped:
            break
    if not grouped:
        raise SceneError(f"{folder}: no image called <scene>_undist_<frame>_<camera>.png")
    return {
        name: View(
            name, images=tuple(found[n] for n in sorted(found)), numbers=tuple(sorted(found))
        )
        for name, found in sorted(grouped.items())
    }


def last_number(name: str) -> int | None:
    """The last whole number in a name; None where it has none."""
    numbers = _NUMBER.findall(name)
    return int(numbers[-1]) if numbers else None
