"""`.splat`: 32 bytes a Gaussian, no harmonics, most important first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from igs.gaussians import SH_C0, Gaussians
from igs.scene.files import write_bytes

_ROW = np.dtype(
    [("position", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)]
)


def write_splat(path: str | Path, gaussians: Gaussians) -> None:
    """Write positions, standard deviations, RGBA and quaternions (w x y z, 128 is zero).

    Axes stay as they are, as other programs do. Colour that depends on the view is left out.

    Raises:
        OSError: it cannot be written.
    """
    gaussians = gaussians.detach().to("cpu")
    scales, opacities = gaussians.scales.numpy(), gaussians.opacities.numpy()
    rows = np.zeros(len(gaussians), _ROW)
    rows["position"], rows["scale"] = gaussians.means.numpy(), scales
    color = 0.5 + SH_C0 * gaussians.sh[:, 0].numpy()
    rgba = np.concatenate([color, opacities[:, None]], axis=1)
    rows["rgba"] = np.clip(np.rint(rgba * 255), 0, 255)
    rows["rotation"] = np.clip(np.rint(gaussians.unit_quats.numpy() * 128 + 128), 0, 255)
    # Programs that show a file while it loads want what fills most of the picture first.
    importance = scales.astype(np.float64).prod(axis=1) * opacities
    write_bytes(path, rows[np.argsort(-importance, kind="stable")].tobytes())
