"""The folders of a capture: scenes, frames, images, trained models, and their checks."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from igs.scene.bbox import Box, read_box, read_boxes, write_boxes
from igs.scene.cameras_json import read_rig, write_camera_list
from igs.scene.colmap import camera_name, read_colmap
from igs.scene.errors import SceneError, list_names, nearest_hint
from igs.scene.files import read_json, write_json
from igs.scene.images import IMAGE_SUFFIXES, write_image
from igs.scene.pairs import PairFile, pair_file_name, read_pairs
from igs.scene.rig import Rig

_FRAME_FOLDER = re.compile(r"colmap_(\d+)")
_ITERATION = re.compile(r"iteration_((\d+)(?:_\w+)?)")


@dataclass(frozen=True)
class GaussianModelFolder:
    """A trained model of one frame: ``start_gs`` when streaming, ``3dgs_rade`` for training.

    Attributes:
        path: the folder with ``cameras.json`` and ``point_cloud/``.

    Source: spec `streaming.md`, sections 2.1 and 2.2.
    """

    path: Path

    @property
    def cameras_path(self) -> Path:
        """Where the camera list is."""
        return self.path / "cameras.json"

    def iterations(self) -> list[str]:
        """Names of the saved iterations, such as ``6000_compress``, by rising number.

        Of one number, the compressed model comes last.
        """
        found = []
        for folder in (self.path / "point_cloud").glob("iteration_*"):
            match = _ITERATION.fullmatch(folder.name)
            if match and (folder / "point_cloud.ply").is_file():
                found.append((int(match[2]), len(match[1]), match[1]))
        return [name for _, _, name in sorted(found)]

    def ply_path(self, iteration: str | int) -> Path:
        """Where the Gaussians of an iteration are or belong."""
        return self.path / "point_cloud" / f"iteration_{iteration}" / "point_cloud.ply"

    def find_ply(self, iteration: str | int | None = None) -> Path:
        """The Gaussians of an iteration, of the last one for None.

        Raises:
            FileNotFoundError: they are not there; the message lists the iterations that are.
        """
        known = self.iterations()
        if iteration is None and not known:
            raise FileNotFoundError(
                f"{self.path / 'point_cloud'}: no iteration_<n>/point_cloud.ply here; "
                "train the first frame first"
            )
        path = self.ply_path(known[-1] if iteration is None else iteration)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: not there; the iterations are {list_names(known)}")
        return path

    def render_path(self, iteration: str | int, kind: str, number: int) -> Path:
        """One training view's ``renders``, ``gt`` or ``depth_expected_mm`` image."""
        return self.path / "train" / f"ours_{iteration}" / kind / f"{number:05d}.png"


@dataclass(frozen=True)
class SceneFolder:
    """One scene of a data set: ``<root>/<scene>/colmap_<i>/``.

    Attributes:
        root: the data set's folder.
        name: the scene's folder in it.
    """

    root: Path
    name: str

    @property
    def path(self) -> Path:
        """The scene's folder."""
        return self.root / self.name

    def frame_path(self, index: int) -> Path:
        """Folder of one frame."""
        return self.path / f"colmap_{index}"

    @property
    def start_model(self) -> GaussianModelFolder:
        """The trained first frame, ``colmap_0/start_gs``."""
        return GaussianModelFolder(self.frame_path(0) / "start_gs")

    def frame_model(self, index: int) -> GaussianModelFolder:
        """A frame's model in the training layout, ``colmap_<i>/3dgs_rade``."""
        return GaussianModelFolder(self.frame_path(index) / "3dgs_rade")

    def num_frames(self) -> int:
        """Number of frame folders, 0 .. n - 1.

        Raises:
            FileNotFoundError: the scene or its first frame is missing, or a frame between others;
                the message names the folder.
        """
        if not self.path.is_dir():
            raise FileNotFoundError(f"{self.path}: no such scene folder")
        numbers = set()
        for entry in self.path.iterdir():
            match = _FRAME_FOLDER.fullmatch(entry.name)
            if match and entry.is_dir():
                numbers.add(int(match[1]))
        for index in range(max(numbers, default=0) + 1):
            if index not in numbers:
                later = f", though colmap_{max(numbers)} is there" if numbers else ""
                raise FileNotFoundError(f"{self.frame_path(index)}: frame folder missing{later}")
        return len(numbers)

    def rig(self) -> Rig:
        """The scene's cameras: of the trained first frame, else of its COLMAP model.

        From COLMAP, the first camera by name is held out, as the first-frame trainer does.

        Raises:
            FileNotFoundError: neither is there.
            SceneError: what is there is damaged.
        """
        if self.start_model.cameras_path.is_file():
            return read_rig(self.start_model.cameras_path)
        sparse = self.frame_path(0) / "sparse" / "0"
        if not sparse.is_dir():
            raise FileNotFoundError(
                f"{self.start_model.cameras_path}: no cameras here, nor a COLMAP model in {sparse}"
            )
        rig = read_colmap(sparse).rig()
        return rig.with_held_out([0] if len(rig.cameras) > 1 else [])

    def box(self) -> Box:
        """The scene's box from ``bbox.json``. Raises as `read_box` does."""
        return read_box(self.root / "bbox.json", self.name)

    def write_box(self, box: Box) -> None:
        """Put the scene's box into ``bbox.json``; those of other scenes stay."""
        path = self.root / "bbox.json"
        others = read_boxes(path) if path.is_file() else {}
        write_boxes(path, {**others, self.name: box})

    def pair_path(self, num_frames: int, interval: int) -> Path:
        """Where the generated pair file belongs."""
        return self.root / pair_file_name(self.name, num_frames, interval)

    def image_paths(self, index: int, image_dir: str, cameras: Sequence[str]) -> dict[str, Path]:
        """The image file of every camera in one frame.

        Args:
            index: the frame.
            image_dir: ``images``, ``images_r2``, ``images_512`` or another folder of the frame.
            cameras: their names; a file belongs to the camera it is called after, up to the first
                dot.

        Raises:
            FileNotFoundError: the folder or an image is missing; the message names it.
            SceneError: two images of one camera.
        """
        folder = self.frame_path(index) / image_dir
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such image folder")
        found: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            name = camera_name(path.name)
            if path.suffix.lower() not in IMAGE_SUFFIXES or not name:
                continue
            if name in found:
                raise SceneError(f"{folder}: {found[name].name} and {path.name} are of one camera")
            found[name] = path
        for name in cameras:
            if name not in found:
                raise FileNotFoundError(
                    f"{folder / (name + '.png')}: image of camera {name!r} missing in frame {index}"
                )
        return {name: found[name] for name in cameras}

    def write_images(self, index: int, image_dir: str, images: Mapping[str, np.ndarray]) -> None:
        """Write one frame's images, camera name to (H, W, 3) uint8, as PNG."""
        for name, image in images.items():
            write_image(self.frame_path(index) / image_dir / f"{name}.png", image)

    def write_start_cameras(self, rig: Rig) -> None:
        """Write ``colmap_0/start_gs/cameras.json``."""
        write_camera_list(self.start_model.cameras_path, rig)

    def groups(self) -> list[list[int]]:
        """Camera positions in four spatial groups, from ``group.json`` (training layout).

        Raises:
            FileNotFoundError: there is none.
            SceneError: not four lists of positions, none empty, no position twice.
        """
        path = self.path / "group.json"
        groups = read_json(path)
        problem = _group_problem(groups)
        if problem:
            raise SceneError(f"{path}: must be 4 lists of camera positions; {problem}")
        return groups

    def write_groups(self, groups: Sequence[Sequence[int]]) -> None:
        """Write ``group.json``.

        Raises:
            SceneError: see `groups`.
        """
        listed = [[int(i) for i in group] for group in groups]
        problem = _group_problem(listed)
        if problem:
            raise SceneError(f"groups: must be 4 lists of camera positions; {problem}")
        write_json(self.path / "group.json", listed)


def _group_problem(groups: object) -> str:
    if not isinstance(groups, list) or len(groups) != 4:
        return f"got {len(groups) if isinstance(groups, list) else type(groups).__name__}"
    seen: list[object] = []
    for number, group in enumerate(groups):
        if not isinstance(group, list) or not group:
            return f"group {number} is empty or no list"
        seen.extend(group)
    for view in seen:
        if not isinstance(view, int) or isinstance(view, bool) or view < 0:
            return f"{view!r} is no position"
    if len(set(seen)) != len(seen):
        return "a camera is in two groups"
    return ""


@dataclass(frozen=True)
class Dataset:
    """A folder of scenes, in the layout for streaming or for training.

    Attributes:
        root: the folder that holds ``bbox.json`` and the scenes.

    Raises:
        FileNotFoundError: there is no such folder (by `open`).
    """

    root: Path

    @classmethod
    def open(cls, root: str | os.PathLike[str]) -> Dataset:
        """An existing data set."""
        if not Path(root).is_dir():
            raise FileNotFoundError(f"{root}: no such data folder")
        return cls(Path(root))

    def scenes(self) -> list[str]:
        """Names of the scenes: the folders with a ``colmap_0``, sorted."""
        return sorted(path.parent.name for path in self.root.glob("*/colmap_0") if path.is_dir())

    def scene(self, name: str) -> SceneFolder:
        """One scene.

        Raises:
            FileNotFoundError: it is not there; the nearest right name is offered.
        """
        if not (self.root / name).is_dir():
            hint = nearest_hint(name, self.scenes())
            raise FileNotFoundError(f"{self.root / name}: no such scene{hint}")
        return SceneFolder(self.root, name)

    def training_pairs(self, file_name: str = "N3D_train_gap_10.json") -> PairFile:
        """The training layout's pairs. Raises as `read_pairs` does."""
        return read_pairs(self.root / file_name)
