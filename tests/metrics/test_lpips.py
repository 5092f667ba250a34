"""LPIPS with random weights: the network against layers of torch, the loading, the refusals.

The trained weights are the user's and not here; what can be shown without them is that the forward
pass is the described one and that files under the public names are taken.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from igs.metrics import Lpips

PLAN = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
TAPS = (3, 8, 15, 22, 29)  # behind these layers of `features`


def features() -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for step in PLAN:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers += [nn.Conv2d(channels, step, 3, padding=1), nn.ReLU()]
        channels = step
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return features().requires_grad_(False)


@pytest.fixture(scope="module")
def weights(network: nn.Sequential) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    found = {f"features.{name}": t.clone() for name, t in network.state_dict().items()}
    for k, channels in enumerate((64, 128, 256, 512, 512)):
        found[f"lin{k}.model.1.weight"] = torch.rand(1, channels, 1, 1, generator=generator)
    return found


@pytest.fixture(scope="module")
def file(weights: dict[str, torch.Tensor], tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(weights, path)
    return path


def images(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, 37, 50, generator=generator), torch.rand(3, 37, 50, generator=generator)


@pytest.mark.parametrize("input_range", ["signed", "unit"])
def test_forward_is_the_described_one(
    network: nn.Sequential, weights: dict[str, torch.Tensor], file: Path, input_range
) -> None:
    image, target = images()
    activations = []
    for x in (image, target):
        x = x * 2 - 1 if input_range == "signed" else x
        mean = torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
        x = ((x - mean) / torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1))[None]
        taps = []
        for i, layer in enumerate(network):
            x = layer(x)
            if i in TAPS:
                taps.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        activations.append(taps)
    wanted = sum(
        nn.functional.conv2d((a - b) ** 2, weights[f"lin{k}.model.1.weight"]).mean().item()
        for k, (a, b) in enumerate(zip(*activations, strict=True))
    )
    metric = Lpips(file, input_range=input_range)
    assert metric.name == f"lpips_vgg_{input_range}"
    assert metric.update(image, target) == pytest.approx(wanted, rel=1e-4)
    assert metric.update(image, target) == metric.values[0], "the same twice"
    assert metric.update(image, image) == 0
    assert metric.compute() == pytest.approx(wanted * 2 / 3, rel=1e-4)


def test_names_of_the_public_files_are_taken(
    weights: dict[str, torch.Tensor], file: Path, tmp_path: Path
) -> None:
    wanted = Lpips(file).update(*images())
    backbone = {k: v for k, v in weights.items() if k.startswith("features")}
    backbone["classifier.0.weight"] = torch.zeros(2, 2)
    linear = {k: v for k, v in weights.items() if k.startswith("lin")}
    torch.save(backbone, tmp_path / "vgg16.pth")
    torch.save(linear, tmp_path / "lin.pth")
    assert Lpips([tmp_path / "vgg16.pth", tmp_path / "lin.pth"]).update(*images()) == wanted
    whole = {k.replace("features.", "net.slice3."): v for k, v in backbone.items()} | linear
    whole["scaling_layer.shift"] = torch.zeros(1, 3, 1, 1)
    torch.save(whole, tmp_path / "whole.pth")
    assert Lpips(tmp_path / "whole.pth").update(*images()) == wanted


def test_published_linear_layers_load(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    """torchmetrics ships the trained linear layers of LPIPS 0.1 (but not VGG16 itself)."""
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    linear = Path(spec.origin).parent / "functional/image/lpips_models/vgg.pth"
    if not linear.is_file():
        pytest.skip("this torchmetrics ships no LPIPS layers")
    save_file({k: v for k, v in weights.items() if "features" in k}, tmp_path / "vgg.safetensors")
    image, target = images()
    metric = Lpips([tmp_path / "vgg.safetensors", linear])
    near, far = metric.update(image, image + 0.01), metric.update(image, target)
    assert 0 < near < far


def test_faulty_weights_are_listed(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    bad = dict(weights)
    del bad["features.5.bias"]
    bad["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    bad["features.1.weight"] = torch.zeros(64)
    bad["head.weight"] = torch.zeros(1)
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="missing: 5.bias; unexpected: head.weight, 1.weight; "
                       r"misshapen: 0.weight \(64, 1, 3, 3\) must be \(64, 3, 3, 3\)"):  # fmt: skip
        Lpips(tmp_path / "bad.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        Lpips(tmp_path / "none.pth")
    for name in ("noise.pth", "noise.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(ValueError, match=f"{name}: not a file of weight tensors") as caught:
            Lpips(tmp_path / name)
        assert "\n" not in str(caught.value)
    torch.save({"run": print}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"code\.pth: not a file of weight tensors"):
        Lpips(tmp_path / "code.pth")


def test_bad_calls_are_refused(file: Path) -> None:
    metric = Lpips(file)
    with pytest.raises(ValueError, match="at least 16 pixels"):
        metric.update(torch.zeros(3, 15, 40), torch.zeros(3, 15, 40))
    with pytest.raises(ValueError, match="two"):
        metric.update(torch.zeros(3, 20, 20), torch.zeros(3, 20, 21))
    with pytest.raises(ValueError, match="'signed' or 'unit'"):
        Lpips(file, input_range="0..1")  # pyright: ignore[reportArgumentType]
