"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from igs.scene import SceneError, read_image, resize_image, write_image
from igs.scene.files import write_json, write_text


def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path, monkeypatch):
    path = tmp_path / "new" / "results.json"
    write_json(path, {"a": 1})

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device.*results\.json") as caught:
        write_json(path, {"a": 2})
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()
    assert path.read_text() == '{\n    "a": 1\n}\n'
    assert [entry.name for entry in path.parent.iterdir()] == ["results.json"]


def test_new_files_have_ordinary_rights(tmp_path):
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "ours", "x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_numbers_that_json_cannot_hold_are_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"psnr": float("inf")})
    assert not list(tmp_path.iterdir())


def test_images(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    write_image(tmp_path / "a.jpg", np.full((9, 7, 3), 77, np.uint8))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - 77).max() <= 1
    assert resize_image(image, 7, 9) is image
    assert resize_image(image, 3, 4).shape == (4, 3, 3)
    with pytest.raises(SceneError, match=r"a\.bmp: images are written as"):
        write_image(tmp_path / "a.bmp", image)
    with pytest.raises(SceneError, match="an image is"):
        write_image(tmp_path / "b.png", image.astype(np.float32))
