"""Put the root folders `configs/` and `ckpt/` inside the package; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

DATA_FOLDERS = {"igs.configs": "configs", "igs.ckpt": "ckpt"}

root = Path(__file__).resolve().parent
present = {package: folder for package, folder in DATA_FOLDERS.items() if (root / folder).is_dir()}
setup(packages=[*find_packages(include=["igs", "igs.*"]), *present], package_dir=present)
