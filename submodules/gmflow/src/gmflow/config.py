"""Sizes of the flow network; the defaults are those of the public checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

DOWNSAMPLING = 8  # three strides of two in the encoder; the upsampler undoes exactly this


@dataclass(frozen=True)
class GMFlowConfig:
    """One-scale GMFlow.

    Args:
        widths: channels of the encoder at 1/2, 1/4 and 1/8 of the image size.
        channels: feature channels C after the encoder, a multiple of 4.
        blocks: transformer blocks.
        expansion: hidden width of the feed-forward layer, in multiples of 2 C.
        windows: attention windows K per side; 1 attends over the whole map.
        upsampler_width: hidden channels of the upsampler.

    Source: spec `gmflow.md`, section 1.
    """

    widths: tuple[int, int, int] = (64, 96, 128)
    channels: int = 128
    blocks: int = 6
    expansion: int = 4
    windows: int = 2
    upsampler_width: int = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) != 3:
            raise ValueError(f"widths must name three stages, got {self.widths}")
        sizes = {
            "channels": self.channels,
            "blocks": self.blocks,
            "expansion": self.expansion,
            "windows": self.windows,
            "upsampler_width": self.upsampler_width,
        }
        sizes.update({f"widths[{i}]": width for i, width in enumerate(self.widths)})
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        if self.channels % 4:
            raise ValueError(
                f"channels must be a multiple of 4 (sine and cosine of x and y), "
                f"got {self.channels}"
            )

    @classmethod
    def small(cls) -> GMFlowConfig:
        """A seventh of the public network's parameters, for CPUs; needs weights of its own."""
        return cls(widths=(32, 48, 64), channels=64, blocks=3, expansion=2, upsampler_width=128)
