"""From optical flow in several views to the motion of points in space.

Not part of the published network: it hands over what calibrated cameras already tell, so that
what is left to learn is whom to believe. Used where `AGMConfig.triangulate` is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from igs.motion.lift import NEAREST, intrinsics_from_fov, project, sample, sampling_grid, seen_share
from igs.motion.patches import Patches, cut_patches, follow

STEPS = 3  # Gauss-Newton steps; each also lowers the weight of views that contradict the others
DEPTH_SLACK = 0.05  # network units behind the rendered depth at which a point is half hidden
DEPTH_SOFTNESS = 0.02
PRIOR = 30.0  # squared pixels per squared network unit: how strongly points prefer to stay
SHARPNESS = 30.0  # certainty (per squared pixel) of a patch per unit of its summed gradients
CUES = 3  # correction of the flow, misfit, certainty: see `Triangulation._believed`
CLEAREST = 20.0  # no patch is more certain than that
MISFIT = 20.0  # what is left of the colour difference, as a feature
OUTLIER = 3.0  # pixels: a view this far off counts half


@dataclass(frozen=True)
class KeyGeometry:
    """Where the Gaussians in the box are, and how the anchors among them are seen.

    n Gaussians, M anchors, V views; lengths in network units.

    Attributes:
        points: (n, 3) float32, centres of the Gaussians.
        quats: (n, 4) float32, their unit rotations, w first.
        anchors: (M, 3) float32, centres of the anchors.
        colors: (M, 3) float32, what the anchors look like from everywhere, about 0..1.
        cameras: (V, 4, 4) float32, world to camera.
        intrinsics: (V, 3, 3) float32, pixels of the input images.
        pixels: (V, M, 2) float32, where the anchors are seen.
        visible: (V, M) float32, 0 hidden or outside the picture, 1 seen.
        patches: the key images around the anchors, one entry per level.
    """

    points: Tensor
    quats: Tensor
    anchors: Tensor
    colors: Tensor
    cameras: Tensor
    intrinsics: Tensor
    pixels: Tensor
    visible: Tensor
    patches: list[Patches]

    def to(self, device: torch.device | str) -> KeyGeometry:
        """The same on another device."""
        names = [f.name for f in fields(self) if f.name != "patches"]
        moved = {name: getattr(self, name).to(device) for name in names}
        return replace(self, **moved, patches=[level.to(device) for level in self.patches])

    @classmethod
    def of_key(
        cls,
        points: Tensor,
        quats: Tensor,
        colors: Tensor,
        anchor_rows: Tensor,
        cameras: Tensor,
        fov: Tensor,
        depth: Tensor,
        images: Tensor,
    ) -> KeyGeometry:
        """From what `AGMNet.encode_key` knows.

        Args:
            points: (n, 3) float32, network units.
            quats: (n, 4), of any length.
            colors: (n, 3), 0..1, as seen from everywhere.
            anchor_rows: (M,) int64.
            cameras: (V, 4, 4), network units.
            fov: (V, 2), radians.
            depth: (V, Hd, Wd) float32, network units, 0 where nothing is seen.
            images: (V, 3, H, W) float32, 0..1.
        """
        size = images.shape[-2], images.shape[-1]
        anchors = points[anchor_rows]
        intrinsics = intrinsics_from_fov(fov, *size)
        pixels, z = project(anchors, cameras, intrinsics)
        grid = sampling_grid(pixels, z, *size)
        shown = sample(depth[:, None], grid)[..., 0]
        # Something must be drawn there at all: empty pixels have depth 0.
        unhidden = torch.sigmoid((shown + DEPTH_SLACK - z) / DEPTH_SOFTNESS) * (shown > 0)
        visible = unhidden * seen_share(grid, *size)
        quats = F.normalize(quats.float(), dim=-1, eps=1e-12)
        patches = cut_patches(images, depth, pixels, z, visible)
        shown = (points, quats, anchors, colors[anchor_rows].float())
        return cls(*shown, cameras, intrinsics, pixels, visible, patches)


@dataclass(frozen=True)
class SeenMotion:
    """What flow says about the anchors.

    Attributes:
        translation: (M, 3) float32, network units; 0 where no view sees the anchor.
        flow: (V, M, 2) float32, what each view saw, pixels.
        error: (V, M) float32, pixels between what a view sees and what the translation gives.
        support: (M,) float32, sum of the views' weights, 0 where the translation is a guess.
    """

    translation: Tensor
    flow: Tensor
    error: Tensor
    support: Tensor


class Triangulation(nn.Module):
    """Damped, robust least squares over the views, with learned weights.

    Args:
        channels: C of the map features that tell how far a view's flow can be believed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        opinion = nn.Linear(channels, 1)
        nn.init.zeros_(opinion.weight)
        nn.init.ones_(opinion.bias)
        self.confidence = nn.Sequential(nn.Linear(channels + CUES, channels), nn.SiLU(), opinion)
        self.log_prior = nn.Parameter(torch.tensor(PRIOR).log())
        self.log_outlier = nn.Parameter(torch.tensor(OUTLIER).log())

    def forward(
        self, geometry: KeyGeometry, starts: Sequence[Tensor], features: Tensor, images: Tensor
    ) -> SeenMotion:
        """Motion of the anchors.

        Args:
            geometry: of the key frame.
            starts: (V, M, 2) float32 each, guesses of the flow at the anchors, pixels of the
                input images, the flow network's first.
            features: (V, M, C) float32, map features at the anchors.
            images: (V, 3, H, W) float32, 0..1, the other frame.

        Returns:
            See `SeenMotion`; differentiable in the first flow, features and the module's weights.
        """
        with torch.no_grad():
            followed, misfit = follow(geometry.patches, images, starts)
            certainty = _certainty(geometry.patches[-1].hessian)
        # The alignment has no gradient: what trains the flow network sees its own flow.
        target = geometry.pixels + starts[0] + (followed - starts[0]).detach()
        believed = self._believed(geometry, features, followed - starts[0], misfit, certainty)
        moved = torch.zeros_like(geometry.anchors)
        error, jacobian = _error(geometry, moved, target)
        for _ in range(STEPS):
            distance = error.square().sum(dim=-1) / (2 * self.log_outlier).exp()
            weights = believed / (1 + distance)
            moved = moved + self._step(jacobian, error, weights, certainty, moved)
            error, jacobian = _error(geometry, moved, target)
        error = (error.square().sum(dim=-1) + 1e-8).sqrt()
        return SeenMotion(moved, followed, error, weights.sum(dim=0))

    def _believed(
        self,
        geometry: KeyGeometry,
        features: Tensor,
        correction: Tensor,
        misfit: Tensor,
        certainty: Tensor,
    ) -> Tensor:
        clear = certainty.diagonal(dim1=-2, dim2=-1).amin(dim=-1).log()
        cues = torch.stack([correction.norm(dim=-1).log1p(), MISFIT * misfit, clear], dim=-1)
        known = torch.cat([features, cues], dim=-1)
        return torch.sigmoid(self.confidence(known))[..., 0] * geometry.visible

    def _step(
        self, jacobian: Tensor, error: Tensor, weights: Tensor, certainty: Tensor, moved: Tensor
    ) -> Tensor:
        prior = self.log_prior.exp()
        weighted = torch.einsum("vmij,vmik->vmkj", jacobian, certainty * weights[..., None, None])
        normal = torch.einsum("vmij,vmik->mjk", weighted, jacobian)
        normal = normal + prior * torch.eye(3, device=normal.device)
        right = torch.einsum("vmij,vmi->mj", weighted, error) - prior * moved
        return solve3(normal, right)


def flow_of(geometry: KeyGeometry, moved: Tensor) -> Tensor:
    """(V, M, 2) pixels that anchors moved by (M, 3), network units, move in the views."""
    return -_error(geometry, moved, geometry.pixels)[0]


def solve3(matrices: Tensor, right: Tensor) -> Tensor:
    """Solve (M, 3, 3) symmetric positive systems for (M, 3); thousands of small ones at once."""
    rows = matrices.unbind(dim=1)
    cross = torch.stack(
        [
            torch.linalg.cross(rows[1], rows[2]),
            torch.linalg.cross(rows[2], rows[0]),
            torch.linalg.cross(rows[0], rows[1]),
        ],
        dim=2,
    )
    determinant = (rows[0] * cross[:, :, 0]).sum(dim=1, keepdim=True)
    return (cross @ right[:, :, None])[:, :, 0] / determinant.clamp(min=1e-20)


def _certainty(hessian: Tensor) -> Tensor:
    """(V, M, 2, 2): inverse covariance of the flow, per squared pixel, at least the network's own.

    Along an edge a patch knows nothing, and says so.
    """
    eye = torch.eye(2, device=hessian.device)
    sharp = SHARPNESS * hessian
    return eye + sharp / (1 + sharp.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None] / CLEAREST)


def _error(geometry: KeyGeometry, moved: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """(V, M, 2) pixels to the target, and the (V, M, 2, 3) derivative of the pixels."""
    rotation = geometry.cameras[:, :3, :3]
    camera = (geometry.anchors + moved) @ rotation.transpose(1, 2)
    camera = camera + geometry.cameras[:, None, :3, 3]
    z = camera[..., 2:].clamp(min=NEAREST)
    focal = geometry.intrinsics[:, None, [0, 1], [0, 1]]
    center = geometry.intrinsics[:, None, :2, 2]
    on_plane = camera[..., :2] / z
    # d(x/z) = (e_x - x/z e_z) / z, turned into world axes.
    rows = rotation[:, None, :2] - on_plane[..., None] * rotation[:, None, 2:]
    jacobian = (focal / z)[..., None] * rows
    return target - (on_plane * focal + center), jacobian
