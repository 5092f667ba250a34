"""Gaussians to start from, given coloured points.

Source: spec `frame0.md`, section 2 (initialisation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from simple_knn import distCUDA2

from igs.config.frame0 import Frame0Config, InitConfig
from igs.frame0.plane_sweep import SweepSettings, plane_sweep, rig_depth_range
from igs.gaussians import SH_C0, Gaussians, PointCloud, compute_filter_3d, read_points
from igs.scene import Camera, colmap_binary, colmap_text

_INITIAL_OPACITY = 0.1
_MIN_SQUARED_DISTANCE = 1e-7
_LEAST_SHARE_OF_FILTER = 0.5
_LARGEST_OPACITY = 0.995


def gaussians_from_points(points: PointCloud, sh_degree: int) -> Gaussians:
    """Isotropic Gaussians of opacity 0.1, as wide as the distance to their nearest neighbours.

    Args:
        points: P coloured points, world axes.
        sh_degree: 0 to 3; coefficients above the constant start at 0.

    Returns:
        P Gaussians on the CPU.

    Raises:
        ValueError: no points at all.
    """
    if len(points) == 0:
        raise ValueError("frame 0: no initial points; widen frame0.init.depth_range or give files")
    n = len(points)
    sh = torch.zeros(n, (sh_degree + 1) ** 2, 3)
    sh[:, 0] = (points.colors - 0.5) / SH_C0
    distance = distCUDA2(points.positions).clamp_min(_MIN_SQUARED_DISTANCE).sqrt()
    return Gaussians(
        means=points.positions,
        log_scales=distance.log()[:, None].repeat(1, 3),
        quats=torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(n, 1),
        opacity_logits=torch.full((n,), float(np.log(_INITIAL_OPACITY / (1 - _INITIAL_OPACITY)))),
        sh=sh,
    )


def initial_points(
    config: InitConfig,
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray],
    root: Path,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    known: Path | None = None,
) -> PointCloud:
    """First points as the config asks: swept, read from files, or random, cut to `max_points`.

    Args:
        config: see `InitConfig`.
        cameras: the training cameras.
        images: their images of frame 0, (H, W, 3) uint8.
        root: what relative file names are relative to.
        seed: for the random points and the cut.
        progress: called with (views done, views) while sweeping.
        known: file of points that the scene has, such as COLMAP's; mode `auto` takes it.

    Raises:
        ValueError: unreadable files, or no point found.
    """
    rng = np.random.default_rng(seed)
    listed = [_read_cloud(root / name) for name in config.files]
    takes_known = config.mode == "auto" and (known is not None or listed)
    if takes_known or config.mode == "points":
        cloud = _joined(listed if listed or known is None else [_read_cloud(known)])
    elif config.mode in ("sweep", "auto"):
        settings = SweepSettings(fill_stride=config.fill_stride)
        depths = _depth_range(config, cameras)
        swept = plane_sweep(cameras, images, depths, settings, progress)
        cloud = _joined([swept, *listed])
    else:
        depths = _depth_range(config, cameras)
        cloud = _random_points(cameras, images, depths, config.max_points, rng)
    cloud = _thinned(cloud, config.max_points, rng)
    if config.background_points:
        farthest = _depth_range(config, cameras)[1]
        far, count = (farthest, 4 * farthest), config.background_points
        cloud = _joined([cloud, _random_points(cameras, images, far, count, rng)])
    return cloud


def start_from_gaussians(
    gaussians: Gaussians, cameras: Sequence[Camera], config: Frame0Config
) -> Gaussians:
    """Gaussians of a previous frame, ready to be optimised on.

    Where the trainer applies a 3D filter, the one folded into them is taken out first, so that it
    does not widen them twice.

    Args:
        gaussians: N Gaussians as rendered.
        cameras: the training cameras.
        config: SH degree and whether there is a filter; missing SH coefficients start at 0.
    """
    count = (config.sh_degree + 1) ** 2
    sh = torch.zeros(len(gaussians), count, 3, device=gaussians.device)
    shared = min(count, gaussians.sh.shape[1])
    sh[:, :shared] = gaussians.sh[:, :shared]
    start = gaussians.replace(sh=sh)
    if not config.filter_3d:
        return start
    widths = compute_filter_3d(gaussians.means, cameras)[:, None]
    wide = gaussians.scales
    # A Gaussian at the filter's own size would become a point: it keeps a part of its size.
    narrow = (wide**2 - widths**2).clamp_min(0).sqrt().maximum(_LEAST_SHARE_OF_FILTER * widths)
    gain = ((narrow**2 + widths**2).sqrt() / narrow).prod(dim=-1)
    opacities = (gaussians.opacities * gain).clamp(1e-6, _LARGEST_OPACITY)
    return start.replace(log_scales=narrow.log(), opacity_logits=torch.logit(opacities))


def _read_cloud(path: Path) -> PointCloud:
    """Points of a PLY file or of COLMAP's points3D, told apart by the suffix."""
    readers = {".bin": colmap_binary.read_points, ".txt": colmap_text.read_points}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        return read_points(path)
    points = reader(path)
    return PointCloud(
        torch.from_numpy(points.xyz.astype(np.float32)),
        torch.from_numpy(points.rgb.astype(np.float32) / 255),
    )


def _depth_range(config: InitConfig, cameras: Sequence[Camera]) -> tuple[float, float]:
    if config.depth_range is not None:
        return config.depth_range[0], config.depth_range[1]
    try:
        return rig_depth_range(cameras)
    except ValueError as error:
        raise ValueError(f"frame0.init.depth_range: give near and far, since {error}") from error


def _joined(clouds: Sequence[PointCloud]) -> PointCloud:
    return PointCloud(
        torch.cat([c.positions for c in clouds]), torch.cat([c.colors for c in clouds])
    )


def _thinned(cloud: PointCloud, most: int, rng: np.random.Generator) -> PointCloud:
    if len(cloud) <= most:
        return cloud
    keep = torch.from_numpy(np.sort(rng.choice(len(cloud), most, replace=False)))
    return PointCloud(cloud.positions[keep], cloud.colors[keep])


def _random_points(
    cameras: Sequence[Camera],
    images: Mapping[str, np.ndarray],
    depth_range: tuple[float, float],
    count: int,
    rng: np.random.Generator,
) -> PointCloud:
    """Points on random pixels' rays, uniform in inverse depth, with the pixel's colour."""
    which = rng.integers(0, len(cameras), count)
    share = rng.random((count, 2))
    depth = 1 / rng.uniform(1 / depth_range[1], 1 / depth_range[0], count)
    xyz, rgb = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
    for i, camera in enumerate(cameras):
        mine = which == i
        u, v = share[mine, 0] * camera.width, share[mine, 1] * camera.height
        local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], 1)
        local = np.concatenate([local, np.ones((len(local), 1))], 1) * depth[mine, None]
        pose = camera.camera_to_world
        xyz[mine] = local @ pose[:3, :3].T + pose[:3, 3]
        rgb[mine] = images[camera.name][v.astype(int), u.astype(int)] / 255.0
    return PointCloud(torch.from_numpy(xyz), torch.from_numpy(rgb))
