"""What the engine yields for each time step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from igs.gaussians import Gaussians
from igs.motion import Motion
from igs.scene import MultiViewFrame
from igs.stream.refine import RefineReport


@dataclass(frozen=True)
class StreamFrame:
    """One reconstructed time step.

    Attributes:
        index: number of the step.
        time: seconds since the first step.
        gaussians: the whole scene at this step.
        is_key: whether later frames are predicted from this one.
        predicted_from: the key frame it was predicted from; None for frame 0.
        motion: what moved since that key frame; None where it was held still or refined.
        refinement: what the refinement did; None for candidates and for frame 0.
        num_in_box: Gaussians that the motion network moved.
        seconds: wall time by stage (`decode`, `motion`, `refine`), device synchronised.
        captured: the images it was made from.
    """

    index: int
    time: float
    gaussians: Gaussians
    is_key: bool
    predicted_from: int | None
    motion: Motion | None
    refinement: RefineReport | None
    num_in_box: int
    captured: MultiViewFrame
    seconds: Mapping[str, float] = field(default_factory=dict)
