"""The engine, going on with the cameras that are there.

`MultiViewEngine` needs an image of every camera. A camera that is away is therefore given with its
last good image, marked stale. It then shows no change to the change detector; what would be
wrong is to optimise towards it, or to let the motion network compare it with moving views. So key
frames are refined on the other cameras alone, and a frame is held still instead of predicted
while an input view of the network is stale, now or in its key frame.
"""

from __future__ import annotations

import math

from igs.gaussians import Gaussians
from igs.metrics import StageTimer
from igs.scene import MultiViewFrame
from igs.serve.live_source import LiveFrame
from igs.stream import MultiViewEngine, RefineReport, StreamFrame


class LiveEngine(MultiViewEngine):
    """A `MultiViewEngine` for `LiveFrame`s; other frames go through unchanged."""

    _key_stale: frozenset[str] = frozenset()

    def _first(self, frame: MultiViewFrame, timer: StageTimer) -> StreamFrame:
        self._key_stale = _stale(frame)
        return super()._first(frame, timer)

    def _next(self, frame: MultiViewFrame, timer: StageTimer) -> StreamFrame:
        stale, key = _stale(frame), self._key
        blind = bool((stale | self._key_stale) & set(self.roles.inputs))
        if blind:
            self._key = None
        made = super()._next(frame, timer)
        if made.is_key:
            self._key_stale = stale
        elif blind:
            self._key = key
        return made

    def _refine(
        self, frame: MultiViewFrame, gaussians: Gaussians
    ) -> tuple[Gaussians, RefineReport]:
        every, stale = self._training, _stale(frame)
        self._training = [camera for camera in every if camera.name not in stale]
        try:
            if not self._training:
                count = len(gaussians)
                return gaussians, RefineReport(0, math.nan, math.nan, count, count, 0)
            return super()._refine(frame, gaussians)
        finally:
            self._training = every


def _stale(frame: MultiViewFrame) -> frozenset[str]:
    return frame.stale if isinstance(frame, LiveFrame) else frozenset()
