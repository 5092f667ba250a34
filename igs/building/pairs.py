"""Pair files of a data set: which frame is predicted from which, when streaming and in training.

Source: spec `streaming.md`, sections 2.1 and 2.2.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from igs.scene import (
    Dataset,
    FramePair,
    PairFile,
    SceneError,
    SceneFolder,
    generate_pairs,
    read_rig,
    write_pairs,
)
from igs.training.camera_groups import camera_groups
from igs.training.igs_data import PAIR_FILE, training_pairs

logger = logging.getLogger(__name__)


def generate_test_pair(
    root: str | Path, scene: str, *, interval: int = 5, num_frames: int | None = None
) -> Path:
    """Write the pair file that streams a scene: every frame from the last key frame before it.

    Args:
        root: folder of the scenes.
        scene: the scene's folder in it.
        interval: every so many frames is a key frame (w).
        num_frames: frames to stream; None takes all that are there.

    Returns:
        The file, ``<root>/<scene>_total_<n>_interval_<w>.json``.

    Raises:
        FileNotFoundError: no such scene, or a frame missing between others.
        SceneError: fewer frames than wanted, fewer than two, or an interval below 1.
    """
    folder = Dataset.open(root).scene(scene)
    count = folder.num_frames()
    if num_frames is not None and num_frames > count:
        raise SceneError(f"{folder.path}: {num_frames} frames are wanted, it has {count}")
    count = count if num_frames is None else num_frames
    path = folder.pair_path(count, interval)
    write_pairs(path, generate_pairs(scene, count, interval))
    return path


def generate_train_pair(
    root: str | Path,
    scenes: Sequence[str] = (),
    *,
    validation: Sequence[str] = (),
    reach: int = 5,
    seed: int = 0,
    iteration: str | None = None,
    file_name: str = PAIR_FILE,
) -> Path:
    """Write the training set's pair file, and every scene's four groups of cameras.

    A pair is two built frames of a scene, at most `reach` apart, in both orders. The groups
    are found by k-means of the camera centres; one input view is drawn from each in training.

    Args:
        root: folder of the scenes.
        scenes: which; none takes all in which frames are built.
        validation: those whose pairs go into the list `val`.
        reach: farthest distance of two frames.
        seed: of the groups.
        iteration: which saved Gaussians a frame needs to count; None is any.
        file_name: of the pair file.

    Returns:
        The pair file; beside it ``<scene>/group.json`` of every scene.

    Raises:
        FileNotFoundError: no such scene.
        SceneError: no pair, a scene without built frames, or frames whose cameras differ.
        ValueError: a scene of fewer than four cameras.
    """
    data = Dataset.open(root)
    names = list(scenes) or [n for n in data.scenes() if built_frames(data.scene(n), iteration)]
    for name in validation:
        if name not in names:
            raise SceneError(f"validation scene {name!r} is not among {', '.join(names) or 'none'}")
    train: list[FramePair] = []
    val: list[FramePair] = []
    for name in names:
        folder = data.scene(name)
        frames = built_frames(folder, iteration)
        if not frames:
            raise SceneError(f"{folder.path}: no frame is built here (igs build)")
        _write_groups(folder, frames[0], seed)
        known = set(frames)
        pairs = training_pairs({name: frames[-1] + 1}, reach)
        chosen = [p for p in pairs if p.cur_frame in known and p.next_frame in known]
        (val if name in validation else train).extend(chosen)
    if not train and not val:
        raise SceneError(f"{data.root}: no two built frames lie within {reach} of each other")
    path = data.root / file_name
    write_pairs(path, PairFile(train=tuple(train), val=tuple(val)))
    return path


def built_frames(folder: SceneFolder, iteration: str | None = None) -> list[int]:
    """Numbers of the frames with Gaussians in the training layout, ascending.

    Args:
        folder: the scene.
        iteration: which saved Gaussians must be there; None is any.
    """
    found = []
    for path in folder.path.glob("colmap_*/3dgs_rade"):
        number = path.parent.name.removeprefix("colmap_")
        if not number.isdecimal():
            continue
        saved = folder.frame_model(int(number)).iterations()
        if saved and (iteration is None or iteration in saved):
            found.append(int(number))
    return sorted(found)


def _write_groups(folder: SceneFolder, frame: int, seed: int) -> None:
    path = folder.frame_model(frame).cameras_path
    cameras = list(read_rig(path).cameras.values())
    try:
        folder.write_groups(camera_groups(cameras, seed=seed))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
