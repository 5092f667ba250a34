"""Two processes on the CPU, over gloo, learn what one learns from a batch twice as large."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from igs.training.log import read_scalars

PROGRAM = Path(__file__).with_name("two_processes.py")


def launch(root: Path, config: str, output: Path, batch: int) -> list[dict[str, Any]]:
    """Run the program under a launcher file; what each process found."""
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    command += [str(root / "acc_cfg" / config), str(PROGRAM), str(output), str(batch)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(path, weights_only=True) for path in sorted(output.glob("process*.pt"))]


@pytest.fixture(scope="module")
def runs(
    project_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, list[dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("processes")
    return {
        name: (folder / name, launch(project_root, f"{config}.yaml", folder / name, batch))
        for name, config, batch in (("one", "cpu", 2), ("two", "two_cpus", 1))
    }


def test_the_launcher_files_start_so_many_processes(runs: dict[str, Any]) -> None:
    (_, (one,)), (_, (first, second)) = runs["one"], runs["two"]
    assert one["processes"] == 1
    assert first["processes"] == second["processes"] == 2
    assert one["samples"] == [*first["samples"], *second["samples"]] == [0, 1]


def test_gradients_are_those_of_the_pooled_batch(runs: dict[str, Any]) -> None:
    (_, (one,)), (_, (first, second)) = runs["one"], runs["two"]
    nil = []
    for name, pooled in one["gradients"].items():
        assert torch.equal(first["gradients"][name], second["gradients"][name]), name
        torch.testing.assert_close(
            first["gradients"][name], pooled, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n} {m}"
        )
        nil += [name] if pooled.abs().max() < 1e-6 else []
    # The norm of the channels takes the mean out that a bias adds; nothing else may be without.
    assert not [name for name in nil if not name.endswith("bias")], nil


def test_figures_are_sums_over_counts(runs: dict[str, Any]) -> None:
    """Three validation samples on two processes: a mean of means would weigh one of them double."""
    (one_folder, (one,)), (two_folder, (first, second)) = runs["one"], runs["two"]
    assert first["validation"] == second["validation"]
    assert first["validation"] == pytest.approx(one["validation"], rel=1e-3)
    (a, *_), (b, *_) = read_scalars(one_folder), read_scalars(two_folder)
    assert a["step"] == b["step"] == 1
    for name in ("train/loss", "train/image", "train/translation", "train/gradient_norm"):
        assert a[name] == pytest.approx(b[name], rel=1e-5), name
