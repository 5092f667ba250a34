"""A mesh of the scene: depth maps fused into a signed distance, and its zero level.

Truncated signed distances of all views are averaged on a regular grid (Curless and Levoy, SIGGRAPH
1996) and the surface is taken out by scikit-image's marching cubes. Needs the extra `igs[mesh]`.
Open3D does the same at 400 MB and forty packages; a grid and a mean need neither.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from igs.config.compress import MeshConfig, check_mesh
from igs.frame0.mesh_volume import DistanceVolume, Mesh, marching_cubes_function
from igs.gaussians import Gaussians
from igs.render import render
from igs.scene import Box, Camera
from igs.scene.files import write_bytes

logger = logging.getLogger(__name__)

# Suffix to the word by which trimesh is asked for normals.
MESH_SUFFIXES = {".ply": "vertex_normal", ".obj": "include_normals", ".glb": "include_normals"}

_NEAREST = 0.01  # world units in front of a camera
_QUANTILES = (0.02, 0.98)  # of the centres, for the region
_LARGEST_JUMP = 0.05  # relative depth step over two pixels beyond which a pixel is an edge


def make_mesh(
    config: MeshConfig,
    gaussians: Gaussians,
    cameras: Sequence[Camera],
    background: torch.Tensor,
    *,
    box: Box | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Mesh:
    """Mesh of Gaussians from their depths in the given views.

    Args:
        config: see `MeshConfig`.
        gaussians: N Gaussians *as rendered* (3D filter folded in), on the device to work on.
        cameras: views whose depths are fused, by custom the training cameras.
        background: (3,) colour behind everything, 0..1.
        box: region of the mesh; None takes `mesh_region`.
        progress: called with (views done, views).

    Raises:
        ValueError: no cameras, or no surface in the region.
        ImportError: without the extra `igs[mesh]`.
        ConfigError: settings that cannot be used; names the key.
    """
    check_mesh(config)
    marching_cubes_function()  # refuse before the work, not after it
    if not cameras:
        raise ValueError("mesh: no cameras to take depths from")
    box = box or mesh_region(gaussians, cameras)
    volume = DistanceVolume.over(box, config, gaussians.device)
    for done, camera in enumerate(cameras, start=1):
        with torch.no_grad():
            view = render(gaussians, camera, background, want=(config.depth,))
        depth = getattr(view, config.depth)[0]
        volume.add(camera, depth, view.color, valid_depth(depth, view.alpha[0], config.min_alpha))
        if progress is not None:
            progress(done, len(cameras))
    mesh = without_crumbs(volume.surface(config.min_views), config.min_share)
    logger.info("mesh: %d vertices, %d faces", len(mesh.vertices), len(mesh.faces))
    return mesh


def mesh_region(gaussians: Gaussians, cameras: Sequence[Camera]) -> Box:
    """The box of the Gaussians that at least two cameras see (one, where there is only one).

    The outermost 2 % per axis and side are left out: a few far Gaussians would make all voxels
    coarse.

    Raises:
        ValueError: none is seen.
    """
    means = gaussians.means.detach()
    times = torch.zeros(len(means), dtype=torch.int64, device=means.device)
    for camera in cameras:
        pose = torch.as_tensor(camera.world_to_camera, dtype=means.dtype, device=means.device)
        x, y, z = (means @ pose[:3, :3].T + pose[:3, 3]).unbind(-1)
        u, v = camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy
        times += (z > _NEAREST) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    seen = means[times >= min(2, len(cameras))].cpu().double().numpy()
    if len(seen) == 0:
        raise ValueError(f"mesh: no Gaussian is seen by two of the {len(cameras)} cameras")
    low, high = np.quantile(seen, _QUANTILES, axis=0)
    margin = 0.05 * float((high - low).max()) + 1e-6
    return Box(low - margin, high + margin)


def valid_depth(depth: torch.Tensor, alpha: torch.Tensor, min_alpha: float) -> torch.Tensor:
    """(H, W) bool: opaque enough, and not on an edge where depths of two surfaces mix.

    Args:
        depth: (H, W) z-depth, 0 where nothing is drawn.
        alpha: (H, W) in 0..1.
        min_alpha: least alpha.
    """
    padded = F.pad(depth[None, None], (1, 1, 1, 1), mode="replicate")
    high = F.max_pool2d(padded, 3, stride=1)[0, 0]
    low = -F.max_pool2d(-padded, 3, stride=1)[0, 0]
    return (depth > 0) & (alpha >= min_alpha) & (high - low <= _LARGEST_JUMP * depth)


def without_crumbs(mesh: Mesh, min_share: float) -> Mesh:
    """The mesh without connected parts that are small beside the largest, counted in faces."""
    count, n = len(mesh.faces), len(mesh.vertices)
    if count == 0 or min_share <= 0:
        return mesh
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    links = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(n, n))
    part = connected_components(links, directed=False)[1][mesh.faces[:, 0]]
    sizes = np.bincount(part)
    faces = mesh.faces[sizes[part] >= min_share * sizes.max()]
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(
        mesh.vertices[used],
        renumbered.reshape(-1, 3).astype(np.int64),
        mesh.normals[used],
        mesh.colors[used],
    )


def check_mesh_path(path: str | Path) -> str:
    """The suffix of a mesh's file; refuses, before any work, what `write_mesh` would.

    Raises:
        ValueError: another suffix than those of MESH_SUFFIXES.
        ImportError: without the extra `igs[mesh]`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in MESH_SUFFIXES:
        raise ValueError(f"{path}: a mesh is written as {', '.join(MESH_SUFFIXES)}")
    for module in ("skimage", "trimesh"):
        if find_spec(module) is None:
            raise ImportError(f"a mesh needs {module}: pip install 'igs[mesh]'")
    return suffix


def write_mesh(path: str | Path, mesh: Mesh) -> None:
    """Write PLY, OBJ or GLB by suffix through trimesh, whole or not at all.

    Raises:
        ValueError: another suffix.
        ImportError: without the extra `igs[mesh]`.
        OSError: the disk is full or the folder cannot be written; names the file.
    """
    suffix = check_mesh_path(path)
    import trimesh

    shown = trimesh.Trimesh(
        mesh.vertices,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=mesh.colors,
        process=False,
    )
    buffer = io.BytesIO()
    shown.export(buffer, file_type=suffix[1:], **{MESH_SUFFIXES[suffix]: True})
    write_bytes(path, buffer.getvalue())
