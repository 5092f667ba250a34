"""Motion maps: what changed between two frames, seen from one camera."""

from __future__ import annotations

from gmflow import TransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F


def resize_images(images: Tensor, size: int, antialias: bool = True) -> Tensor:
    """Squash images to the network's square input; the fields of view account for the aspect.

    Args:
        images: (..., 3, H, W) float, 0..1.
        size: side of the result, pixels.
        antialias: low-pass when making smaller. The released weights were trained without.

    Returns:
        (..., 3, size, size), 0..1, bilinear.
    """
    flat = images.reshape(-1, *images.shape[-3:])
    resized = F.interpolate(
        flat, (size, size), mode="bilinear", align_corners=False, antialias=antialias
    )
    return resized.clamp(0, 1).reshape(*images.shape[:-2], size, size)


class MotionMaps(nn.Module):
    """Flow features of both frames to one motion map of twice their resolution.

    One more block of the flow transformer's kind, unshifted, updates the key frame's features
    from the candidate's; then bilinear upsampling and a convolution.

    Source: spec `agm_net.md`, sections 2, 3 and 12.
    """

    def __init__(self, channels: int, expansion: int, windows: int) -> None:
        super().__init__()
        self.windows = windows
        self.block = TransformerBlock(channels, expansion)
        self.upsample = nn.Conv2d(channels, channels, 3, padding=1)
        for parameter in self.block.parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)

    def relate(self, features0: Tensor, features1: Tensor) -> Tensor:
        """(B, C, h, w) of key frame and candidate to the (B, C, h, w) motion feature."""
        source, target = (f.permute(0, 2, 3, 1) for f in (features0, features1))
        return self.block(source, target, self.windows).permute(0, 3, 1, 2)

    def enlarge(self, motion: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C, 2h, 2w)."""
        doubled = F.interpolate(motion, scale_factor=2, mode="bilinear", align_corners=False)
        return self.upsample(doubled)

    def forward(self, features0: Tensor, features1: Tensor) -> Tensor:
        """(B, C, h, w) of key frame and candidate to (B, C, 2h, 2w)."""
        return self.enlarge(self.relate(features0, features1))


def colour_range(images: Tensor, double_normalise: bool) -> Tensor:
    """Images 0..1 to what the flow network takes, 0..255.

    The released weights were trained on images left at 0..1, which the flow network then divides
    by 255 once more (spec `gmflow.md`, section 9); `double_normalise` keeps that.
    """
    return images if double_normalise else images * 255
