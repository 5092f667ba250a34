"""Cameras that differ in exposure and white balance: an affine colour per camera.

What a camera shows is ``M c + b`` of the scene's colour c (3 x 3 and 3 numbers), learned with the
Gaussians. Scene and corrections could trade a common factor, so the mean over all cameras is held
at the identity, and each is drawn toward it. A camera that took no part keeps the identity.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from igs.scene.errors import SceneError
from igs.scene.files import read_json, write_json

FORMAT = "igs-camera-colors-1"


class CameraColors:
    """Affine colours of V cameras, optimised by an Adam of their own.

    Args:
        names: the cameras that take part.
        rate: learning rate.
        weight: of the mean squared distance from the identity in the loss.
        device: where the colours are applied.
    """

    def __init__(
        self,
        names: Sequence[str],
        rate: float = 0.002,
        weight: float = 0.1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.names = list(names)
        self._rows = {name: i for i, name in enumerate(self.names)}
        self._weight = weight
        self._offsets = torch.zeros(len(self.names), 3, 4, device=device, requires_grad=True)
        self._adam = torch.optim.Adam([self._offsets], lr=rate, eps=1e-15)

    @property
    def matrices(self) -> torch.Tensor:
        """(V, 3, 4), outside any graph."""
        return self._offsets.detach() + torch.eye(3, 4, device=self._offsets.device)

    def set_rate(self, rate: float) -> None:
        """Learning rate from the next step on."""
        self._adam.param_groups[0]["lr"] = rate

    def apply(self, color: torch.Tensor, name: str) -> torch.Tensor:
        """What this camera shows of a rendered (3, H, W) image; differentiable in both."""
        row = self._rows.get(name)
        if row is None:
            return color
        offset = self._offsets[row]
        mixed = torch.einsum("ij,jhw->ihw", offset[:, :3], color)
        return color + mixed + offset[:, 3, None, None]

    def penalty(self, name: str) -> torch.Tensor:
        """Pull of one camera toward the identity."""
        return self._weight * self._offsets[self._rows[name]].square().mean()

    def step(self) -> None:
        """One Adam step where there is a gradient; the mean goes back to the identity."""
        if self._offsets.grad is None:
            return
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        with torch.no_grad():
            self._offsets -= self._offsets.mean(dim=0, keepdim=True)

    def state_tensors(self) -> dict[str, torch.Tensor]:
        """All that the next steps depend on."""
        state = {"offsets": self._offsets.detach().clone()}
        for key, value in self._adam.state.get(self._offsets, {}).items():
            state[key] = value.clone()
        return state

    def load_state_tensors(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from `state_tensors` of the same cameras.

        Raises:
            ValueError: another number of cameras.
        """
        if state["offsets"].shape != self._offsets.shape:
            raise ValueError(
                f"camera colours of {len(state['offsets'])} cameras cannot serve {len(self.names)}"
            )
        with torch.no_grad():
            self._offsets.copy_(state["offsets"])
        moments = {key: value.clone() for key, value in state.items() if key != "offsets"}
        if moments:
            self._adam.state[self._offsets] = moments

    def report(self) -> dict[str, dict[str, Any]]:
        """See `colors_report`."""
        return colors_report(dict(zip(self.names, self.matrices, strict=True)))


def colors_report(colors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, Any]]:
    """Per camera the mean gain and offset (0..1) of each channel, to be shown.

    Args:
        colors: camera name to (3, 4) matrix.
    """
    table = {}
    for name, matrix in colors.items():
        gain, offset = matrix[:, :3].sum(dim=1), matrix[:, 3]
        table[name] = {
            "gain": [round(float(g), 4) for g in gain],
            "offset": [round(float(o), 4) for o in offset],
        }
    return table


def write_camera_colors(
    path: str | os.PathLike[str], names: Sequence[str], matrices: torch.Tensor
) -> None:
    """Write ``{"format", "cameras": {name: 3 x 4 rows}}``, whole or not at all."""
    cameras = {name: m.tolist() for name, m in zip(names, matrices.cpu(), strict=True)}
    write_json(path, {"format": FORMAT, "cameras": cameras})


def read_camera_colors(path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Camera name to (3, 4) float32, as `write_camera_colors` wrote it.

    Raises:
        FileNotFoundError: no such file.
        SceneError: another format or a matrix of another shape; names the file and the camera.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise SceneError(f'{path}: "format" must be {FORMAT!r}')
    colors = {}
    for name, rows in data.get("cameras", {}).items():
        try:
            matrix = torch.tensor(rows, dtype=torch.float32)
        except (TypeError, ValueError):
            matrix = torch.empty(0)
        if matrix.shape != (3, 4) or not matrix.isfinite().all():
            raise SceneError(f"{path}: camera {name!r} needs 3 rows of 4 finite numbers")
        colors[str(name)] = matrix
    return colors


def apply_color(color: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """``M c + b`` of a (3, H, W) image with a (3, 4) matrix."""
    matrix = matrix.to(color)
    return torch.einsum("ij,jhw->ihw", matrix[:, :3], color) + matrix[:, 3, None, None]


def aligned(image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The image under the affine colour that fits the target best (least squares).

    For figures of a camera whose colours no training could know; they must be named
    "colour-aligned", since the target takes part.

    Args:
        image: (3, H, W) rendered.
        target: (3, H, W) captured.
    """
    source = torch.cat([image.flatten(1), torch.ones_like(image[:1]).flatten(1)]).double()
    wanted = target.flatten(1).double()
    # Normal equations: 4 x 4, well-conditioned for colours in 0..1, and far faster than a QR.
    gram = source @ source.T + 1e-6 * torch.eye(4, dtype=torch.float64, device=image.device)
    matrix = torch.linalg.solve(gram, source @ wanted.T).T
    return apply_color(image, matrix.to(image))
