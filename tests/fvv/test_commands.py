"""`igs encode`, `igs decode`, `igs info`, from PLY files and from the folder of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from igs.cli import main
from igs.fvv import FvvReader, SourceFrame
from igs.gaussians import read_ply, write_ply
from igs.motion import Motion
from igs.scene import Camera, Rig, write_camera_list
from igs.stream.folder import RunFolder, write_motion, write_results

from .conftest import cloud, moved, stream, turn


@pytest.fixture
def plys(tmp_path: Path) -> Path:
    for frame in stream(80, 5):
        write_ply(tmp_path / "plys" / f"{frame.index}.ply", frame.gaussians)
    return tmp_path / "plys"


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    cameras = []
    for i, x in enumerate((-0.4, 0.0, 0.4)):
        pose = np.eye(4)
        pose[:3, 3] = (x, 0.0, 6.0)
        cameras.append(Camera(f"c{i}", 64, 48, 60.0, 60.0, 32.0, 24.0, pose))
    write_camera_list(tmp_path / "cameras.json", Rig.of(cameras))
    return tmp_path / "cameras.json"


def a_run(root: Path) -> list[SourceFrame]:
    """Frame 0, two candidates (one held still), and a key frame, as a session writes them."""
    folder, key = RunFolder(root), cloud(60, 3)
    index = torch.arange(0, 60, 3)
    motion = Motion(index, torch.tensor([[0.04, -0.02, 0.06]]).expand(20, 3), turn(0.04, 20))
    frames = [
        SourceFrame(0, 0.0, key),
        SourceFrame(1, 0.5, key, is_key=False),
        SourceFrame(2, 1.0, moved(key, 2), is_key=False),
        SourceFrame(3, 1.5, moved(key, 3)),
    ]
    folder.root.mkdir()
    folder.config.write_text("background: [0.0, 0.5, 1.0]\n", encoding="utf-8")
    for frame in frames:
        record = {"index": frame.index, "time": frame.seconds, "is_key": frame.is_key}
        write_results(folder.record(frame.index), {**record, "psnr": {"c0": 30.0}})
        if frame.is_key:
            write_ply(folder.key_ply(frame.index), frame.gaussians)
    write_motion(folder.motion_file(2), motion, 0)
    return frames


def test_ply_files_go_in_and_come_out(plys: Path, tmp_path: Path, capsys):
    out = tmp_path / "a.fvv"
    assert main(["encode", str(plys), str(out), "--fps", "10"]) == 0
    assert "5 frames" in capsys.readouterr().out
    assert main(["decode", str(out), str(tmp_path / "back")]) == 0
    names = sorted(p.name for p in (tmp_path / "back").iterdir())
    assert names == [f"{i:06d}.ply" for i in range(5)]
    with FvvReader(out) as reader:
        assert [f.seconds for f in reader.frames()] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
        bound = reader.header.error_bounds["position"]
    back, source = read_ply(tmp_path / "back" / "000000.ply"), read_ply(plys / "0.ply")
    distance = torch.cdist(source.means.double(), back.means.double()).min(dim=1).values
    assert distance.max() <= bound * np.sqrt(3) * 1.001


def test_a_run_goes_in(tmp_path: Path, rig: Path, capsys):
    frames, out = a_run(tmp_path / "run"), tmp_path / "a.fvv"
    assert main(["encode", str(tmp_path / "run"), str(out), "--cameras", str(rig)]) == 0
    with FvvReader(out) as reader:
        assert [e.flags for e in reader.entries] == [3, 0, 0, 2]
        assert reader.header.background == (0.0, 0.5, 1.0)
        assert [c.name for c in reader.header.cameras] == ["c0", "c1", "c2"]
        decoded = list(reader.frames())
        bound = reader.header.error_bounds["position"] * np.sqrt(3) * 1.001
    for frame, got in zip(frames, decoded, strict=True):
        assert got.seconds == pytest.approx(frame.seconds)
        distance = torch.cdist(frame.gaussians.means, got.gaussians.means).min(dim=1).values
        assert distance.max() <= bound
    capsys.readouterr()
    assert main(["info", str(out), "--json", "--check"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["frames"], report["reference_frames"], report["decoded_frames"]) == (4, 2, 4)
    assert report["damage"] == []


def test_targets_are_kept(plys: Path, tmp_path: Path, rig: Path):
    sizes = {}
    for name, words in {
        "coarse": ["--max-loss", "1.0", "--psnr", "30", "--cameras", str(rig)],
        "fine": ["--max-loss", "0.02", "--psnr", "40", "--cameras", str(rig)],
        "rate": ["--kbps", "150", "--fps", "5"],
    }.items():
        out = tmp_path / f"{name}.fvv"
        assert main(["encode", str(plys), str(out), *words]) == 0
        sizes[name] = out.stat().st_size
    assert sizes["coarse"] < 0.8 * sizes["fine"]
    with FvvReader(tmp_path / "rate.fvv") as reader:
        later = [e.num_bytes for e in reader.entries[1:]]
    assert np.mean(later) <= 150_000 / 8 / 5
    assert sizes["rate"] * 8 <= 150_000  # five frames at 5 a second


def test_a_bit_rate_holds_for_the_whole_stream(tmp_path: Path, capsys):
    """The first frames rest, so that they promise too little; what moves later costs more."""
    base = cloud(400, 1)
    for i in range(16):
        still = i < 8
        write_ply(tmp_path / f"plys/{i:02d}.ply", base if still else moved(base, i))
    out = tmp_path / "a.fvv"
    assert main(["encode", str(tmp_path / "plys"), str(out), "--fps", "10"]) == 0
    free = out.stat().st_size * 8 / 1.6e3
    bound = round(0.6 * free)
    words = ["encode", str(tmp_path / "plys"), str(out), "--fps", "10", "--kbps", str(bound)]
    assert main(words) == 0
    assert out.stat().st_size * 8 / 1.6e3 <= bound
    capsys.readouterr()
    words[-1] = str(0.02 * free)
    assert main(words) in (1, 2)
    assert "kbps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["{plys}", "a.mp4"], "must end in .fvv"),
        (["nothing", "a.fvv"], "no such file"),
        (["{plys}", "a.fvv", "--preset", "best"], "choose from"),
        (["{plys}", "a.fvv", "--max-loss", "0.1"], "--cameras"),
        (["{plys}", "a.fvv", "--kbps", "0"], "kbps"),
        (["{empty}", "a.fvv"], "neither a run"),
    ],
)
def test_bad_words_are_told_in_one_line(
    plys: Path, tmp_path: Path, monkeypatch, capsys, words: list[str], expected: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    places = {"plys": str(plys), "empty": str(tmp_path / "empty")}
    assert main(["encode", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err.strip()
    assert expected in error
    assert len(error.splitlines()) == 1


def test_frames_and_damage(plys: Path, tmp_path: Path, capsys):
    out = tmp_path / "a.fvv"
    main(["encode", str(plys), str(out)])
    assert main(["decode", str(out), str(tmp_path / "one.spz"), "--frames", "2"]) == 0
    assert (tmp_path / "one.spz").is_file()
    assert main(["decode", str(out), str(tmp_path / "some"), "--frames", "0", "3:"]) == 0
    assert sorted(p.stem for p in (tmp_path / "some").iterdir()) == ["000000", "000003", "000004"]
    assert main(["decode", str(out), str(tmp_path / "x"), "--frames", "9"]) == 2
    with FvvReader(out) as reader:
        offset = reader.entries[3].layers[0][0]
    data = bytearray(out.read_bytes())
    data[offset + 45] ^= 1
    out.write_bytes(bytes(data))
    capsys.readouterr()
    assert main(["info", str(out), "--check"]) == 1
    assert f"damage at byte {offset}, frame 3" in capsys.readouterr().out
    assert main(["decode", str(out), str(tmp_path / "rest")]) == 1
    out.write_bytes(bytes(data[: offset + 30]))
    capsys.readouterr()
    assert main(["info", str(out)]) == 1
    told = capsys.readouterr().out
    assert "cut off" in told
    assert f"30 bytes from byte {offset} on" in told
    assert main(["decode", str(out), str(tmp_path / "cut")]) == 1
    told = capsys.readouterr()
    assert f"byte {offset}: cut off, or still being written, behind frame 2" in told.err
    assert "3 of 3 frames" in told.out
    assert main(["decode", str(out), str(tmp_path / "early"), "--frames", "0:3"]) == 0
    out.write_bytes(bytes(data[:offset]))  # at the border of two chunks
    capsys.readouterr()
    assert main(["decode", str(out), str(tmp_path / "border")]) == 0
    assert f"byte {offset}: cut off" in capsys.readouterr().err
