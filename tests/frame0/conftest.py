"""The small scene as arrays and on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from igs.scene import Rig, write_camera_object, write_image

sys.path.insert(0, str(Path(__file__).parent))

from small_scene import Scene, make_scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    """See `make_scene`; not to be changed."""
    return make_scene()


@pytest.fixture
def scene_folder(tmp_path: Path, scene: Scene) -> Path:
    """The scene on disk: cameras.json with c2 held out, and images."""
    cameras, images, _ = scene
    root = tmp_path / "scene"
    write_camera_object(root / "cameras.json", Rig.of(cameras).with_held_out(["c2"]))
    for name, image in images.items():
        write_image(root / "images" / f"{name}.png", image)
    return root
