"""The config that streams a prepared scene: the second of the two commands to a video."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from igs.config import RunConfig, check_run, load_config
from igs.prepare.layout import RIG_FILE
from igs.scene import Rig, mean_pose
from igs.scene.files import atomic_path

logger = logging.getLogger(__name__)

_ENOUGH_POINTS = 5000  # sparse points that make a good start without a plane sweep
FEW_CAMERAS = 6  # with fewer, only views near the cameras' own are worth showing
_AROUND = 0.5  # mean viewing axes shorter than this: cameras stand all around


@dataclass(frozen=True)
class PreparedScene:
    """What the config of a prepared scene depends on.

    Attributes:
        output: where streaming shall write.
        root: the output folder.
        scene: the scene's folder in it.
        rig: cameras with those held out.
        images: folder of the frames to stream from.
        network_images: whether images_512 is there.
        num_frames: number of frames.
        fps: of the capture.
        inputs: input views of the motion network; empty leaves the choice to streaming.
        has_box: whether ``bbox.json`` has the scene.
        num_points: sparse points in ``colmap_0/sparse/0``.
        gpu: whether a CUDA device is there to run on.
    """

    output: Path
    root: Path
    scene: str
    rig: Rig
    images: str
    network_images: bool
    num_frames: int
    fps: float
    inputs: Sequence[str]
    has_box: bool
    num_points: int
    gpu: bool


def stream_paths(root: Path, scene: str) -> tuple[Path, Path]:
    """The config that streams a scene, and the folder that it writes to.

    ``stream.yaml`` and ``run`` are the first scene's; further scenes of the same output folder, and
    those beside a file of that name that is none of ours, put their own name behind.
    """
    path = root / "stream.yaml"
    if not path.is_file() or _scene_of(path) == scene:
        return path, root / "run"
    return root / f"stream_{scene}.yaml", root / f"run_{scene}"


def _scene_of(path: Path) -> str | None:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))["data"]["scene"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return None


def write_stream_config(path: Path, scene: PreparedScene) -> RunConfig:
    """Write the YAML, and read it back as `igs stream` will.

    Settings are a preset of `igs frame0` on a CPU and the published ones on a GPU; every frame is a
    key frame, which looks best.

    Returns:
        The config as it will be read.

    Raises:
        ConfigError: settings that do not fit.
    """
    text = _HEADER.format(path=path, run=scene.output.name)
    text += yaml.safe_dump(stream_settings(scene), sort_keys=False, default_flow_style=None)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        config = load_config(RunConfig, temporary)
        check_run(config)
    return config


_HEADER = """\
# Made by igs prepare. Stream it with
#
#   igs stream --config {path}
#
# If the folder moves, say where it is: data.root=DIR output=DIR/{run}. schedule.interval=5 refines
# every fifth frame only; the others are as --weights igs_small predicts them.

"""


def stream_settings(scene: PreparedScene) -> dict[str, Any]:
    """The settings that differ from the defaults, as plain values."""
    root = scene.root.absolute()
    points = scene.num_points >= _ENOUGH_POINTS
    sparse = f"{scene.scene}/colmap_0/sparse/0/points3D.bin"
    start: dict[str, Any] = {"mode": "points", "files": [sparse]} if points else {"mode": "sweep"}
    settings: dict[str, Any] = {} if scene.gpu else {"extends": _preset(scene.rig)}
    settings |= {
        "output": str(scene.output.absolute()),
        "device": "cuda" if scene.gpu else "cpu",
        "data": {
            "kind": "layout",
            "root": str(root),
            "scene": scene.scene,
            "cameras": f"{scene.scene}/{RIG_FILE}",
            "images": scene.images,
            "num_frames": scene.num_frames,
            "fps": round(float(scene.fps), 6),
        },
        "views": {"held_out": list(scene.rig.held_out), "inputs": list(scene.inputs)},
        "schedule": {"interval": 1},
        "frame0": _frame0(scene, start),
        **_motion(scene),
        "free_view": {"path": free_path(scene.rig)},
    }
    if scene.network_images:
        settings["data"]["network_images"] = "images_512"
    if scene.has_box:
        settings["box"] = {"file": "bbox.json"}
    return settings


def _motion(scene: PreparedScene) -> dict[str, Any]:
    """Each frame predicted, then refined by half of the steps; refined alone where cameras are few,
    which prediction did not help on two real captures of four."""
    predicts = scene.has_box and len(scene.rig.training) >= FEW_CAMERAS
    agm = {"mode": "agm", "weights": "igs_small", "anchors": 2048}
    return {
        "motion": agm if predicts else {"mode": "none"},
        "refine": {
            "mode": "s" if predicts else "l",
            "active_only": True,
            "densify": {"enabled": False},
        },
    }


def _frame0(scene: PreparedScene, start: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the preset that `stream_settings` extends."""
    if scene.gpu:
        return {"iterations": 6000, "init": dict(start), "density": {"max_num": 150_000}}
    settings: dict[str, Any] = {"iterations": 1500, "sh_degree": 1, "init": dict(start)}
    if len(scene.rig.training) >= FEW_CAMERAS and not stands_around(scene.rig):
        settings["density"] = {"clear_share": 0.2}
    return settings


def _preset(rig: Rig) -> str:
    """Few cameras cannot hold what the views of others keep free of."""
    return "frame0_fast.yaml" if len(rig.training) < FEW_CAMERAS else "frame0_rig.yaml"


def free_path(rig: Rig) -> str:
    """The path of the free view: from camera to camera where they are few, else around or before
    the scene, as the cameras stand."""
    if len(rig.training) < FEW_CAMERAS:
        return "tour"
    return "orbit" if stands_around(rig) else "spiral"


def stands_around(rig: Rig) -> bool:
    """Whether the cameras stand around the scene rather than on one side of it."""
    axes = np.stack([camera.world_to_camera[2, :3] for camera in rig.cameras.values()])
    if np.linalg.norm(axes.mean(0)) < _AROUND:
        return True
    try:
        mean_pose(rig.cameras)
    except ValueError:
        return True
    return False
