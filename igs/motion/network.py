"""AGM-Net: key frame once, then the motion of its Gaussians for any number of candidates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from gmflow import FeatureExtractor, GMFlow
from torch import Tensor, nn
from torch.nn import functional as F

from igs.motion.anchors import (
    farthest_points,
    first_point,
    inside_box,
    interpolate,
    nearest_anchors,
    neighbour_weights,
)
from igs.motion.condition import ModulatedNorm, camera_rays, condition_maps
from igs.motion.config import AGMConfig
from igs.motion.consensus import RigidLift, Sighting
from igs.motion.decoder import MotionDecoder
from igs.motion.features import MotionMaps, colour_range
from igs.motion.key_state import KeyState, World
from igs.motion.lift import (
    intrinsics_from_fov,
    mean_over_seeing_views,
    mean_over_views,
    project,
    sample,
    sampling_grid,
)
from igs.motion.motion import Motion, quaternion_product
from igs.motion.transformer import AnchorTransformer
from igs.motion.triangulate import KeyGeometry, flow_of

if TYPE_CHECKING:
    from igs.gaussians import Gaussians


class AGMNet(nn.Module):
    """Anchor-driven Gaussian motion network.

    The flow features are frozen unless `flow.requires_grad_(True)` is called; they stay in
    evaluation mode.

    Args:
        config: sizes; weights fit one config.
        flow: flow features to use; None makes untrained ones.

    Source: IGS (CVPR 2025), section 3; spec `agm_net.md`.
    """

    def __init__(self, config: AGMConfig | None = None, flow: FeatureExtractor | None = None):
        super().__init__()
        self.config = config = config or AGMConfig()
        if flow is not None and flow.config != config.flow:
            raise ValueError(f"flow features of {flow.config} do not fit {config.flow}")
        needed = GMFlow if config.triangulate else FeatureExtractor
        if flow is not None and not isinstance(flow, needed):
            raise ValueError("triangulate needs flow features with their matching part (GMFlow)")
        self.flow = flow if flow is not None else needed(config.flow)
        self.flow.requires_grad_(False)
        self.flow.eval()
        self.maps = MotionMaps(config.channels, config.flow.expansion, config.flow.windows)
        self.condition = ModulatedNorm(config.channels)
        self.transformer = AnchorTransformer(
            config.channels, config.width, config.heads, config.blocks, config.groups
        )
        self.decoder = MotionDecoder(config.channels)
        self.rigid = RigidLift(config.channels) if config.triangulate else None
        if self.rigid is not None:
            self.decoder.start_at_rest()

    def train(self, mode: bool = True) -> AGMNet:
        """Training mode for all but the flow features."""
        super().train(mode)
        self.flow.eval()
        return self

    def encode_key(
        self,
        gaussians: Gaussians,
        images: Tensor,
        depth: Tensor,
        world_to_camera: Tensor,
        fov: Tensor,
        box: Tensor,
        *,
        anchors: int | None = None,
        first_anchor: int | None = None,
        generator: torch.Generator | None = None,
        anchor_rows: Tensor | None = None,
    ) -> KeyState:
        """Do once per key frame what does not depend on the candidate.

        In training mode the state carries gradients to the network's weights; in evaluation mode
        it never does. Anchors and geometry carry none.

        Args:
            gaussians: N Gaussians of the key frame, world axes.
            images: (V, 3, H, W) float32, 0..1, RGB; H and W multiples of 16 (for two windows),
                square for weights trained so; see `resize_images`.
            depth: (V, Hd, Wd) float32, expected depth along each camera's z axis, world units, 0
                where nothing is seen.
            world_to_camera: (V, 4, 4), rigid, OpenCV axes.
            fov: (V, 2), horizontal and vertical field of view, radians.
            box: (2, 3), minimum and maximum corner, world units.
            anchors: number of anchors M; None for the config's. Fewer Gaussians in the box than
                that are all anchors.
            first_anchor: where farthest point sampling starts, counted among the Gaussians in
                the box; None for the one nearest their centroid.
            generator: draws the first anchor instead.
            anchor_rows: (M,) int64, the anchors themselves, counted among the Gaussians in the
                box, instead of sampling.

        Returns:
            The state to hand to `predict`; with no Gaussian in the box it is empty and valid.

        Raises:
            ValueError: inputs whose shapes do not fit, or images or depth with NaN or infinity.
        """
        _check_views(images, depth, world_to_camera, fov, box)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            box = box.to(gaussians.means)
            world = World.of_box(box) if self.config.normalise_world else World.as_given(box)
            inside = inside_box(gaussians.means, box)
            points = world.points(gaussians.means[inside]).float()
            if anchor_rows is None:
                count = self.config.anchors if anchors is None else anchors
                anchor_rows = _choose_anchors(points, count, first_anchor, generator)
            neighbours, weights = self._interpolation(points, points[anchor_rows])
            size = images.shape[-2] // 8 * 2, images.shape[-1] // 8 * 2
            cameras, fov = world.cameras(world_to_camera.float()), fov.float()
            grid = _anchor_grid(points[anchor_rows], cameras, fov, *size)
            rays = camera_rays(cameras, fov, *size)
            depth = depth.float() / world.unit
            condition = condition_maps(rays, depth)
            geometry = None
            if self.rigid is not None:
                geometry = KeyGeometry.of_key(
                    points,
                    gaussians.quats[inside],
                    gaussians.base_colors[inside],
                    anchor_rows,
                    cameras,
                    fov,
                    depth,
                    images.float(),
                )
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            shift, scale = self.condition.modulation(condition)
            features = self.flow.encode(self._colours(images))
        return KeyState(
            inside,
            anchor_rows,
            neighbours,
            weights,
            grid,
            features,
            shift,
            scale,
            world.unit,
            geometry,
        )

    @torch.no_grad()
    def predict(
        self, key: KeyState, next_images: Tensor, previous: Motion | None = None
    ) -> list[Motion]:
        """Motion from a key frame to each of B candidate frames.

        Args:
            key: from `encode_key`.
            next_images: (B, V, 3, H, W) float32, 0..1, the candidates seen by the key frame's
                cameras, in the same order and size. B is free: memory grows with it, results of
                one candidate do not depend on the others.
            previous: motion from the same key frame to an earlier candidate, as a further guess
                of where to look; networks that do not triangulate take no notice of it.

        Returns:
            B motions of the Gaussians in the box.
        """
        return self([key] * len(next_images), next_images, [previous] * len(next_images))

    def forward(
        self,
        keys: Sequence[KeyState],
        next_images: Tensor,
        previous: Sequence[Motion | None] | None = None,
    ) -> list[Motion]:
        """Motion for B pairs of key and candidate frame, differentiable.

        Args:
            keys: B states, equal or of different scenes; anchors and Gaussians may differ in
                number, views and image size may not.
            next_images: (B, V, 3, H, W) float32, 0..1.
            previous: B motions or None, see `predict`.

        Returns:
            B motions.

        Raises:
            ValueError: the two do not fit each other.
        """
        _check_candidates(keys, next_images)
        if not keys:
            return []
        maps, flow = self._maps(keys, next_images)
        views = next_images.shape[1]
        with torch.autocast(maps.device.type, enabled=False):
            flows = [None] * len(keys) if flow is None else flow.split(views)
            before = previous or [None] * len(keys)
            images = next_images.float()
            rows = zip(keys, maps.float().split(views), flows, images, before, strict=True)
            lifted = [self._lift(*row) for row in rows]
        moved = [f.float() for f in self._relate_anchors([at_anchors for at_anchors, _ in lifted])]
        with torch.autocast(maps.device.type, enabled=False):
            seen = [motion for _, motion in lifted]
            return [self._decode(*row) for row in zip(keys, moved, seen, strict=True)]

    def _colours(self, images: Tensor) -> Tensor:
        return colour_range(images, self.config.double_normalise)

    def _interpolation(self, points: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        neighbours, distance = nearest_anchors(points, anchors, self.config.neighbours)
        return neighbours, neighbour_weights(distance, self.config.distance_weight)

    def _maps(self, keys: Sequence[KeyState], next_images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Conditioned motion maps, (B V, C, h, w), candidate by candidate, and dense flow."""
        encoded = self.flow.encode(self._colours(next_images.flatten(0, 1)))
        related = self.flow.relate(torch.cat([key.features for key in keys]), encoded)
        flow = None
        if self.rigid is not None and isinstance(self.flow, GMFlow):
            with torch.autocast(encoded.device.type, enabled=False):
                flow = self.flow.match(related[0].float(), related[1].float())
        maps = self.maps(*related)
        shift = torch.cat([key.shift for key in keys])
        scale = torch.cat([key.scale for key in keys])
        return self.condition(maps, shift, scale), flow

    def _lift(
        self,
        key: KeyState,
        maps: Tensor,
        flow: Tensor | None = None,
        images: Tensor | None = None,
        previous: Motion | None = None,
    ) -> tuple[Tensor, Sighting | None]:
        """Features of one key's anchors, (M, C) float32, and what the views show of them."""
        samples = sample(maps, key.grid)
        if self.config.visible_mean:
            at_anchors = mean_over_seeing_views(samples, key.grid, *maps.shape[-2:])
        else:
            at_anchors = mean_over_views(samples)
        if self.rigid is None or key.geometry is None or flow is None or images is None:
            return at_anchors, None
        at_pixels = sample(flow, key.grid)
        starts = [at_pixels, torch.zeros_like(at_pixels)]
        if previous is not None:
            moved = previous.translation[key.anchors] / key.unit
            starts.append(flow_of(key.geometry, moved))
        seen = self.rigid.triangulation(key.geometry, starts, samples, images)
        observed = self.rigid.observation(key.geometry.anchors, seen)
        return at_anchors + observed, Sighting(seen, samples, images)

    def _relate_anchors(self, features: list[Tensor]) -> list[Tensor]:
        """The anchor transformer; samples of one length go through it together."""
        if len({len(f) for f in features}) == 1 and len(features[0]):
            return list(self.transformer(torch.stack(features)))
        return [self.transformer(f[None])[0] if len(f) else f for f in features]

    def _decode(self, key: KeyState, features: Tensor, seen: Sighting | None) -> Motion:
        if len(key.inside) == 0:
            empty = features.new_zeros(0, 7)
            return Motion(key.inside, empty[:, :3], empty[:, 3:])
        translation, rotation = self.decoder(interpolate(features, key.neighbours, key.weights))
        rotation = F.normalize(rotation, dim=-1, eps=1e-12)
        if self.rigid is not None and key.geometry is not None and seen is not None:
            interpolation = key.neighbours, key.weights
            moved, turned = self.rigid(key.geometry, seen, features, interpolation)
            translation, rotation = translation + moved, quaternion_product(turned, rotation)
        return Motion(key.inside, translation * key.unit, rotation)


def _choose_anchors(
    points: Tensor, count: int, first: int | None, generator: torch.Generator | None
) -> Tensor:
    if len(points) == 0:
        return torch.empty(0, dtype=torch.int64, device=points.device)
    first = first_point(points, generator) if first is None else first
    return farthest_points(points, count, first)


def _anchor_grid(
    anchors: Tensor, world_to_camera: Tensor, fov: Tensor, height: int, width: int
) -> Tensor:
    pixels, depth = project(anchors, world_to_camera, intrinsics_from_fov(fov, height, width))
    return sampling_grid(pixels, depth, height, width)


def _check_views(
    images: Tensor, depth: Tensor, world_to_camera: Tensor, fov: Tensor, box: Tensor
) -> None:
    views = len(images)
    wanted = {
        "images": (images, ("V", 3, "H", "W"), 4),
        "depth": (depth, ("V", "Hd", "Wd"), 3),
        "world_to_camera": (world_to_camera, ("V", 4, 4), 3),
        "fov": (fov, ("V", 2), 2),
    }
    for name, (tensor, shape, ndim) in wanted.items():
        fits = tensor.ndim == ndim and len(tensor) == views > 0
        if not fits or any(
            isinstance(size, int) and got != size
            for got, size in zip(tensor.shape, shape, strict=True)
        ):
            text = ", ".join(str(size) for size in shape)
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}, must be ({text}) with V = {views} views"
            )
    for name, tensor in (("images", images), ("depth", depth)):
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name} must be finite (depth 0 where nothing is seen)")
    if tuple(box.shape) != (2, 3):
        raise ValueError(f"box has shape {tuple(box.shape)}, must be (2, 3)")


def _check_candidates(keys: Sequence[KeyState], next_images: Tensor) -> None:
    if len(keys) != len(next_images):
        raise ValueError(f"{len(keys)} key states for {len(next_images)} candidate frames")
    if next_images.ndim != 5 or next_images.shape[2] != 3:
        raise ValueError(f"next_images must be (B, V, 3, H, W), got {tuple(next_images.shape)}")
    views, _, height, width = next_images.shape[1:]
    for key in keys:
        got = (key.features.shape[0], 8 * key.features.shape[2], 8 * key.features.shape[3])
        if got != (views, height, width):
            raise ValueError(
                f"next_images show {views} views of {height} x {width} pixels, "
                f"the key frame {got[0]} of {got[1]} x {got[2]}"
            )
