"""Use the rasterizer alone: fit 2D-looking Gaussians to one picture by gradient descent.

python examples/02_fit_an_image.py [picture.png]
"""

import os
import sys

import numpy as np
import torch
from fused_ssim import photometric_loss

from igs.gaussians import Gaussians
from igs.render import render
from igs.render.images import load_image, save_png, to_float
from igs.scene import Camera

QUICK = os.environ.get("IGS_EXAMPLE_QUICK") == "1"


def rings(size: int = 128) -> torch.Tensor:
    """A (3, size, size) test picture."""
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    r = (x * x + y * y).sqrt()
    return torch.stack([(r * f).sin() * 0.5 + 0.5 for f in (9.0, 12.0, 15.0)])


target = to_float(load_image(sys.argv[1])) if len(sys.argv) > 1 else rings()
height, width = target.shape[1:]
camera = Camera("front", width, height, width, width, width / 2, height / 2, np.eye(4))

n, generator = 800, torch.Generator().manual_seed(0)
means = torch.rand(n, 3, generator=generator) - 0.5
means[:, 1] *= height / width
means[:, 2] = 1.0
parameters = [
    means.requires_grad_(),
    torch.full((n, 3), -3.5).requires_grad_(),
    torch.nn.functional.pad(torch.ones(n, 1), (0, 3)).requires_grad_(),
    torch.zeros(n).requires_grad_(),
    torch.zeros(n, 1, 3).requires_grad_(),
]
optimizer = torch.optim.Adam(parameters, lr=0.01)
for step in range(10 if QUICK else 400):
    image = render(Gaussians(*parameters), camera).color
    loss = photometric_loss(image, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(f"step {step:4d}  loss {loss.item():.4f}")
save_png("outputs/fit.png", image)
print(f"final loss {loss.item():.4f}: outputs/fit.png")
