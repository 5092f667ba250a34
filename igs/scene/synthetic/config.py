"""What synthetic scenes are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

RIG_KINDS = ("arc", "meeting", "ring")
PART_KINDS = ("rigid", "articulated", "bending", "breathing")
_COUNTS = ("num_gaussians", "num_parts", "image_long_side")
_POSITIVE = ("speed", "field_of_view", "world_unit")


@dataclass(frozen=True)
class SyntheticSceneConfig:
    """Ranges (lowest, highest) and shares that a scene is drawn from.

    Attributes:
        num_gaussians: in the whole scene; met within some percent.
        num_parts: moving parts.
        moving_share: of all Gaussians, those of moving parts.
        part_kinds: which kinds there are: "rigid", "articulated", "bending" (also twisting and
            waving), "breathing".
        still_share: of the parts, those that do not move at all in the whole scene.
        still_scenes: share of scenes in which nothing moves.
        speed: fastest motion of a part per frame, as a share of the diagonal of the region that
            things move in; drawn log-uniformly.
        leaving_share: of the parts, those that cross the region on a straight path, so that they
            enter and leave the pictures.
        num_frames: frames 0 .. num_frames - 1, over which the box is made.
        rig_kinds: "arc" (like N3DV), "meeting" (like Meeting Room), "ring".
        field_of_view: along the longer side, degrees.
        image_long_side: longer side of the cameras' images, pixels.
        occluders: most things that stand between some cameras and the region.
        gloss_share: of all surfaces, those with a highlight that depends on the view.
        world_unit: world units per stage unit (about half the region's width), log-uniform.
        upright_share: scenes whose world is that of the middle camera (x right, y down, z
            forward) up to some degrees, as structure from motion usually gives it; half of the
            others stand upright with any heading, half lie in any attitude.
        photos: folder of photographs (PNG, JPEG) to take textures from; None for none.
        photo_share: of all textures, those taken from photographs if there are any.

    Raises:
        ValueError: a range upside down, a share outside 0..1, an unknown kind.
    """

    num_gaussians: tuple[int, int] = (8_000, 20_000)
    num_parts: tuple[int, int] = (1, 8)
    moving_share: tuple[float, float] = (0.25, 0.5)
    part_kinds: tuple[str, ...] = PART_KINDS
    still_share: float = 0.15
    still_scenes: float = 0.04
    speed: tuple[float, float] = (0.001, 0.1)
    leaving_share: float = 0.1
    num_frames: int = 60
    rig_kinds: tuple[str, ...] = RIG_KINDS
    field_of_view: tuple[float, float] = (35.0, 85.0)
    image_long_side: tuple[int, int] = (320, 640)
    occluders: int = 2
    gloss_share: float = 0.3
    world_unit: tuple[float, float] = (0.2, 20.0)
    upright_share: float = 0.5
    photos: str | None = None
    photo_share: float = 0.4

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_share", "_scenes")):
                ends = value if isinstance(value, tuple) else (value, value)
                if not 0 <= ends[0] <= ends[1] <= 1:
                    raise ValueError(f"{field.name}: {value} must be within 0..1")
            elif field.name in _COUNTS + _POSITIVE and not 0 < value[0] <= value[1]:
                raise ValueError(f"{field.name}: {value} must be (lowest, highest), above 0")
        for name, known in (("rig_kinds", RIG_KINDS), ("part_kinds", PART_KINDS)):
            unknown = [kind for kind in getattr(self, name) if kind not in known]
            if unknown or not getattr(self, name):
                raise ValueError(f"{name}: {getattr(self, name)}; choose from {', '.join(known)}")
        if self.num_gaussians[0] < 500:
            raise ValueError(f"num_gaussians: {self.num_gaussians}; a scene needs at least 500")
        if self.num_frames < 2:
            raise ValueError(f"num_frames: {self.num_frames} must be at least 2")
        if self.field_of_view[1] >= 150:
            raise ValueError(f"field_of_view: {self.field_of_view} degrees must stay below 150")
        if self.photos is not None and not Path(self.photos).is_dir():
            raise ValueError(f"photos: {self.photos}: no such folder")
