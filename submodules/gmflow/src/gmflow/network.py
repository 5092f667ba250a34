"""The flow network, and the part of it that other networks use as a feature extractor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gmflow.config import DOWNSAMPLING, GMFlowConfig
from gmflow.encoder import Encoder
from gmflow.matching import Propagation, Upsampler, global_matching
from gmflow.padding import Padding
from gmflow.transformer import FeatureTransformer
from gmflow.windows import windowed_position

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)


class FeatureExtractor(nn.Module):
    """Features of an image pair that know of each other: encoder, position, transformer.

    This is GMFlow up to matching; `encode` and `relate` are its two halves, for callers that meet
    one image in many pairs.

    Args:
        config: sizes of the network.

    Source: spec `gmflow.md`, sections 2 to 6.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: GMFlowConfig | None = None) -> None:
        super().__init__()
        self.config = config or GMFlowConfig()
        self.encoder = Encoder(self.config)
        self.transformer = FeatureTransformer(
            self.config.channels, self.config.blocks, self.config.expansion
        )
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(3, 1, 1), persistent=False)
        initialise(self)

    def normalise(self, images: Tensor) -> Tensor:
        """Colours 0..255 to the range the encoder was trained on."""
        return (images / 255 - self.mean) / self.std

    def encode(self, images: Tensor, windows: int | None = None) -> Tensor:
        """Features of single images, before they meet a partner.

        Args:
            images: (B, 3, H, W) RGB, 0..255; H and W multiples of 8 * windows.
            windows: attention windows per side that `relate` will use; None for the config's.

        Returns:
            (B, C, H/8, W/8).

        Raises:
            ValueError: images of another shape or size.
        """
        multiple = DOWNSAMPLING * (windows or self.config.windows)
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W), got {tuple(images.shape)}")
        if images.shape[2] % multiple or images.shape[3] % multiple or not images[0, 0].numel():
            raise ValueError(
                f"image height and width must be multiples of {multiple}, got "
                f"{images.shape[2]} x {images.shape[3]}; pad or resize"
            )
        return self.encoder(self.normalise(images))

    def relate(
        self, features0: Tensor, features1: Tensor, windows: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Let two encoded images look at each other.

        Args:
            features0: (B, C, h, w) from `encode`.
            features1: the same of the other images, in the same order.
            windows: attention windows per side; None for the config's.

        Returns:
            Both maps after the transformer, (B, C, h, w) each.
        """
        windows = windows or self.config.windows
        if features0.shape != features1.shape:
            raise ValueError(
                f"the two feature maps differ in shape: {tuple(features0.shape)} and "
                f"{tuple(features1.shape)}"
            )
        channels, height, width = features0.shape[1:]
        position = windowed_position(height, width, channels, windows, features0)
        return self.transformer(features0 + position, features1 + position, windows)

    def forward(
        self, images0: Tensor, images1: Tensor, windows: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Features of both images of each pair; see `encode` and `relate` for the shapes."""
        if images0.shape != images1.shape:
            raise ValueError(
                f"the two image batches differ in shape: {tuple(images0.shape)} and "
                f"{tuple(images1.shape)}"
            )
        features = self.encode(torch.cat([images0, images1]), windows)
        features0, features1 = features.chunk(2)
        return self.relate(features0, features1, windows)


class GMFlow(FeatureExtractor):
    """One-scale GMFlow: dense optical flow by global matching.

    Args:
        config: sizes of the network.

    Source: GMFlow (CVPR 2022); spec `gmflow.md`.
    """

    def __init__(self, config: GMFlowConfig | None = None) -> None:
        super().__init__(config)
        self.propagation = Propagation(self.config.channels)
        self.upsampler = Upsampler(self.config.channels, self.config.upsampler_width)
        initialise_matrices(self.propagation)

    def forward(
        self,
        images0: Tensor,
        images1: Tensor,
        windows: int | None = None,
        bidirectional: bool = False,
    ) -> Tensor:
        """Flow from the first images to the second.

        Args:
            images0: (B, 3, H, W) RGB, 0..255; H and W multiples of 8 * windows.
            images1: the images to find it in, same shape.
            windows: attention windows per side; None for the config's.
            bidirectional: also the flow back, as a second half of the batch.

        Returns:
            (B, 2, H, W) float32, or (2B, 2, H, W); pixels, channel 0 = x to the right.
        """
        features0, features1 = super().forward(images0, images1, windows)
        with torch.autocast(images0.device.type, enabled=False):
            return self.match(features0.float(), features1.float(), bidirectional)

    def match(self, features0: Tensor, features1: Tensor, bidirectional: bool = False) -> Tensor:
        """Flow from related features: matching, propagation and upsampling, in float32."""
        if bidirectional:
            features0, features1 = (
                torch.cat([features0, features1]),
                torch.cat([features1, features0]),
            )
        coarse = self.propagation(features0, global_matching(features0, features1))
        return self.upsampler(features0, coarse)

    @torch.no_grad()
    def flow(
        self,
        images0: Tensor,
        images1: Tensor,
        windows: int | None = None,
        bidirectional: bool = False,
        pad_bottom: bool = False,
    ) -> Tensor:
        """Flow of images of any size: borders are repeated for the network and cut off again.

        Args:
            images0: (B, 3, H, W) or (3, H, W) RGB, 0..255, any dtype.
            images1: the same of the second images.
            windows: attention windows per side; None for the config's.
            bidirectional: also the flow back, as a second half of the batch.
            pad_bottom: put all vertical padding below (KITTI) instead of half above.

        Returns:
            (B, 2, H, W) float32, or (2B, 2, H, W); pixels, channel 0 = x. A single pair in
            gives (2, H, W), with `bidirectional` (2, 2, H, W).
        """
        single = images0.ndim == 3
        pair = [self._as_batch(images) for images in (images0, images1)]
        multiple = DOWNSAMPLING * (windows or self.config.windows)
        height, width = pair[0].shape[-2:]
        padding = Padding.to_multiple(height, width, multiple, pad_bottom)
        flow = self(padding.pad(pair[0]), padding.pad(pair[1]), windows, bidirectional)
        flow = padding.crop(flow)
        return flow[0] if single and not bidirectional else flow

    def _as_batch(self, images: Tensor) -> Tensor:
        if images.ndim not in (3, 4) or images.shape[-3] != 3:
            raise ValueError(f"images must be (B, 3, H, W), got {tuple(images.shape)}")
        return images.to(self.mean).reshape(-1, *images.shape[-3:])


def initialise(network: FeatureExtractor) -> None:
    """Starting weights for training, as in spec `gmflow.md`, section 8."""
    for module in network.encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    initialise_matrices(network.transformer)


def initialise_matrices(module: nn.Module) -> None:
    """Xavier uniform for every matrix; vectors keep their defaults."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
