"""Names of weights to files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from igs.motion import find_weights


def test_a_file_is_itself(tmp_path: Path):
    file = tmp_path / "mine.safetensors"
    file.touch()
    assert find_weights(file) == file


def test_a_folder_gives_its_model(tmp_path: Path):
    (tmp_path / "flow.safetensors").touch()
    (tmp_path / "model.safetensors").touch()
    assert find_weights(tmp_path) == tmp_path / "model.safetensors"


def test_a_released_folder_gives_the_pickle(tmp_path: Path):
    (tmp_path / "15").mkdir()
    (tmp_path / "15" / "pytorch_model.bin").touch()
    (tmp_path / "experiment_config.yaml").touch()
    assert find_weights(tmp_path) == tmp_path / "15" / "pytorch_model.bin"


def test_folders_that_leave_a_doubt_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no weights in it"):
        find_weights(tmp_path)
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"several weight files \(a.* b"):
        find_weights(tmp_path)


def test_a_missing_file_is_no_hub_id(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FileNotFoundError, match=r"somewhere/else\.safetensors: no such file"):
        find_weights("somewhere/else.safetensors")


def test_a_hub_id_without_the_client_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"someone/weights: .*pip install 'igs\[hub\]'"):
        find_weights("someone/weights")


def test_a_hub_id_is_downloaded(tmp_path: Path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "model.safetensors").touch()
    asked = []

    def download(repo: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repo, revision, "model.safetensors" in allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert find_weights("someone/weights@v2") == tmp_path / "model.safetensors"
    assert asked == [("someone/weights", "v2", True)]


def test_a_failed_download_is_one_line(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def fail(*_: object, **__: object) -> str:
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(ValueError, match=r"someone/weights: .*\(no route to host\)$"):
        find_weights("someone/weights")
