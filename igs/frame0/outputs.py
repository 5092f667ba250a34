"""The folder of a trained first frame, as programs of the 3DGS family read it.

    <model>/cfg_args, cameras.json, input.ply
    <model>/point_cloud/iteration_<k>[_compress]/point_cloud.ply
    <model>/chkpnt<k>.txt, chkpnt_compress<k>.txt
    <model>/<train|test>/ours_<k>[_compress]/views.json
                                            /<kind>/00000.png
    <model>/results.json, per_view.json

Kinds are `renders`, `gt`, `depth_expected_mm`, and on request `depth_median_mm`, `alpha`, `normal`.
Images are numbered by position among the training (or test) cameras sorted by name; `views.json`
says which camera each number is, and the scale of the depths.

Source: spec `frame0.md`, sections 3 (saved files), 5 and 6; mended of section 8: depth saturates
and its scale is stored (14), names are stored (15), one definition of PSNR (16).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from igs.config.frame0_run import RENDER_EXTRA
from igs.frame0.outputs_arguments import write_cfg_args
from igs.gaussians import Gaussians, PointCloud, write_ply, write_points
from igs.render import RenderOutput, render, save_png, to_uint8
from igs.scene import Camera, GaussianModelFolder, Rig, SceneError, write_camera_list
from igs.scene.files import atomic_path, read_json, write_json, write_text

logger = logging.getLogger(__name__)

DEPTH_SCALE = 1000.0  # values per world unit
SPLITS = ("train", "test")

_LARGEST = 65_535
_WANT = {"depth_expected_mm": "depth", "depth_median_mm": "median_depth", "normal": "normal"}


@dataclass(frozen=True)
class RenderedViews:
    """What `views.json` says.

    Attributes:
        names: camera name of each number.
        depth_scale: values per world unit of the depth images.
    """

    names: tuple[str, ...]
    depth_scale: float


def iteration_name(iteration: int, *, compressed: bool = False) -> str:
    """``6000`` or ``6000_compress``, by which saved Gaussians and renders are called."""
    return f"{iteration}_compress" if compressed else str(iteration)


def start_model(
    folder: str | Path, rig: Rig, points: PointCloud, options: Mapping[str, Any]
) -> GaussianModelFolder:
    """Write what does not change in training: `cameras.json`, `input.ply` and `cfg_args`.

    Args:
        folder: the model's; made if missing.
        rig: cameras at full resolution, its held-out ones become the test cameras.
        points: the initial points.
        options: the model options, see `model_options`.

    Raises:
        OSError: the folder cannot be written.
        ValueError: options that `cfg_args` cannot hold.
    """
    model = GaussianModelFolder(Path(folder))
    write_camera_list(model.cameras_path, rig)
    write_points(model.path / "input.ply", points)
    write_cfg_args(model.path / "cfg_args", options)
    return model


def model_options(
    source: str | Path,
    model: str | Path,
    *,
    sh_degree: int,
    images: str = "images",
    resolution: int = -1,
    white_background: bool = False,
    evaluation: bool = True,
    device: str = "cpu",
    loader: str = "colmap",
) -> dict[str, Any]:
    """Model options under the names that 3DGS programs use.

    Args:
        source: the scene's folder.
        model: the model's folder.
        sh_degree: highest degree.
        images: folder of the images in the scene.
        resolution: divisor of the image size, or -1 for as stored.
        white_background: else black.
        evaluation: whether test cameras are held out.
        device: where images were held.
        loader: kind of the scene's loader.
    """
    return {
        "sh_degree": sh_degree,
        "source_path": str(source),
        "model_path": str(model),
        "images": images,
        "resolution": resolution,
        "white_background": white_background,
        "data_device": device,
        "eval": evaluation,
        "loader": loader,
    }


def save_gaussians(
    model: GaussianModelFolder,
    iteration: str | int,
    gaussians: Gaussians,
    filter_3d: torch.Tensor | None = None,
) -> Path:
    """Write Gaussians, the 3D filter not folded in, and return where they are.

    Raises:
        OSError: the disk is full or the folder cannot be written; names the file.
    """
    path = model.ply_path(iteration)
    write_ply(path, gaussians, filter_3d=filter_3d)
    return path


def save_test_line(model: GaussianModelFolder, iteration: str, l1: float, psnr: float) -> Path:
    """Write test L1 and PSNR to `chkpnt<k>.txt` or, for ``<k>_compress``, `chkpnt_compress<k>.txt`.

    Args:
        model: the folder.
        iteration: as `iteration_name` gives it.
        l1: mean absolute error over the test images, colours in 0..1.
        psnr: mean over the test images of the PSNR of each, dB.
    """
    number, _, kind = iteration.partition("_")
    path = model.path / f"chkpnt{'_' + kind if kind else ''}{number}.txt"
    write_text(path, f"test L1 {l1:.6f} PSNR {psnr:.4f}\n")
    return path


def render_views(
    model: GaussianModelFolder,
    iteration: str | int,
    gaussians: Gaussians,
    rig: Rig,
    images: Mapping[str, np.ndarray],
    background: torch.Tensor,
    *,
    splits: Iterable[str] = SPLITS,
    extra: Iterable[str] = (),
) -> None:
    """Render every training and test camera and write the images beside the ground truth.

    Args:
        model: the folder.
        iteration: as `iteration_name` gives it.
        gaussians: N Gaussians *as rendered* (3D filter folded in).
        rig: cameras at the size of the images.
        images: camera name to (H, W, 3) uint8.
        background: (3,) colour behind everything, 0..1.
        splits: `train`, `test` or both.
        extra: kinds beyond `renders`, `gt` and `depth_expected_mm`, of RENDER_EXTRA.

    Raises:
        ValueError: an unknown split or kind, a camera without image or with one of another size.
        OSError: the disk is full or the folder cannot be written; names the file.
    """
    extra = tuple(extra)
    for kind in extra:
        if kind not in RENDER_EXTRA:
            raise ValueError(f"output {kind!r} must be one of {', '.join(RENDER_EXTRA)}")
    for split in splits:
        cameras = split_cameras(rig, split)
        _check_images(cameras, images)
        folder = renders_path(model, split, iteration)
        write_views(folder, [camera.name for camera in cameras])
        saturated = 0
        for number, camera in enumerate(cameras):
            with torch.no_grad():
                want = [_WANT[k] for k in ("depth_expected_mm", *extra) if k in _WANT]
                view = render(gaussians, camera, background, want=want)
            saturated += _write_view(folder, number, view, images[camera.name], extra)
        if saturated:
            logger.warning(
                "%s: %d pixels lie beyond %.3f world units, the most that a 16-bit depth holds",
                folder,
                saturated,
                _LARGEST / DEPTH_SCALE,
            )


def split_cameras(rig: Rig, split: str) -> list[Camera]:
    """The training or the test cameras in the order in which their images are numbered.

    Raises:
        ValueError: a split that is neither `train` nor `test`.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} must be train or test")
    return [
        rig.cameras[name]
        for name in sorted(rig.cameras)
        if (name in rig.held_out) == (split == "test")
    ]


def renders_path(model: GaussianModelFolder, split: str, iteration: str | int) -> Path:
    """``<model>/<split>/ours_<iteration>``."""
    return model.path / split / f"ours_{iteration}"


def write_views(folder: str | Path, names: Sequence[str]) -> None:
    """Write `views.json` of one ``ours_<k>`` folder: which camera each image number is."""
    values = {"depth_values_per_world_unit": DEPTH_SCALE, "names": list(names)}
    write_json(Path(folder) / "views.json", values)


def read_views(folder: str | Path) -> RenderedViews:
    """Read `views.json` of one ``ours_<k>`` folder.

    Raises:
        FileNotFoundError: there is none, as in folders that other programs wrote.
        SceneError: it is damaged; names the file.
    """
    path = Path(folder) / "views.json"
    data = read_json(path)
    names = data.get("names") if isinstance(data, dict) else None
    scale = data.get("depth_values_per_world_unit") if isinstance(data, dict) else None
    if not isinstance(names, list) or not isinstance(scale, (int, float)) or not scale > 0:
        raise SceneError(f"{path}: needs names and a positive depth_values_per_world_unit")
    return RenderedViews(tuple(map(str, names)), float(scale))


def write_depth_image(path: str | Path, depth: torch.Tensor, scale: float = DEPTH_SCALE) -> int:
    """Write z-depth as a 16-bit PNG, rounded down; what does not fit takes the largest value.

    Args:
        path: the file.
        depth: (H, W) or (1, H, W), world units, 0 where nothing is drawn.
        scale: values per world unit.

    Returns:
        How many pixels did not fit.
    """
    values = depth.detach().reshape(depth.shape[-2:]).double().cpu().numpy() * scale
    values = np.nan_to_num(values, nan=0.0, posinf=_LARGEST + 1.0)
    too_far = int((values >= _LARGEST + 1).sum())
    with atomic_path(path) as temporary:
        Image.fromarray(np.clip(values, 0, _LARGEST).astype(np.uint16)).save(temporary, "PNG")
    return too_far


def read_depth_image(path: str | Path, scale: float = DEPTH_SCALE) -> torch.Tensor:
    """(H, W) float32 z-depth in world units from a 16-bit PNG.

    Raises:
        FileNotFoundError: no such file.
        SceneError: not a 16-bit grey image; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such depth image")
    try:
        with Image.open(path) as image:
            values = np.array(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise SceneError(f"{path}: cannot be read as an image ({error})") from error
    if values.ndim != 2 or values.dtype not in (np.uint16, np.int32):
        raise SceneError(f"{path}: depth is a 16-bit grey PNG, got {values.shape} {values.dtype}")
    return torch.from_numpy(values.astype(np.float32) / scale)


def normal_image(normal: torch.Tensor) -> np.ndarray:
    """(H, W, 3) uint8 of (3, H, W) unit normals in camera axes, black where there is none.

    Red is x to the right, green y up, blue toward the viewer, -1..1 on 0..255: the convention of
    image editors, not that of our camera axes.
    """
    shown = normal * normal.new_tensor([1.0, -1.0, -1.0])[:, None, None] * 0.5 + 0.5
    return to_uint8(shown * (normal.abs().sum(0) > 0))


def _write_view(
    folder: Path, number: int, view: RenderOutput, truth: np.ndarray, extra: tuple[str, ...]
) -> int:
    name = f"{number:05d}.png"
    assert view.depth is not None
    save_png(folder / "renders" / name, view.color)
    save_png(folder / "gt" / name, truth)
    too_far = write_depth_image(folder / "depth_expected_mm" / name, view.depth)
    if "depth_median_mm" in extra and view.median_depth is not None:
        write_depth_image(folder / "depth_median_mm" / name, view.median_depth)
    if "alpha" in extra:
        save_png(folder / "alpha" / name, view.alpha)
    if "normal" in extra and view.normal is not None:
        save_png(folder / "normal" / name, normal_image(view.normal))
    return too_far


def _check_images(cameras: Iterable[Camera], images: Mapping[str, np.ndarray]) -> None:
    for camera in cameras:
        found = images[camera.name].shape if camera.name in images else None
        if found != (camera.height, camera.width, 3):
            raise ValueError(
                f"camera {camera.name!r}: needs an image of shape "
                f"({camera.height}, {camera.width}, 3), got {found}"
            )
