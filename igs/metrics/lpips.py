"""LPIPS, version 0.1 on VGG16, with weights that the user supplies.

Source: Zhang et al., CVPR 2018; spec `frame0.md`, section 6 and fault 17 of section 8.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file

from igs.metrics.image import ImageMetric

InputRange = Literal["signed", "unit"]

# Convolutions of VGG16 by their number in torchvision's `features`: output channels per stage.
_STAGES = (
    {0: 64, 2: 64},
    {5: 128, 7: 128},
    {10: 256, 12: 256, 14: 256},
    {17: 512, 19: 512, 21: 512},
    {24: 512, 26: 512, 28: 512},
)
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10
# Parts of the public files that the distance does not use, or that repeat others.
_UNUSED = re.compile(r"classifier\.|lins\.|scaling_layer\.")
_CONVOLUTION = re.compile(r"(?:features|(?:net\.)?slice\d)\.(\d+\.(?:weight|bias))")
_LINEAR = re.compile(r"lin(\d)\.model\.1\.weight")


class Lpips(ImageMetric):
    """Learned perceptual distance per image; 0 for equal images, lower is better.

    Args:
        weights: file or files (`.safetensors`, or `.pth` with tensors only) that together hold
            VGG16's convolutions (`features.<i>.weight` and `.bias`, as torchvision names them) and
            the five linear layers (`lin<k>.model.1.weight`); one file with the names of the
            `lpips` package's whole model serves too.
        input_range: `signed` maps images to -1..1, as the network was trained; `unit` feeds
            0..1, as published figures of the Gaussian splatting family do.
        device: where to compute.

    Raises:
        FileNotFoundError: no such file.
        ValueError: tensors that are missing, unexpected or misshapen; all of them are listed.

    Attributes:
        name: `lpips_vgg_signed` or `lpips_vgg_unit`, to be written beside every figure.
    """

    def __init__(
        self,
        weights: str | Path | Sequence[str | Path],
        *,
        input_range: InputRange = "signed",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(self.distance)
        if input_range not in ("signed", "unit"):
            raise ValueError(f"input_range {input_range!r} must be 'signed' or 'unit'")
        files = [weights] if isinstance(weights, (str, Path)) else list(weights)
        self._weights = {name: t.to(device) for name, t in _load(files).items()}
        self._signed = input_range == "signed"
        self.name = f"lpips_vgg_{input_range}"

    def distance(self, image: torch.Tensor, target: torch.Tensor, /) -> float:
        """Distance of two (3, H, W) images in 0..1; at least 16 pixels a side.

        Raises:
            ValueError: two shapes, or images too small.
        """
        if image.shape != target.shape or image.ndim != 3 or min(image.shape[1:]) < 16:
            raise ValueError(
                f"LPIPS needs two (3, H, W) images of at least 16 pixels a side, got "
                f"{tuple(image.shape)} and {tuple(target.shape)}"
            )
        with torch.no_grad():
            pair = torch.stack([image, target]).detach().clamp(0, 1)
            total = 0.0
            for stage, features in enumerate(self._features(pair)):
                unit = features / (features.square().sum(1, keepdim=True).sqrt() + _EPS)
                squared = (unit[0] - unit[1]).square()
                linear = self._weights[f"lin{stage}"].reshape(-1, 1, 1)
                total += float((squared * linear).sum(0).mean())
        return total

    def _features(self, images: torch.Tensor) -> list[torch.Tensor]:
        first = self._weights["0.weight"]
        x = images.to(first)
        if self._signed:
            x = 2 * x - 1
        x = (x - x.new_tensor(_SHIFT)[:, None, None]) / x.new_tensor(_SCALE)[:, None, None]
        features = []
        for stage, layers in enumerate(_STAGES):
            if stage:
                x = F.max_pool2d(x, 2)
            for layer in layers:
                weight, bias = self._weights[f"{layer}.weight"], self._weights[f"{layer}.bias"]
                x = F.relu(F.conv2d(x, weight, bias, padding=1))
            features.append(x)
        return features


def _shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    channels = 3
    for stage, layers in enumerate(_STAGES):
        for layer, out in layers.items():
            shapes[f"{layer}.weight"] = (out, channels, 3, 3)
            shapes[f"{layer}.bias"] = (out,)
            channels = out
        shapes[f"lin{stage}"] = (1, channels, 1, 1)
    return shapes


def _load(files: Sequence[str | Path]) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    unexpected = []
    for file in files:
        for name, tensor in _read(Path(file)).items():
            own = _own_name(name)
            if own is not None:
                found[own] = tensor.float()
            elif not _UNUSED.match(name):
                unexpected.append(name)
    shapes = _shapes()
    unexpected += sorted(found.keys() - shapes.keys())
    missing = sorted(shapes.keys() - found.keys())
    wrong = [
        f"{name} {tuple(found[name].shape)} must be {shape}"
        for name, shape in shapes.items()
        if name in found and tuple(found[name].shape) != shape
    ]
    faults = {"missing": missing, "unexpected": unexpected, "misshapen": wrong}
    if any(faults.values()):
        told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
        raise ValueError(f"LPIPS weights {', '.join(map(str, files))}: {told}")
    return found


def _own_name(name: str) -> str | None:
    convolution, linear = _CONVOLUTION.fullmatch(name), _LINEAR.fullmatch(name)
    if convolution:
        return convolution.group(1)
    return f"lin{linear.group(1)}" if linear else None


def _read(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    try:
        if file.suffix == ".safetensors":
            return load_file(str(file))
        return torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).split("\n", 1)[0]
        raise ValueError(f"{file}: not a file of weight tensors: {reason}") from error
