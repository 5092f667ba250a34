"""Half a turn about x: from y down and z forward to y up and z backward, and back."""

from __future__ import annotations

import torch

from igs.gaussians import Gaussians

# Signs of the basis functions under (x, y, z) -> (x, -y, -z), degrees 0 to 3.
_SH_SIGNS = (1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1)


def turned_about_x(gaussians: Gaussians) -> Gaussians:
    """The same Gaussians in axes turned by 180 degrees about x; its own inverse.

    Covariances and colours turn along: harmonics of odd order in y and z change sign.
    """
    means = gaussians.means * gaussians.means.new_tensor([1.0, -1.0, -1.0])
    quats = gaussians.quats * gaussians.quats.new_tensor([1.0, 1.0, -1.0, -1.0])
    signs = torch.tensor(_SH_SIGNS[: gaussians.sh.shape[1]]).to(gaussians.sh)
    return gaussians.replace(means=means, quats=quats, sh=gaussians.sh * signs[:, None])
