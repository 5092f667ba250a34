"""`igs export web`: a folder that is whole, plays, and replaces nothing by accident."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from igs.cli import main
from igs.fvv import FvvConfig, FvvError, FvvReader
from igs.serve.export import PLAYER, export_web

from .conftest import Dump
from .streams import stream, write


@pytest.fixture
def player(tmp_path: Path) -> Path:
    """Stands in for the built player."""
    folder = tmp_path / "built"
    folder.mkdir()
    for name in ("index.html", "player.js", "worker.js", "manifest.json"):
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    return write(tmp_path / "my demo #1.fvv", stream(count=60, frames=8), FvvConfig(level=3))


def test_folder(tmp_path: Path, player: Path, recording: Path) -> None:
    video = tmp_path / "Left View.MP4"
    video.write_bytes(b"a video")
    out = tmp_path / "site"
    made = export_web(recording, out, title="A title", videos={"left": video}, player=player)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == {
        "title": "A title",
        "recording": "my%20demo%20%231.fvv",
        "videos": {"left": "videos/00.mp4"},
    }
    assert (out / unquote(manifest["recording"])).read_bytes() == recording.read_bytes()
    assert (out / "videos/00.mp4").read_bytes() == b"a video"
    assert (out / "index.html").read_text() == "index.html"
    assert (made.num_files, made.num_frames) == (6, 8)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_nothing_is_replaced_by_accident(tmp_path: Path, player: Path, recording: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    export_web(recording, out, player=player)  # an empty folder is fine
    with pytest.raises(FileExistsError, match="holds an export; --force replaces it"):
        export_web(recording, out, player=player)
    export_web(recording, out, title="new", replace=True, player=player)
    assert json.loads((out / "manifest.json").read_text())["title"] == "new"
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter1.tex").write_text("much work")
    with pytest.raises(FileExistsError, match="not empty, and no export"):
        export_web(recording, other, replace=True, player=player)
    with pytest.raises(FileExistsError, match="is a file"):
        export_web(recording, recording, replace=True, player=player)


def test_a_failed_export_leaves_what_was_there(
    tmp_path: Path, player: Path, recording: Path
) -> None:
    out = tmp_path / "site"
    export_web(recording, out, title="old", player=player)
    broken = tmp_path / "broken.fvv"
    broken.write_bytes(b"no recording")
    with pytest.raises(FvvError, match=r"not an \.fvv file"):
        export_web(broken, out, replace=True, player=player)
    with pytest.raises(ValueError, match="has no camera 'right'; its cameras: left"):
        export_web(recording, out, videos={"right": recording}, replace=True, player=player)
    gone = {"left": tmp_path / "gone.mp4"}
    with pytest.raises(FileNotFoundError, match="no such video"):
        export_web(recording, out, videos=gone, replace=True, player=player)
    with pytest.raises(FileNotFoundError, match="the player is not built"):
        export_web(recording, tmp_path / "new", player=tmp_path / "nothing")
    assert json.loads((out / "manifest.json").read_text())["title"] == "old"
    assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_unfinished_recording_gets_its_index(
    tmp_path: Path, player: Path, recording: Path
) -> None:
    with FvvReader(recording) as reader:
        offset, _ = reader.entries[6].layers[0]
    cut = tmp_path / "cut.fvv"
    cut.write_bytes(recording.read_bytes()[: offset + 50])
    made = export_web(cut, tmp_path / "site", player=player)
    assert made.num_frames == 6
    with FvvReader(tmp_path / "site" / "cut.fvv") as reader:
        assert reader.indexed
        assert [frame.index for frame in reader.frames()] == list(range(6))


def test_without_frames(tmp_path: Path, player: Path, recording: Path) -> None:
    with FvvReader(recording) as reader:
        offset, _ = reader.entries[0].layers[0]
    empty = tmp_path / "empty.fvv"
    empty.write_bytes(recording.read_bytes()[:offset])
    with pytest.raises(FvvError, match="holds no frames"):
        export_web(empty, tmp_path / "site", player=player)


def test_command(
    tmp_path: Path, recording: Path, dump: Callable[..., Dump], capsys: pytest.CaptureFixture[str]
) -> None:
    if not (PLAYER / "index.html").is_file():
        pytest.skip("the player is not built")
    out = tmp_path / "site"
    words = ["export", "web", str(out), "--file", str(recording)]
    assert main(words) == 0
    assert "8 frames" in capsys.readouterr().out
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*words, "--force", "--video", "left"]) == 2
    assert "must be CAMERA=FILE" in capsys.readouterr().err
    name = unquote(json.loads((out / "manifest.json").read_text())["recording"])
    assert len(dump(out / name).frames) == 8
