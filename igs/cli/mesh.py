"""`igs mesh`: a triangle mesh of Gaussians, from their depths in the cameras of the rig."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "mesh", help="fuse the depths of Gaussians into a mesh", description=__doc__
    )
    parser.add_argument("gaussians", help="PLY of Gaussians, or a quantised .safetensors file")
    parser.add_argument("--cameras", required=True, help="cameras.json of the rig")
    parser.add_argument("--out", required=True, help="mesh to write: .ply, .obj or .glb")
    parser.add_argument("--resolution", type=int, help="voxels along the longest side (256)")
    parser.add_argument(
        "--box",
        type=float,
        nargs=6,
        metavar=("X0", "Y0", "Z0", "X1", "Y1", "Z1"),
        help="region in world units; left out, what the cameras see",
    )
    parser.add_argument("--background", type=float, nargs=3, default=(0.0, 0.0, 0.0))
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="settings, such as depth=depth"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Render the depths, fuse them and write the mesh."""
    import torch
    from tqdm import tqdm

    from igs.config.compress import MeshConfig
    from igs.config.load import load_config
    from igs.config.validate import check_device
    from igs.frame0.mesh import check_mesh_path, make_mesh, write_mesh
    from igs.frame0.quantise import read_gaussians
    from igs.scene import Box, read_rig

    check_device(arguments.device)
    try:
        check_mesh_path(arguments.out)
    except ImportError as error:
        raise ValueError(str(error)) from error
    config = load_config(MeshConfig, None, arguments.overrides)
    if arguments.resolution is not None:
        config.resolution = arguments.resolution
    gaussians = read_gaussians(arguments.gaussians).to(arguments.device)
    cameras = list(read_rig(arguments.cameras, undistort=True).training.values())
    box = Box(arguments.box[:3], arguments.box[3:]) if arguments.box else None
    background = torch.tensor(arguments.background, device=arguments.device)
    with tqdm(total=len(cameras), desc="depths", unit="view") as bar:

        def tell(done: int, total: int) -> None:
            bar.update(done - bar.n)

        mesh = make_mesh(config, gaussians, cameras, background, box=box, progress=tell)
    write_mesh(arguments.out, mesh)
    print(f"{arguments.out}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces")
    return 0
