"""The files that ship are what the sources give, and the sources are sound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VIEWER = ROOT / "viewer"
SHIPPED = ROOT / "igs" / "serve" / "player"


def run(words: list[str], folder: Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=seconds)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources with the packages of the lock file."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("sources") / "viewer"
    shutil.copytree(VIEWER, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    if done.returncode != 0:
        if os.environ.get("CI"):
            pytest.fail(f"npm ci failed: {done.stderr[-2000:]}")
        pytest.skip("the player's packages cannot be had here (npm ci failed)")
    return folder


def test_the_files_that_ship_are_what_the_sources_give(sources: Path):
    done = run(["node", "scripts/verify.mjs", "--shipped", str(SHIPPED)], sources)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types(sources: Path):
    done = run(["npm", "run", "--silent", "check"], sources)
    assert done.returncode == 0, done.stdout


def test_units(sources: Path):
    done = run(["npm", "run", "--silent", "test"], sources)
    assert done.returncode == 0, done.stdout[-4000:]


def test_the_lock_file_names_no_registry():
    lock = json.loads((VIEWER / "package-lock.json").read_text())
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or "integrity" in package, name


def test_the_page_states_the_policy_that_the_server_sends():
    pytest.importorskip("fastapi")
    from igs.serve.player import CONTENT_SECURITY

    page = (SHIPPED / "index.html").read_text()
    # `frame-ancestors` has no effect in a page.
    assert CONTENT_SECURITY.partition("; frame-ancestors")[0] in page
