"""The training layout `IGS_data` on disk: writing synthetic scenes, reading any.

Source: spec `streaming.md`, sections 2.2 (layout) and 11 (what a sample is made of).
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from igs.frame0.outputs import (
    DEPTH_SCALE,
    read_depth_image,
    read_views,
    renders_path,
    write_views,
)
from igs.gaussians import Gaussians, read_ply, write_ply
from igs.motion.features import resize_images
from igs.render import render_depths, to_uint8
from igs.scene import (
    Camera,
    Dataset,
    FramePair,
    GaussianModelFolder,
    PairFile,
    Rig,
    SceneError,
    SceneFolder,
    read_image,
    read_rig,
    resize_image,
    resolve_views,
    write_camera_list,
    write_image,
    write_pairs,
)
from igs.scene.errors import nearest_hint
from igs.scene.files import write_bytes
from igs.scene.rig import require_shape
from igs.scene.synthetic import SyntheticScene
from igs.training.appearance import AppearanceConfig
from igs.training.camera_groups import camera_groups
from igs.training.sample import TrainingSample
from igs.training.shots import CameraShots

logger = logging.getLogger(__name__)

ITERATION = "10000_compress"
PAIR_FILE = "N3D_train_gap_10.json"
_MAX_DEPTH = 65535 / DEPTH_SCALE


def training_pairs(num_frames: Mapping[str, int], reach: int = 5) -> tuple[FramePair, ...]:
    """Every frame with each of the frames up to `reach` before and after it.

    Args:
        num_frames: scene name to number of frames.
        reach: farthest distance of two frames.

    Raises:
        SceneError: a reach below 1.
    """
    if reach < 1:
        raise SceneError(f"pairs: reach {reach} must be at least 1")
    steps = [step for step in range(-reach, reach + 1) if step]
    return tuple(
        FramePair(scene, frame, frame + step)
        for scene, count in num_frames.items()
        for frame in range(count)
        for step in steps
        if 0 <= frame + step < count
    )


def write_training_set(
    root: str | Path,
    scenes: Mapping[str, SyntheticScene],
    num_frames: int,
    *,
    held_out: Sequence[str] = (),
    appearance: AppearanceConfig | None = None,
    reconstruction: float = 0.5,
    reach: int = 5,
    seed: int = 0,
) -> None:
    """Write scenes, their boxes and groups, and one pair file.

    Args:
        root: the data set's folder; made if it is missing.
        scenes: folder name to scene.
        num_frames: frames 0 .. num_frames - 1 of each are written.
        held_out: scenes whose pairs are for validation.
        appearance: the cameras' faults; None for perfect cameras.
        reconstruction: error of the Gaussians, see `SyntheticScene.reconstructed`.
        reach: see `training_pairs`.
        seed: draws the faults and errors.

    Raises:
        SceneError: a held-out scene that is not there, or depth that the layout cannot hold.
    """
    for name in held_out:
        if name not in scenes:
            raise SceneError(f"held-out scene {name!r} is not among {', '.join(scenes)}")
    for number, (name, scene) in enumerate(scenes.items()):
        known = scene.reconstructed((seed, number, 0), reconstruction)
        shots = CameraShots(
            appearance or AppearanceConfig.none(), scene, scene.cameras, (seed, number, 1)
        )
        folder = SceneFolder(Path(root), name)
        for frame in range(num_frames):
            _write_frame(folder.frame_model(frame), scene.cameras, known, shots, frame)
        folder.write_groups(camera_groups(scene.cameras, seed=seed))
        folder.write_box(scene.box)
        logger.info("%s: %d frames written", folder.path, num_frames)
    train = {name: num_frames for name in scenes if name not in held_out}
    val = dict.fromkeys(held_out, num_frames)
    pairs = PairFile(train=training_pairs(train, reach), val=training_pairs(val, reach))
    write_pairs(Path(root) / PAIR_FILE, pairs)


def _write_frame(
    model: GaussianModelFolder,
    cameras: Sequence[Camera],
    known: SyntheticScene,
    shots: CameraShots,
    frame: int,
) -> None:
    gaussians = Gaussians(**vars(known.at(frame)))
    write_camera_list(model.cameras_path, Rig.of(cameras))
    write_views(renders_path(model, "train", ITERATION), [camera.name for camera in cameras])
    write_ply(model.ply_path(ITERATION), gaussians)
    images, depths = shots.at(frame, frame), render_depths(gaussians, cameras)[:, 0]
    for view, (image, depth) in enumerate(zip(images, depths, strict=True)):
        write_image(model.render_path(ITERATION, "gt", view), to_uint8(image))
        write_depth(model.render_path(ITERATION, "depth_expected_mm", view), depth)


def write_depth(path: Path, depth: Tensor) -> None:
    """Write (H, W) z-depth as 16-bit PNG, thousandths of a world unit, rounded down.

    Raises:
        SceneError: depth beyond 65.535 world units, which the format cannot hold.
    """
    if float(depth.max()) > _MAX_DEPTH:
        raise SceneError(
            f"{path}: depth {float(depth.max()):.1f} exceeds {_MAX_DEPTH:.3f} world units, the "
            "most that 16 bits hold; draw scenes with a smaller world_unit"
        )
    buffer = io.BytesIO()
    Image.fromarray((depth * DEPTH_SCALE).cpu().numpy().astype(np.uint16)).save(buffer, "PNG")
    write_bytes(path, buffer.getvalue())


@dataclass(frozen=True)
class IgsDataConfig:
    """Which data to read, and how.

    Attributes:
        root: folder with ``bbox.json``, the pair file and the scenes.
        pair_file: its name.
        split: "train" or "val", the list of the pair file.
        iteration: which saved Gaussians and renderings.
        input_size: side S of the input images, pixels.
        input_views: four positions in cameras.json; None draws one of each group of group.json.
        further_views: supervision views beyond the inputs: how many to draw, or which positions.
        target_long_side: longer side of the supervision images, pixels; None for their full size.
        photometric: read supervision images.

    Raises:
        ValueError: an unknown split, or input views that are not four.
    """

    root: str
    pair_file: str = PAIR_FILE
    split: str = "train"
    iteration: str = ITERATION
    input_size: int = 256
    input_views: tuple[int, ...] | None = None
    further_views: int | tuple[int, ...] = 4
    target_long_side: int | None = None
    photometric: bool = True

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise ValueError(f'split: {self.split!r} must be "train" or "val"')
        if self.input_views is not None and len(self.input_views) != 4:
            raise ValueError(f"input_views: {self.input_views} must be four positions")


class IgsData:
    """Samples of a data set on disk; their motion is not known.

    Args:
        config: which data.
        seed: draws the views.

    Raises:
        FileNotFoundError: the folder or the pair file is missing.
        SceneError: a damaged pair file, or one without pairs of the split.
    """

    def __init__(self, config: IgsDataConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed
        self._data = Dataset.open(config.root)
        pairs = self._data.training_pairs(config.pair_file)
        self._pairs = tuple(pairs.train if config.split == "train" else pairs.val)
        if not self._pairs:
            path = self._data.root / config.pair_file
            raise SceneError(f'{path}: the list "{config.split}" is empty')

    def __len__(self) -> int:
        return len(self._pairs)

    def sample(self, index: int) -> TrainingSample:
        """The sample of an index; beyond the last pair they come again, with other views.

        Raises:
            FileNotFoundError, SceneError: files that are missing or damaged; names them.
        """
        pair = self._pairs[index % len(self)]
        scene = self._data.scene(pair.scene)
        model = scene.frame_model(pair.cur_frame)
        cameras = list(read_rig(model.cameras_path).cameras.values())
        cur = _FrameImages.open(model, self.config.iteration, cameras)
        following = _FrameImages.open(
            scene.frame_model(pair.next_frame), self.config.iteration, cameras
        )
        views, further = self._views(index, scene, cameras, following.numbers.keys())
        inputs = [cameras[view] for view in views]
        shown = [cameras[view] for view in [*views, *further]]
        next_images = [following.image(camera) for camera in shown]
        targets, target_cameras = self._targets(next_images, shown)
        box = scene.box()
        return TrainingSample(
            cur_images=self._inputs([cur.image(camera) for camera in inputs]),
            next_images=self._inputs(next_images[: len(views)]),
            depth=torch.stack([cur.depth(camera) for camera in inputs]),
            world_to_camera=_stack([camera.world_to_camera for camera in inputs]),
            fov=_stack([np.array(camera.fov) for camera in inputs]),
            box=_stack([box.minimum, box.maximum]),
            gaussians=read_ply(model.find_ply(self.config.iteration)),
            targets=targets,
            target_cameras=target_cameras,
        )

    def _views(
        self, index: int, scene: SceneFolder, cameras: list[Camera], rendered: Collection[str]
    ) -> tuple[list[int], list[int]]:
        """Positions of the input views and, among those with images, of the further views."""
        rng = np.random.default_rng((self.seed, index))
        if self.config.input_views is not None:
            views = list(self.config.input_views)
        else:
            views = [int(rng.choice(group)) for group in scene.groups()]
        further = self.config.further_views
        if isinstance(further, int):
            rest = [
                view
                for view, camera in enumerate(cameras)
                if view not in views and camera.name in rendered
            ]
            further = rng.permutation(rest)[:further].tolist()
        wanted = [*views, *further] if self.config.photometric else views
        try:
            resolve_views(wanted, {camera.name: camera for camera in cameras})
        except SceneError as error:
            raise SceneError(f"{scene.path}: {error}") from None
        return views, wanted[len(views) :]

    def _inputs(self, images: list[np.ndarray]) -> Tensor:
        size = self.config.input_size
        return torch.stack([resize_images(_to_float(image), size) for image in images])

    def _targets(
        self, images: list[np.ndarray], cameras: list[Camera]
    ) -> tuple[Tensor | None, tuple[Camera, ...]]:
        if not self.config.photometric:
            return None, ()
        height, width = images[0].shape[:2]
        longest = self.config.target_long_side
        if longest is not None:
            factor = longest / max(width, height)
            width, height = round(width * factor), round(height * factor)
        resized = [_to_float(resize_image(image, width, height)) for image in images]
        return torch.stack(resized), tuple(camera.resized(width, height) for camera in cameras)


@dataclass(frozen=True)
class _FrameImages:
    """Images of one frame's cameras; `numbers` tells which image is whose, by camera name."""

    model: GaussianModelFolder
    iteration: str
    numbers: Mapping[str, int]
    depth_scale: float

    @staticmethod
    def open(model: GaussianModelFolder, iteration: str, cameras: Sequence[Camera]) -> _FrameImages:
        """Numbers from `views.json`; without one, as in folders of other programs, by position.

        Raises:
            SceneError: a damaged `views.json`, or none and not one image per camera.
        """
        folder = renders_path(model, "train", iteration)
        try:
            views = read_views(folder)
        except FileNotFoundError:
            return _FrameImages(model, iteration, _by_position(folder, cameras), DEPTH_SCALE)
        numbers = {name: number for number, name in enumerate(views.names)}
        return _FrameImages(model, iteration, numbers, views.depth_scale)

    def image(self, camera: Camera) -> np.ndarray:
        """(H, W, 3) uint8 as captured."""
        path = self._path("gt", camera)
        image = read_image(path)
        require_shape(path, camera, image.shape[1], image.shape[0])
        return image

    def depth(self, camera: Camera) -> Tensor:
        """(H, W) float32 z-depth, world units."""
        return read_depth_image(self._path("depth_expected_mm", camera), self.depth_scale)

    def _path(self, kind: str, camera: Camera) -> Path:
        number = self.numbers.get(camera.name)
        if number is None:
            path = renders_path(self.model, "train", self.iteration) / "views.json"
            hint = nearest_hint(camera.name, self.numbers)
            raise SceneError(f"{path}: no image of camera {camera.name!r}{hint}")
        return self.model.render_path(self.iteration, kind, number)


def _by_position(folder: Path, cameras: Sequence[Camera]) -> dict[str, int]:
    """Image numbers of cameras in the order of cameras.json, where there is one image for each."""
    count = len(list((folder / "gt").glob("*.png")))
    if count != len(cameras):
        raise SceneError(
            f"{folder}: {count} images in gt for {len(cameras)} cameras in cameras.json and no "
            "views.json to tell which is whose; write one, or leave only these cameras in the list"
        )
    return {camera.name: number for number, camera in enumerate(cameras)}


def _to_float(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def _stack(arrays: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays).astype(np.float32))
