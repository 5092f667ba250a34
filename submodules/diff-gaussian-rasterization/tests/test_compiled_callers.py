"""`torch.compile` around the rasterizer: the same results, whatever it makes of the rest."""

from __future__ import annotations

from typing import Any

import diff_gaussian_rasterization as dgr
import torch
from raster_scenes import gaussians, view, with_gradients


def brightness(leaves: dict[str, Any], camera: dgr.View) -> torch.Tensor:
    out = dgr.rasterize(**leaves, view=camera)
    assert out.alpha is not None
    return torch.sin(2 * out.color).sum() + out.alpha.mean()


def test_a_compiled_caller() -> None:
    plain, compiled = (with_gradients(gaussians(40, 1)) for _ in range(2))
    expected = brightness(plain, view())
    expected.backward()
    torch.compiler.reset()
    got = torch.compile(brightness, backend="eager")(compiled, view())
    got.backward()
    torch.testing.assert_close(got, expected)
    for name, leaf in plain.items():
        torch.testing.assert_close(compiled[name].grad, leaf.grad, msg=name)
