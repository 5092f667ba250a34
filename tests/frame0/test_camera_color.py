"""Colours per camera: learned, held at the identity on the mean, kept in a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_scene import Scene, short_config

from igs.config.frame0 import CameraColorConfig
from igs.frame0 import Frame0Trainer, gaussians_from_points, initial_points, make_frame0
from igs.frame0.camera_color import (
    CameraColors,
    aligned,
    apply_color,
    read_camera_colors,
    write_camera_colors,
)
from igs.frame0.corrected_source import ColorCorrectedSource
from igs.metrics import psnr
from igs.render import to_float, to_uint8
from igs.scene import Camera, MultiViewFrame, SceneError

GAINS = {"c0": 1.25, "c1": 0.8, "c3": 1.1, "c4": 0.9}


def test_exposures_are_found_and_their_mean_is_the_identity(scene: Scene) -> None:
    cameras, images, _ = scene
    exposed = {n: (images[n] * g).clip(0, 255).astype(np.uint8) for n, g in GAINS.items()}
    training = [c for c in cameras if c.name in GAINS]
    config = short_config(iterations=150)
    config.camera_color = CameraColorConfig(enabled=True, rate=0.01, weight=0.01, from_iteration=20)
    points = initial_points(config.init, training, exposed, Path(), 0)
    start = gaussians_from_points(points, config.sh_degree)
    trainer = Frame0Trainer(config, training, exposed, start, torch.zeros(3), 0)
    trainer.run()
    assert trainer.colors is not None
    mean = trainer.colors.matrices.mean(dim=0)
    torch.testing.assert_close(mean, torch.eye(3, 4), atol=1e-5, rtol=0)
    gain = {n: float(np.mean(row["gain"])) for n, row in trainer.colors.report().items()}
    assert gain["c0"] > gain["c3"] > gain["c4"]
    assert gain["c3"] > gain["c1"]
    assert gain["c0"] - gain["c1"] > 0.15


def test_a_camera_that_took_no_part_keeps_its_colours() -> None:
    colors = CameraColors(["a", "b"])
    image = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    assert colors.apply(image, "z") is image
    torch.testing.assert_close(colors.apply(image, "a"), image)


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    matrices = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "camera_colors.json"
    write_camera_colors(path, ["a", "b"], matrices)
    read = read_camera_colors(path)
    assert list(read) == ["a", "b"]
    torch.testing.assert_close(torch.stack(list(read.values())), matrices)
    path.write_text('{"format": "igs-camera-colors-1", "cameras": {"a": [[1, 2]]}}')
    with pytest.raises(SceneError, match="camera 'a'"):
        read_camera_colors(path)
    path.write_text("{}")
    with pytest.raises(SceneError, match="format"):
        read_camera_colors(path)


def test_alignment_undoes_an_affine_colour() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 20, 30, generator=generator)
    matrix = torch.eye(3, 4) * 0.8 + 0.05 * torch.randn(3, 4, generator=generator)
    seen = apply_color(target, matrix)
    assert psnr(seen, target) < 25
    assert psnr(aligned(seen, target), target) > 50


class OneFrame:
    """A source of one frame."""

    def __init__(self, cameras: list[Camera], images: dict[str, np.ndarray]) -> None:
        self.cameras, self._images = {c.name: c for c in cameras}, images
        self.num_frames, self.fps = 1, 30.0

    def frames(self, start: int = 0) -> Iterator[MultiViewFrame]:
        yield MultiViewFrame(start, 0.0, self._images)


def test_a_stream_shows_every_camera_in_the_colours_of_the_scene(scene: Scene) -> None:
    cameras, images, _ = scene
    matrix = torch.tensor([[0.8, 0.05, 0, 0.02], [0, 0.9, 0, 0.03], [0.02, 0, 0.7, 0.01]])
    shown = dict(images)
    shown["c1"] = to_uint8(apply_color(to_float(images["c1"]), matrix))
    source = ColorCorrectedSource(OneFrame(cameras, shown), {"c1": matrix})
    frame = next(source.frames())
    assert source.num_frames == 1
    assert frame.images["c2"] is shown["c2"]
    error = np.abs(frame.images["c1"].astype(int) - images["c1"])
    assert error.max() <= 1
    with pytest.raises(ValueError, match="'c9'"):
        ColorCorrectedSource(OneFrame(cameras, shown), {"c9": torch.zeros(3, 4)})


def test_frame0_leaves_its_cameras_colours_for_the_stream(scene: Scene, tmp_path: Path) -> None:
    cameras, images, _ = scene
    config = short_config()
    config.camera_color.enabled = True
    path = tmp_path / "camera_colors.json"
    make_frame0(
        config,
        cameras,
        images,
        root=tmp_path,
        ply=None,
        background=torch.zeros(3),
        seed=0,
        colors_file=path,
    )
    assert set(read_camera_colors(path)) == {c.name for c in cameras}
