"""Settings of the motion network that its weights fix; those of a run are in `config.schema`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from gmflow import GMFlowConfig


@dataclass(frozen=True)
class AGMConfig:
    """AGM-Net itself. Weights fit one such config; the defaults are the published sizes.

    Attributes:
        flow: sizes of the flow features; their channels C run through the whole network.
        network_size: side S of the square input images, pixels.
        anchors: anchors M among the Gaussians in the box.
        neighbours: anchors K that each Gaussian's motion is interpolated from.
        distance_weight: the interpolation weights are softmax(-distance_weight * distance).
        width: width of the anchor transformer.
        heads: its attention heads.
        blocks: its depth.
        groups: groups of its input norm.
        double_normalise: divide images by 255 twice, as the released weights were trained.
        normalise_world: measure positions from the centre of the box, in units of half its
            diagonal, so that neither origin nor unit of the world matters. The released weights
            know world units only.
        visible_mean: average anchor features over the views that see the anchor, not over all.
        triangulate: match the images to the end and give the network the motion that flow in
            several calibrated views amounts to (`triangulate.py`, `consensus.py`), instead of
            leaving it to find out the cameras' geometry from harmonics. Needs weights of its own
            and flow features with their matching part.

    Source: spec `agm_net.md`, sections 1 and 16.
    """

    flow: GMFlowConfig = field(default_factory=GMFlowConfig)
    network_size: int = 512
    anchors: int = 8192
    neighbours: int = 8
    distance_weight: float = 10.0
    width: int = 512
    heads: int = 8
    blocks: int = 4
    groups: int = 32
    double_normalise: bool = False
    normalise_world: bool = False
    visible_mean: bool = False
    triangulate: bool = False

    def __post_init__(self) -> None:
        for name in ("network_size", "anchors", "neighbours", "width", "heads", "blocks", "groups"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.network_size % (8 * self.flow.windows):
            raise ValueError(
                f"network_size must be a multiple of {8 * self.flow.windows}, "
                f"got {self.network_size}"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.channels % self.groups:
            raise ValueError(
                f"flow.channels {self.channels} must be a multiple of groups {self.groups}"
            )
        if self.distance_weight <= 0:
            raise ValueError(f"distance_weight must be positive, got {self.distance_weight}")

    @property
    def channels(self) -> int:
        """Feature channels C."""
        return self.flow.channels

    @property
    def map_size(self) -> int:
        """Side F of the feature maps that anchors are projected to."""
        return self.network_size // 8 * 2

    @classmethod
    def released(cls) -> AGMConfig:
        """What the released weights were trained with."""
        return cls(double_normalise=True)

    @classmethod
    def small(cls) -> AGMConfig:
        """A size for streaming on CPUs, scale-free; needs weights of its own."""
        return cls(
            flow=GMFlowConfig.small(),
            network_size=256,
            anchors=1024,
            distance_weight=60.0,
            width=128,
            heads=4,
            blocks=2,
            groups=16,
            normalise_world=True,
            visible_mean=True,
            triangulate=True,
        )

    def to_json(self) -> str:
        """One line of JSON, kept in our weight files."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AGMConfig:
        """Read back `to_json`.

        Raises:
            ValueError: not such a text, unknown settings or values out of range.
        """
        try:
            values = json.loads(text)
            return cls(**{**values, "flow": GMFlowConfig(**values["flow"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a network config: {error}") from error
