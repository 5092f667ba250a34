"""`results.json` and `per_view.json`: how near the written renders come to the ground truth.

Source: spec `frame0.md`, section 6, with faults 16 and 17 of section 8 mended: PSNR is that of
each whole image, and LPIPS goes by the name of its input range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from igs.frame0.outputs import renders_path
from igs.metrics import ImageMetric, Lpips, Psnr, Ssim
from igs.render import load_image, to_float
from igs.scene import GaussianModelFolder
from igs.scene.files import read_json, write_json


def measure_renders(folder: str | Path, lpips: Sequence[Lpips] = ()) -> dict[str, dict[str, float]]:
    """PSNR (dB), SSIM and, where given, LPIPS of the 8-bit files of one ``ours_<k>`` folder.

    Args:
        folder: holds `renders/` and `gt/` with files of the same names.
        lpips: measured too, each under its own name.

    Returns:
        Metric to file name to figure. A perfect image has a PSNR of infinity.

    Raises:
        FileNotFoundError: no renders, or one without its ground truth; names it.
        ValueError: an image that cannot be read, or two sizes.
    """
    folder = Path(folder)
    names = sorted(path.name for path in (folder / "renders").glob("*.png"))
    if not names:
        raise FileNotFoundError(f"{folder / 'renders'}: no rendered images here")
    metrics: dict[str, ImageMetric] = {"SSIM": Ssim(), "PSNR": Psnr()}
    metrics.update({metric.name: metric for metric in lpips})
    figures: dict[str, dict[str, float]] = {name: {} for name in metrics}
    for name in names:
        image = to_float(load_image(folder / "renders" / name))
        truth = to_float(load_image(folder / "gt" / name))
        for metric, measured in metrics.items():
            figures[metric][name] = measured.update(image, truth)
    return figures


def write_results(
    model: GaussianModelFolder, iteration: str | int, lpips: Sequence[Lpips] = ()
) -> dict[str, float]:
    """Measure the test renders of one iteration and enter them into both files.

    Entries of other iterations stay.

    Args:
        model: the folder.
        iteration: as `iteration_name` gives it.
        lpips: see `measure_renders`.

    Returns:
        Metric to mean over the images.

    Raises:
        FileNotFoundError: no renders of this iteration.
        ValueError: see `measure_renders`.
    """
    figures = measure_renders(renders_path(model, "test", iteration), lpips)
    means = {name: math.fsum(of.values()) / len(of) for name, of in figures.items()}
    _enter(model.path / "results.json", f"ours_{iteration}", _finite(means))
    per_view = {name: _finite(of) for name, of in figures.items()}
    _enter(model.path / "per_view.json", f"ours_{iteration}", per_view)
    return means


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: the PSNR of a perfect image is stored as null."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _enter(path: Path, method: str, value: object) -> None:
    known = read_json(path) if path.is_file() else {}
    write_json(path, {**(known if isinstance(known, dict) else {}), method: value})
