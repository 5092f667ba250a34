"""A whole run: its files, its figures, being cut off and taken up, and running out of disk."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch

from igs.cli import main
from igs.gaussians import read_ply
from igs.stream import StreamSession
from igs.stream.results import table

from .conftest import WORDS, configured, without_times


def files(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def test_every_file_of_the_spec_is_there(finished: Path) -> None:
    for name in ("experiment_config.yaml", "results.json", "free_view.mp4", "comparison.mp4"):
        assert (finished / name).stat().st_size > 0, name
    images = [f"train_pred_images_{k}.png" for k in range(8)]
    assert files(finished / "eval_pred", "*.png") == images
    assert files(finished / "free_views", "*.png") == images
    assert files(finished / "gaussians", "*") == [
        "000000.ply",
        "000003.ply",
        "000006.ply",
        "000007.ply",
    ]
    assert not list(finished.rglob("*.part"))


def test_results_hold_the_keys_and_agree_with_each_other(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    assert list(results["psnr"]) == [f"frame_{k}" for k in range(1, 8)]
    assert results["avg"] == pytest.approx(sum(results["psnr"].values()) / 7)
    assert len(results["per_frame_times"]) == 7
    assert len(results["points_num"]) == len(results["mask_num"]) == 3
    summary, frames = results["summary"], results["frames"]
    assert [f["index"] for f in frames if f["is_key"]] == [0, 3, 6, 7]
    assert summary["psnr_frame0"] == pytest.approx(frames[0]["psnr"]["cam02"])
    assert summary["psnr_last_key"] == pytest.approx(frames[7]["psnr"]["cam02"])
    written = sum(path.stat().st_size for path in (finished / "gaussians").iterdir())
    assert summary["bytes_per_frame"] * 8 == pytest.approx(written)
    assert sum(f["bytes"] for f in frames) == written
    assert summary["num_gaussians"] == len(read_ply(finished / "gaussians" / "000007.ply"))
    assert summary["peak_memory_mb"] > 50
    assert {"decode", "refine", "evaluate", "write"} <= set(summary["seconds_by_stage"])


def test_the_same_command_gives_the_same_results(
    finished: Path, toy_capture: Path, tmp_path: Path
) -> None:
    again = StreamSession(configured(toy_capture, tmp_path / "again")).run()
    first = json.loads((finished / "results.json").read_text())
    assert without_times(json.loads(json.dumps(again))) == without_times(first)


def test_a_new_run_moves_the_old_one_aside(toy_capture: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    config = configured(toy_capture, output, "data.num_frames=2", "write.videos=false")
    StreamSession(config).run()
    (output / "notes.txt").write_text("mine")
    StreamSession(config).run()
    assert (tmp_path / "run.previous" / "notes.txt").read_text() == "mine"
    assert not (output / "notes.txt").exists()


def test_every_frame_as_ply_on_request(toy_capture: Path, tmp_path: Path) -> None:
    config = configured(toy_capture, tmp_path / "run", "write.every_ply=true", "data.num_frames=3")
    StreamSession(config).run()
    assert files(tmp_path / "run" / "gaussians", "*") == ["000000.ply", "000001.ply", "000002.ply"]


def test_frame_0_can_be_optimised_here(toy_capture: Path, tmp_path: Path) -> None:
    words = ("frame0.mode=optimise", "frame0.ply=null", "frame0.iterations=30", "data.num_frames=1")
    init = ("frame0.init.mode=random", "frame0.init.max_points=300", "frame0.sh_degree=0")
    result = StreamSession(configured(toy_capture, tmp_path / "run", *words, *init)).run()
    assert result["summary"]["num_gaussians"] == len(read_ply(tmp_path / "run" / "frame0.ply"))
    assert result["summary"]["seconds_by_stage"]["frame0"] > 0


def test_the_command_line_says_where_things_are(
    toy_capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {{root: '{toy_capture}'}}\n")
    output = tmp_path / "out"
    words = [*WORDS, f"output={output}", "data.num_frames=4"]
    assert main(["stream", "--config", str(path), *words]) == 0
    said = capsys.readouterr().out
    for name in ("results.json", "gaussians", "free_view.mp4"):
        assert str(output / name) in said
    assert "motion=none" in said
    assert main(["evaluate", str(output)]) == 0
    assert "PSNR" in capsys.readouterr().out


def test_comparison_modes_share_frame_0_and_one_table(
    toy_capture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"data: {{root: '{toy_capture}'}}\n")
    words = [*WORDS, f"output={tmp_path / 'modes'}", "data.num_frames=4"]
    assert main(["stream", "--config", str(path), "--compare", *words]) == 0
    said = capsys.readouterr().out
    assert "agm: left out" in said
    rows = {line.split()[0] for line in said.splitlines() if line}
    assert {"hold", "none"} <= rows
    both = [read_ply(tmp_path / "modes" / mode / "frame0.ply") for mode in ("hold", "none")]
    assert torch.equal(both[0].means, both[1].means)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("unreadable video", r"cam03\.mp4"),
        ("fewer frames", r"cam03"),
        ("camera missing from the model", r"cam03"),
        ("video missing", r"cam03"),
        ("truncated ply", r"frame0\.ply"),
        ("no such root", r"no such folder"),
    ],
)
def test_bad_input_is_one_line_that_names_it(
    toy_capture: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: str,
    message: str,
) -> None:
    root = tmp_path / "capture"
    shutil.copytree(toy_capture, root)
    _damage(root, damage)
    words = [f"data.root={root}", f"output={tmp_path / 'out'}", *WORDS]
    path = tmp_path / "run.yaml"
    path.write_text("seed: 0\n")
    assert main(["stream", "--config", str(path), *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("igs: error:")
    assert re.search(message, error), error
    assert not (tmp_path / "out" / "results.json").exists()


def _damage(root: Path, damage: str) -> None:
    video = root / "videos" / "cam03.mp4"
    if damage == "unreadable video":
        video.write_bytes(b"not a video" * 100)
    elif damage == "fewer frames":
        from igs.render.video import write_video

        write_video(video, [torch.zeros(3, 32, 48)] * 5, 30)
    elif damage == "camera missing from the model":
        tree = json.loads((root / "cameras.json").read_text())
        del tree["cameras"]["cam03"]
        (root / "cameras.json").write_text(json.dumps(tree))
    elif damage == "video missing":
        video.unlink()
    elif damage == "truncated ply":
        whole = (root / "frame0.ply").read_bytes()
        (root / "frame0.ply").write_bytes(whole[: len(whole) - 100])
    else:
        shutil.rmtree(root)


@pytest.mark.parametrize("at", ["the first frame", "the largest file"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    finished: Path, toy_capture: Path, tmp_path: Path, at: str
) -> None:
    resource = pytest.importorskip("resource", reason="file size limits need a POSIX system")
    sizes = [path.stat().st_size for path in finished.rglob("*") if path.is_file()]
    limit = 2000 if at == "the first frame" else max(sizes) - 1
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
        with pytest.raises(OSError, match=r"run.*\.(ply|safetensors|png|yaml|mp4|json)") as caught:
            StreamSession(configured(toy_capture, tmp_path / "run")).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "run").rglob("*.part"))
    for path in (tmp_path / "run").rglob("*.ply"):
        read_ply(path)


def test_the_table_shows_a_dash_for_what_is_not_known() -> None:
    text = table({"a": {"psnr_mean": 30.0}, "b": {"num_gaussians": 5}})
    assert text.splitlines()[2].split()[:3] == ["a", "30.00", "-"]
