"""Meshes from depth maps: near the true surface, oriented, coloured, readable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from igs.config.compress import MeshConfig
from igs.config.load import ConfigError
from igs.frame0.mesh import make_mesh, mesh_region, valid_depth, without_crumbs, write_mesh
from igs.frame0.mesh_volume import DistanceVolume, Mesh
from igs.gaussians import Gaussians
from igs.scene import Box, Camera

pytest.importorskip("skimage")


def camera_around(i: int, count: int) -> Camera:
    """A camera on a wavy ring of radius 4 that looks at the origin."""
    turn = 2 * np.pi * i / count
    lift = 0.6 * np.sin(3 * turn)
    center = 4 * np.array([np.cos(turn) * np.cos(lift), np.sin(lift), np.sin(turn) * np.cos(lift)])
    z = -center / np.linalg.norm(center)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, np.cross(z, x), z])
    pose[:3, 3] = -pose[:3, :3] @ center
    return Camera(f"c{i}", 120, 90, 150.0, 150.0, 60.0, 45.0, pose)


def sphere_view(camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """True z-depth of the unit sphere, 0 beside it, and a colour that is a function of place."""
    row, column = np.mgrid[: camera.height, : camera.width] + 0.5
    ray = np.stack(
        [(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones_like(row)], -1
    )
    center = camera.world_to_camera[:3, 3]
    a, b, c = (ray * ray).sum(-1), ray @ center, center @ center - 1
    discriminant = b * b - a * c
    depth = np.where(discriminant > 0, (b - np.sqrt(np.maximum(discriminant, 0))) / a, 0)
    points = (ray * depth[..., None] - center) @ camera.world_to_camera[:3, :3]
    color = torch.from_numpy((points + 1) / 2).float().permute(2, 0, 1)
    return torch.from_numpy(depth).float(), color


@pytest.fixture(scope="module")
def sphere() -> Mesh:
    box = Box(np.full(3, -1.3), np.full(3, 1.3))
    volume = DistanceVolume.over(box, MeshConfig(resolution=48), torch.device("cpu"))
    for i in range(12):
        camera = camera_around(i, 12)
        depth, color = sphere_view(camera)
        volume.add(camera, depth, color, valid_depth(depth, torch.ones_like(depth), 0.5))
    return volume.surface(min_views=2)


def test_a_sphere_is_met_to_a_small_part_of_a_voxel(sphere: Mesh) -> None:
    voxel = 2.6 / 48
    off = np.abs(np.linalg.norm(sphere.vertices, axis=-1) - 1)
    assert off.mean() < 0.06 * voxel
    assert off.max() < 0.6 * voxel
    # Coverage: nearly every direction has a vertex near.
    generator = np.random.default_rng(0)
    there = generator.normal(size=(200, 3))
    there /= np.linalg.norm(there, axis=-1, keepdims=True)
    gaps = [np.linalg.norm(sphere.vertices - p, axis=-1).min() for p in there]
    assert np.mean(np.array(gaps) < 2 * voxel) > 0.85


def test_normals_and_faces_point_outward(sphere: Mesh) -> None:
    outward = sphere.vertices / np.linalg.norm(sphere.vertices, axis=-1, keepdims=True)
    assert (sphere.normals * outward).sum(-1).mean() > 0.98
    corners = sphere.vertices[sphere.faces]
    turned = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert ((turned * corners.mean(1)).sum(-1) >= 0).mean() > 0.99


def test_colours_are_those_of_the_views(sphere: Mesh) -> None:
    wanted = (sphere.vertices + 1) / 2
    assert np.abs(sphere.colors / 255.0 - wanted).mean() < 0.01


def test_mesh_of_gaussians_lies_on_the_shell_they_form() -> None:
    generator = torch.Generator().manual_seed(0)
    n = 3000
    means = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)
    # Discs on the sphere: the shortest axis is the radius there, as a turn of z onto it.
    half = torch.nn.functional.normalize(means + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    quats = torch.cat([torch.zeros(n, 1), half], dim=-1)
    shell = Gaussians(
        means=means,
        log_scales=torch.log(torch.tensor([0.05, 0.05, 0.004])).repeat(n, 1),
        quats=quats,
        opacity_logits=torch.full((n,), 4.0),
        sh=means[:, None] / (2 * 0.28209479),
    )
    cameras = [camera_around(i, 10) for i in range(10)]
    region = mesh_region(shell, cameras)
    assert (region.minimum > -1.4).all()
    assert (region.maximum < 1.4).all()
    mesh = make_mesh(MeshConfig(resolution=40), shell, cameras, torch.zeros(3), box=region)
    off = np.abs(np.linalg.norm(mesh.vertices, axis=-1) - 1)
    assert np.median(off) < 0.02
    assert np.quantile(off, 0.95) < 0.06
    assert np.abs(mesh.colors / 255.0 - (mesh.vertices + 1) / 2).mean() < 0.06


def test_edges_and_holes_say_nothing() -> None:
    depth = torch.full((6, 8), 2.0)
    depth[:, 4:] = 4.0
    alpha = torch.ones(6, 8)
    alpha[0] = 0.1
    valid = valid_depth(depth, alpha, 0.5)
    assert not valid[0].any()
    assert not valid[1:, 3:5].any()
    assert valid[1:, :3].all()
    assert not valid_depth(torch.zeros(6, 8), torch.ones(6, 8), 0.5).any()


def test_crumbs_are_dropped(sphere: Mesh) -> None:
    crumb = Mesh(
        np.concatenate([sphere.vertices, np.eye(3, dtype=np.float32) + 5]),
        np.concatenate([sphere.faces, np.arange(3)[None] + len(sphere.vertices)]),
        np.concatenate([sphere.normals, np.eye(3, dtype=np.float32)]),
        np.concatenate([sphere.colors, np.zeros((3, 3), np.uint8)]),
    )
    kept = without_crumbs(crumb, 0.01)
    assert np.abs(kept.vertices).max() < 2
    assert len(kept.faces) == len(without_crumbs(sphere, 0.01).faces)
    assert without_crumbs(crumb, 0.0) is crumb


@pytest.mark.parametrize("suffix", [".ply", ".obj", ".glb"])
def test_files_are_read_by_another_program(tmp_path: Path, sphere: Mesh, suffix: str) -> None:
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"sphere{suffix}"
    write_mesh(path, sphere)
    read = trimesh.load(path, force="mesh", process=False)
    assert len(read.faces) == len(sphere.faces)
    np.testing.assert_allclose(read.vertices, sphere.vertices, atol=1e-5)
    np.testing.assert_allclose(read.visual.vertex_colors[:, :3], sphere.colors, atol=1)
    with pytest.raises(ValueError, match=r"a mesh is written as \.ply, \.obj, \.glb"):
        write_mesh(tmp_path / "sphere.stl", sphere)


def test_ply_holds_the_normals_and_colours(tmp_path: Path, sphere: Mesh) -> None:
    plyfile = pytest.importorskip("plyfile")
    write_mesh(tmp_path / "sphere.ply", sphere)
    vertices = plyfile.PlyData.read(tmp_path / "sphere.ply")["vertex"]
    normals = np.stack([vertices[name] for name in ("nx", "ny", "nz")], axis=-1)
    np.testing.assert_allclose(normals, sphere.normals, atol=1e-6)
    assert np.array_equal(vertices["green"], sphere.colors[:, 1])


def test_bad_input_is_named() -> None:
    empty = DistanceVolume.over(
        Box(np.zeros(3), np.ones(3)), MeshConfig(resolution=8), torch.device("cpu")
    )
    with pytest.raises(ValueError, match="no surface in the region"):
        empty.surface(1)
    one = Gaussians(
        torch.tensor([[0.0, 0, 50]]),
        torch.zeros(1, 3),
        torch.ones(1, 4),
        torch.zeros(1),
        torch.zeros(1, 1, 3),
    )
    with pytest.raises(ValueError, match="no cameras"):
        make_mesh(MeshConfig(), one, [], torch.zeros(3))
    with pytest.raises(ValueError, match="no Gaussian is seen"):
        mesh_region(one, [camera_around(i, 4) for i in (1, 2)])
    with pytest.raises(ConfigError, match=r"mesh\.depth"):
        make_mesh(MeshConfig(depth="mean"), one, [], torch.zeros(3))
