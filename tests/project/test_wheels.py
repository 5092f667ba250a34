"""Wheels of igs and of every submodule work in an environment that knows no source tree.

The compiled wheels are those that `make setup` built and keeps in `.venv/.wheels`, as long as no
source is newer; otherwise they are built here, in isolation, from a copy of the sources.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUBMODULES = sorted(path.parent for path in ROOT.glob("submodules/*/pyproject.toml"))
IGNORED = shutil.ignore_patterns(
    "build", "dist", "tests", "__pycache__", "*.egg-info", ".*", "outputs"
)

pytestmark = pytest.mark.slow

# Runs in the throw-away environment, in an empty folder. Prints one line of JSON.
PROBE = """
import importlib, json, pathlib, sys
import torch
from igs.config import resources
from igs.gaussians import Gaussians
from diff_gaussian_rasterization import GaussianRasterizationSettings, GaussianRasterizer
from simple_knn._C import distCUDA2
import fused_ssim, gmflow

size, eye = 16, torch.eye(4)
projection = torch.zeros(4, 4)
projection[0, 0] = projection[1, 1] = projection[3, 2] = 1
projection[2, 2], projection[2, 3] = 100 / 99.99, -1 / 99.99
settings = dict(
    image_height=size, image_width=size, tanfovx=1.0, tanfovy=1.0, bg=torch.zeros(3),
    scale_modifier=1.0, viewmatrix=eye, projmatrix=projection.T.contiguous(), sh_degree=0,
    campos=torch.zeros(3), prefiltered=False, debug=False,
)
fields = GaussianRasterizationSettings._fields
means = torch.tensor([[0.0, 0.0, 2.0]])
color = GaussianRasterizer(GaussianRasterizationSettings(**settings))(
    means3D=means, means2D=torch.zeros_like(means), opacities=torch.ones(1, 1),
    colors_precomp=torch.tensor([[1.0, 0.5, 0.25]]), scales=torch.full((1, 3), 0.3),
    rotations=torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
)[0]
names = ["igs", "diff_gaussian_rasterization", "simple_knn", "fused_ssim", "gmflow"]
names += ["nvrtc_kernels"]
loaded = [m for n, m in sys.modules.items() if n.split(".")[0].startswith(tuple(names))]
print(json.dumps({
    "files": [m.__file__ for m in loaded if getattr(m, "__file__", None)],
    "path": sys.path,
    "center": color[:, size // 2, size // 2].tolist(),
    "corner": color[:, 0, 0].tolist(),
    "distance": distCUDA2(torch.eye(4)[:, :3].contiguous()).tolist(),
    "configs": resources.config_names(),
    "demo": str(resources.config_path("configs/demo.yaml")),
}))
"""


def pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def newest(folder: Path) -> float:
    skipped = {"build", "dist", "tests", "__pycache__"}
    files = (f for f in folder.rglob("*") if f.is_file() and not skipped & set(f.parts))
    return max(f.stat().st_mtime for f in files if "egg-info" not in str(f))


def wheel_of(source: Path, scratch: Path) -> Path:
    """The wheel of one package, kept by the set-up or built now."""
    kept = sorted((ROOT / ".venv" / ".wheels" / source.name).glob("*.whl"))
    if source != ROOT and len(kept) == 1 and kept[0].stat().st_mtime > newest(source):
        return kept[0]
    copy, out = scratch / "source" / source.name, scratch / "wheels" / source.name
    ignored = IGNORED if source != ROOT else ignored_in_root
    shutil.copytree(source, copy, ignore=ignored)
    pip("wheel", "--no-deps", "--wheel-dir", str(out), str(copy))
    return next(out.glob("*.whl"))


def ignored_in_root(folder: str, names: list[str]) -> set[str]:
    """Of the root, a build reads igs, the data folders and the files beside them."""
    ignored = set(IGNORED(folder, names))
    if Path(folder) == ROOT:
        wanted = {"igs", "configs", "ckpt"}
        ignored |= {n for n in names if (ROOT / n).is_dir() and n not in wanted}
    return ignored


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    scratch = tmp_path_factory.mktemp("wheels")
    return [wheel_of(source, scratch) for source in [ROOT, *SUBMODULES]]


@pytest.fixture(scope="module")
def elsewhere(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our wheels; everything else is borrowed from the one that runs this.

    The borrowed folder is a plain entry at the end of `sys.path`: its own `.pth` files, which make
    the editable install of igs work, are not read, and ours are found first.
    """
    folder = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(folder, with_pip=False)
    pip("--python", str(program(folder, "python")), "install", "--no-deps", *map(str, wheels))
    packages = next(folder.rglob("site-packages"))
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n", encoding="utf-8")
    return folder


def program(environment: Path, name: str) -> Path:
    windows = os.name == "nt"
    return environment / ("Scripts" if windows else "bin") / (f"{name}.exe" if windows else name)


def run(environment: Path, folder: Path, name: str, *words: str) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(program(environment, name)), *words],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_every_package_has_its_wheel(wheels: list[Path]):
    names = {wheel.name.split("-")[0] for wheel in wheels}
    parts = ("rasterizer", "simple_knn", "fused_ssim", "gmflow", "nvrtc_kernels")
    assert names == {"igs", *(f"igs_{part}" for part in parts)}


def test_wheels_hold_what_they_must_and_nothing_else(wheels: list[Path]):
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            inside = archive.namelist()
        assert any(name.endswith("licenses/LICENSE") for name in inside), wheel.name
        assert any(name.endswith("py.typed") for name in inside), wheel.name
        strangers = [n for n in inside if {"tests", "bench", "build"} & set(n.split("/"))]
        assert not strangers, wheel.name


def test_packaged_configs_are_those_of_the_root(wheels: list[Path]):
    with zipfile.ZipFile(wheels[0]) as archive:
        inside = {
            n.removeprefix("igs/") for n in archive.namelist() if n.startswith("igs/configs/")
        }
    assert inside == {f.relative_to(ROOT).as_posix() for f in (ROOT / "configs").rglob("*.yaml")}


def test_native_wheels_do_not_ask_for_torch_when_built():
    for source in SUBMODULES:
        text = (source / "pyproject.toml").read_text(encoding="utf-8")
        requires = text[text.index("[build-system]") :].split("]", 2)[1]
        assert "torch" not in requires, source.name


def test_works_from_an_empty_folder_without_the_sources(elsewhere: Path, tmp_path: Path):
    found = json.loads(run(elsewhere, tmp_path, "python", "-I", "-c", PROBE).splitlines()[-1])
    home = str(elsewhere.resolve())
    strangers = [f for f in found["files"] if not str(Path(f).resolve()).startswith(home)]
    assert not strangers, "loaded from outside the throw-away environment"
    assert str(ROOT) not in found["path"]
    assert found["center"][0] > 0.5
    assert found["center"][1] == pytest.approx(found["center"][0] / 2, rel=1e-5)
    assert found["corner"] == [0, 0, 0]
    assert found["distance"][3] == pytest.approx(1)
    assert "demo" in found["configs"]
    assert found["demo"].startswith(str(elsewhere))


def test_the_command_works(elsewhere: Path, tmp_path: Path):
    report = run(elsewhere, tmp_path, "igs", "doctor")
    assert "missing" not in report
    assert str(program(elsewhere, "python")) in report
    assert not list(tmp_path.iterdir())
