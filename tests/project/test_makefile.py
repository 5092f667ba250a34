"""The Makefile and script/make_venv.sh: what would run, and what is said when a tool is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / "script" / "make_venv.sh"

pytestmark = pytest.mark.skipif(
    os.name == "nt" or shutil.which("make") is None, reason="needs make and a POSIX sh"
)

# What the script itself needs, and no Python or compiler.
POSIX_TOOLS = ("sh", "uname", "mktemp", "rm", "sed", "mkdir", "cat")


def make(*words: str, folder: Path = ROOT) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *words], cwd=folder, env=clean, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for the PATH that holds the POSIX tools alone."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for tool in POSIX_TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An empty project that has only the set-up script."""
    folder = tmp_path / "project"
    (folder / "script").mkdir(parents=True)
    shutil.copy(SETUP, folder / "script" / SETUP.name)
    return folder


def set_up(step: str, project: Path, tools: Path, **variables: str):
    return subprocess.run(
        ["sh", "script/make_venv.sh", step],
        cwd=project,
        env={"PATH": str(tools), "TMPDIR": str(project), **variables},
        capture_output=True,
        text=True,
    )


def fake_python(tools: Path, version: str, has_venv: bool = True) -> Path:
    """A program that answers the script's questions like a Python of that version."""
    program = tools / "python3"
    program.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *version_info*) echo {version} ;;\n"
        f"  *ensurepip*) exit {0 if has_venv else 1} ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    return program


def test_demo_and_test_say_what_they_run():
    assert "infer_batch.py --config configs/demo.yaml" in make("-n", "demo")
    planned = make("-n", "test")
    steps = ["ruff check .", "ruff format --check .", "-m pyright", "-m pytest -n 2"]
    places = [planned.index(step) for step in steps]
    assert places == sorted(places)
    assert "--dist loadfile -m parity" in make("-n", "test-parity")
    assert "make test-parity" in make("help")


def test_every_submodule_is_installed():
    rows = make("-pn", "help").splitlines()
    names = next(row for row in rows if row.startswith("SUBMODULES")).split(":=")[1].split()
    folders = {path.parent.name for path in ROOT.glob("submodules/*/pyproject.toml")}
    assert set(names) == folders


def test_no_python_names_the_cure(project: Path, tools: Path):
    done = set_up("venv", project, tools)
    assert done.returncode != 0
    assert "no usable Python 3.10 to 3.13" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(("version", "found"), [("3.9", "Python 3.9"), ("3.14", "Python 3.14")])
def test_a_python_out_of_range_is_named(project: Path, tools: Path, version: str, found: str):
    fake_python(tools, version)
    done = set_up("venv", project, tools)
    assert done.returncode != 0
    assert f"python3 is {found}; 3.10 to 3.13 is needed" in done.stderr


def test_a_python_without_venv_names_the_package(project: Path, tools: Path):
    fake_python(tools, "3.12", has_venv=False)
    done = set_up("venv", project, tools)
    assert done.returncode != 0
    assert "has no venv module" in done.stderr
    assert "python3.12-venv" in done.stderr


def test_a_chosen_python_that_is_absent(project: Path, tools: Path):
    done = set_up("venv", project, tools, PYTHON="/nowhere/python3")
    assert done.returncode != 0
    assert "PYTHON=/nowhere/python3: no such program" in done.stderr


def test_no_compiler_names_the_cure(project: Path, tools: Path):
    done = set_up("compiler", project, tools)
    assert done.returncode != 0
    assert "no C++ compiler" in done.stderr
    assert "cure:" in done.stderr


def test_a_compiler_that_fails_shows_its_words(project: Path, tools: Path):
    compiler = tools / "c++"
    compiler.write_text("#!/bin/sh\necho optional: no such header\nexit 1\n")
    compiler.chmod(0o755)
    done = set_up("compiler", project, tools)
    assert done.returncode != 0
    assert "optional: no such header" in done.stderr
    assert "cannot build a C++17 program" in done.stderr


@pytest.mark.parametrize("trouble", ["python that does not run", "interrupted", "moved"])
def test_a_broken_environment_is_made_anew(project: Path, tools: Path, trouble: str):
    venv = project / ".venv"
    (venv / "bin").mkdir(parents=True)
    if trouble == "python that does not run":
        (venv / "bin" / "python").symlink_to("/nowhere/python3")
    elif trouble == "interrupted":
        (venv / "bin" / "python").symlink_to(sys.executable)
        (venv / ".incomplete").touch()
    else:
        (venv / "bin" / "python").symlink_to(sys.executable)
        (venv / ".place").write_text("/nowhere\n")
    (venv / "left-over").touch()
    done = set_up("venv", project, tools, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert "made anew" in done.stdout
    assert not (venv / "left-over").exists()
    again = set_up("venv", project, tools, PYTHON=sys.executable)
    assert (again.returncode, again.stdout) == (0, "")
