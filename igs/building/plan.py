"""The work list: which frames are to be built, which are built, and the receipt that says so.

Layout of the output (spec `streaming.md`, section 2.2):

    <output>/build.json                              the settings that decide what is built
    <output>/build_log/<host>-<pid>.jsonl            what every worker began and ended
    <output>/failures.json                           frames given up, if any
    <output>/<scene>/.building/                      work in progress
    <output>/<scene>/colmap_<i>/3dgs_rade/           one frame, whole
                                         receipt.json
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igs.config.building import BuildConfig, result_settings
from igs.config.difference import first_difference
from igs.prepare.timeline import FrameRange
from igs.scene import Dataset, GaussianModelFolder, SceneError, SceneFolder
from igs.scene.errors import list_names
from igs.scene.files import read_json, write_json

logger = logging.getLogger(__name__)

RECEIPT = "receipt.json"
RECORD = "build.json"
FORMAT = "igs-frame-receipt-1"
_WORK = ".building"


@dataclass(frozen=True)
class FrameTask:
    """One frame to build; all that a worker needs, and small enough to be sent to one.

    Attributes:
        config: of the run, with absolute paths.
        scene: name of the scene's folder.
        frame: its number.
        attempt: counted from 1.
    """

    config: BuildConfig
    scene: str
    frame: int
    attempt: int = 1

    @property
    def key(self) -> tuple[str, int]:
        """Scene and frame."""
        return self.scene, self.frame

    @property
    def root(self) -> Path:
        """The folder of the output."""
        return Path(self.config.output or self.config.source)

    @property
    def source(self) -> Path:
        """The frame's images and cameras."""
        return SceneFolder(Path(self.config.source), self.scene).frame_path(self.frame)

    @property
    def model(self) -> GaussianModelFolder:
        """Where the finished frame belongs."""
        return SceneFolder(self.root, self.scene).frame_model(self.frame)

    @property
    def work(self) -> Path:
        """Where it is made. Other settings are made elsewhere, so that no state is mixed up."""
        name = f"colmap_{self.frame}.{settings_hash(self.config)[:8]}"
        return work_folder(self.root, self.scene) / name

    @property
    def lock(self) -> Path:
        """The file that whoever builds this frame holds locked."""
        return work_folder(self.root, self.scene) / f"colmap_{self.frame}.lock"

    def __str__(self) -> str:
        return f"{self.scene}/colmap_{self.frame}"


@dataclass(frozen=True)
class Plan:
    """The work list.

    Attributes:
        todo: frames to build, scene by scene.
        done: receipts of those that are there.
        scenes: names of their scenes.
    """

    todo: tuple[FrameTask, ...]
    done: tuple[dict[str, Any], ...]
    scenes: tuple[str, ...]


def work_folder(root: Path, scene: str) -> Path:
    """The scene's folder of unfinished work, on the same disk as what it becomes."""
    return root / scene / _WORK


def settings_hash(config: BuildConfig) -> str:
    """SHA-256 of the settings that decide what a frame's folder holds."""
    text = json.dumps(result_settings(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_receipt(model: GaussianModelFolder) -> dict[str, Any] | None:
    """The receipt of a built frame; None where there is no folder.

    Raises:
        SceneError: a folder without receipt, or with a damaged one or without its Gaussians.
    """
    if not model.path.exists():
        return None
    path = model.path / RECEIPT
    if not path.is_file():
        raise SceneError(f"{model.path}: has no {RECEIPT}, so igs build did not make it")
    receipt = read_json(path)
    if not isinstance(receipt, dict) or receipt.get("format") != FORMAT:
        raise SceneError(f"{path}: is no receipt of igs build")
    ply = model.ply_path(str(receipt.get("iteration")))
    if not ply.is_file() or ply.stat().st_size != receipt.get("ply_bytes"):
        raise SceneError(f"{ply}: is missing or not the {receipt.get('ply_bytes')} bytes it was")
    return receipt


def make_plan(config: BuildConfig, *, resume: bool = False, rebuild: bool = False) -> Plan:
    """List the frames and compare them with what is built; nothing is written.

    Args:
        config: checked settings with absolute paths.
        resume: go on where frames are built already.
        rebuild: build anew the frames that were built with other settings or have no receipt.

    Raises:
        FileNotFoundError: the source, a scene, or a frame's images or cameras.
        SceneError: no frames; or frames that are there and may not be touched, which says why.
    """
    todo: list[FrameTask] = []
    done: list[dict[str, Any]] = []
    strange: list[str] = []
    wanted = settings_hash(config)
    tasks = _tasks(config)
    for task in tasks:
        try:
            receipt = read_receipt(task.model)
        except SceneError as error:
            strange.append(str(error))
            todo.append(task)
            continue
        if receipt is not None and receipt.get("settings") == wanted:
            done.append(receipt)
            continue
        if receipt is not None:
            strange.append(f"{task.model.path}: built with other settings")
        todo.append(task)
    if strange and not rebuild:
        raise SceneError(_refusal(config, strange))
    if done and not (resume or rebuild):
        raise SceneError(
            f"{config.output or config.source}: {len(done)} of {len(done) + len(todo)} frames are "
            "built already; --resume goes on with the rest"
        )
    return Plan(tuple(todo), tuple(done), tuple(dict.fromkeys(task.scene for task in tasks)))


def write_record(config: BuildConfig) -> None:
    """Note in the output what it is built with."""
    root = Path(config.output or config.source)
    write_json(root / RECORD, {"hash": settings_hash(config), "settings": result_settings(config)})


def _tasks(config: BuildConfig) -> list[FrameTask]:
    data = Dataset.open(config.source)
    names = config.scenes or data.scenes()
    if not names:
        raise SceneError(f"{data.root}: no scenes here; a scene is a folder with colmap_0 in it")
    frames = FrameRange.parse(config.frames)
    tasks: list[FrameTask] = []
    for name in names:
        count = data.scene(name).num_frames()
        if frames.stop is not None and frames.stop > count:
            raise SceneError(
                f"frames: up to {frames.stop} are wanted, {data.root / name} has {count}"
            )
        numbers = range(count)[frames.start : frames.stop : frames.step]
        if not numbers:
            raise SceneError(f"frames: {data.root / name} has {count}, none from {frames.start} on")
        tasks += [FrameTask(config, name, number) for number in numbers]
    for name in config.pairs.validation:
        if name not in names:
            raise SceneError(f"pairs.validation: {name!r} is not among {list_names(names)}")
    _check_sources(config, tasks)
    return tasks


def _check_sources(config: BuildConfig, tasks: Sequence[FrameTask]) -> None:
    """Refuse before hours of work what would fail in the middle of them."""
    missing: list[Path] = []
    for task in tasks:
        if not (task.source / config.images).is_dir():
            missing.append(task.source / config.images)
        kinds = ("sparse/0", "cameras.json", "transforms.json")
        if not any((task.source / kind).exists() for kind in kinds):
            missing.append(task.source / "sparse" / "0")
    if missing:
        more = f" and {len(missing) - 1} more are missing" if len(missing) > 1 else " is missing"
        raise FileNotFoundError(f"{missing[0]}:{more}; igs prepare makes them from videos")


def _refusal(config: BuildConfig, strange: Sequence[str]) -> str:
    root = Path(config.output or config.source)
    differs = ""
    if (root / RECORD).is_file():
        noted = read_json(root / RECORD)
        before = noted.get("settings", {}) if isinstance(noted, dict) else {}
        found = first_difference(before, result_settings(config))
        differs = f" ({found[0]} was {found[1]}, now it is {found[2]})" if found else ""
    more = f", and {len(strange) - 1} more such frames" if len(strange) > 1 else ""
    return (
        f"{strange[0]}{differs}{more}; --rebuild makes them anew, or give the settings they were "
        "built with, or another output"
    )
