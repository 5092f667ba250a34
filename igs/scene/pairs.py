"""Pair files: which frame is predicted from which, as JSON."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from igs.scene.errors import SceneError, list_names
from igs.scene.files import read_json, write_json
from igs.scene.schedule import Schedule

_FRAME = re.compile(r"colmap_(\d+)")


@dataclass(frozen=True)
class FramePair:
    """One item of a pair file.

    Attributes:
        scene: name of the scene's folder.
        cur_frame: number of the frame predicted from.
        next_frame: number of the frame predicted.
        keyframe: the file's mark of a group's first item; None where the file has none (training
            files). Streaming does not use it.
    """

    scene: str
    cur_frame: int
    next_frame: int
    keyframe: bool | None = None


@dataclass(frozen=True)
class PairFile:
    """The two lists of a pair file: training items and validation (streaming) items."""

    train: Sequence[FramePair] = field(default_factory=tuple)
    val: Sequence[FramePair] = field(default_factory=tuple)


def pair_file_name(scene: str, num_frames: int, interval: int) -> str:
    """File name of the generated pairs, ``<scene>_total_<n>_interval_<w>.json``."""
    return f"{scene}_total_{num_frames}_interval_{interval}.json"


def generate_pairs(scene: str, num_frames: int, interval: int) -> PairFile:
    """Pairs of a sequence: item i predicts frame i + 1 from frame ``w * floor(i / w)``.

    Raises:
        SceneError: fewer than two frames, or an interval below 1.

    Source: spec `streaming.md`, section 2.1.
    """
    if num_frames < 2:
        raise SceneError(f"pairs: {num_frames} frames make no pair; at least 2 are needed")
    schedule = Schedule(interval, num_frames)
    items = [
        FramePair(scene, schedule.key_of(i + 1), i + 1, i % interval == 0)
        for i in range(num_frames - 1)
    ]
    return PairFile(val=tuple(items))


def read_pairs(path: str | os.PathLike[str]) -> PairFile:
    """Read a pair file.

    Raises:
        FileNotFoundError: there is none.
        SceneError: wrong structure; the message names the file, the list and the item.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not ({"train", "val"} & data.keys()):
        raise SceneError(f'{path}: a pair file is an object with the lists "train" and "val"')
    lists: dict[str, tuple[FramePair, ...]] = {}
    for part in ("train", "val"):
        items = data.get(part, [])
        if not isinstance(items, list):
            raise SceneError(f'{path}: "{part}" must be a list')
        lists[part] = tuple(
            _parse_pair(item, f"{path}: {part}[{i}]") for i, item in enumerate(items)
        )
    return PairFile(**lists)


def _parse_pair(item: Any, where: str) -> FramePair:
    if not isinstance(item, Mapping):
        raise SceneError(f"{where}: must be an object")
    missing = [key for key in ("scene_name", "cur_frame", "next_frame") if key not in item]
    if missing:
        raise SceneError(f"{where}: lacks {', '.join(missing)}")
    mark = item.get("keyframe")
    if mark not in (None, 0, 1):
        raise SceneError(f'{where}: "keyframe" must be 0 or 1, got {mark!r}')
    return FramePair(
        scene=str(item["scene_name"]),
        cur_frame=_parse_frame(item["cur_frame"], f"{where}.cur_frame"),
        next_frame=_parse_frame(item["next_frame"], f"{where}.next_frame"),
        keyframe=None if mark is None else bool(mark),
    )


def _parse_frame(value: Any, where: str) -> int:
    match = _FRAME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise SceneError(f'{where}: must look like "colmap_12", got {value!r}')
    return int(match.group(1))


def write_pairs(path: str | os.PathLike[str], pairs: PairFile) -> None:
    """Write a pair file, indented by 4."""
    write_json(path, {"train": _as_json(pairs.train), "val": _as_json(pairs.val)})


def _as_json(items: Sequence[FramePair]) -> list[dict[str, str | int]]:
    out: list[dict[str, str | int]] = []
    for pair in items:
        entry: dict[str, str | int] = {
            "scene_name": pair.scene,
            "cur_frame": f"colmap_{pair.cur_frame}",
            "next_frame": f"colmap_{pair.next_frame}",
        }
        if pair.keyframe is not None:
            entry["keyframe"] = int(pair.keyframe)
        out.append(entry)
    return out


def schedule_from_pair_file(
    path: str | os.PathLike[str],
    scene: str | None = None,
    *,
    interval: int | None = None,
    num_frames: int | None = None,
    refine_last: bool = False,
) -> Schedule:
    """The schedule a pair file describes, checked against settings given elsewhere.

    Args:
        path: a pair file with "val" items.
        scene: which scene's items; may be left out where the file has one scene only.
        interval: w of the configuration, to be checked against the file's.
        num_frames: frames that exist, to be checked against the file's.
        refine_last: see `Schedule`.

    Raises:
        SceneError: no such scene in the file, or file and settings disagree.
    """
    items = read_pairs(path).val
    scenes = list(dict.fromkeys(pair.scene for pair in items))
    if scene is None:
        if len(scenes) != 1:
            raise SceneError(f"{Path(path)}: name one of its scenes: {list_names(scenes)}")
        scene = scenes[0]
    if scene not in scenes:
        raise SceneError(f"{path}: has no pairs of scene {scene!r}; it has {list_names(scenes)}")
    own = [pair for pair in items if pair.scene == scene]
    try:
        if interval is None:
            schedule = Schedule.from_pairs(own, refine_last=refine_last)
        else:
            schedule = Schedule(interval, len(own) + 1, refine_last)
            schedule.check_pairs(own, interval_from="the settings")
        if num_frames is not None:
            Schedule(schedule.interval, num_frames).check_pairs(own)
    except SceneError as error:
        raise SceneError(f"{path}: {error}") from None
    return schedule
