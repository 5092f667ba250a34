"""`igs evaluate`: runs side by side, and what is no run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from igs.cli import main


def write(folder: Path, text: str) -> str:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(text)
    return str(folder)


def test_runs_of_one_name_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        write(tmp_path / day / "demo", json.dumps({"summary": {"psnr_mean": value}}))
        for day, value in (("monday", 30.0), ("tuesday", 31.5))
    ]
    assert main(["evaluate", *runs]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split()[:3] for row in rows] == [[runs[0], "30.00", "-"], [runs[1], "31.50", "-"]]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"summary": 5}'])
def test_what_is_no_run_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert main(["evaluate", write(tmp_path / "run", text)]) == 2
    assert "results.json: not the results of a run" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "gone")]) == 2
    assert "no such file" in capsys.readouterr().err
