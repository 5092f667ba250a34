"""Measuring and writing one frame after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from igs.config.schema import OutputConfig
from igs.gaussians import write_ply
from igs.metrics import StageTimer
from igs.render import render
from igs.render.images import save_png
from igs.scene import Camera
from igs.stream.evaluate import FrameScores, HeldOutEvaluator
from igs.stream.folder import RunFolder, write_motion
from igs.stream.frame import StreamFrame


@dataclass
class FrameRecorder:
    """Scores, images and Gaussians of each frame, into the run's folder.

    Args:
        folder: where to.
        write: what to.
        evaluator: the held-out cameras.
        path: cameras of the free-viewpoint video, taken in turn; empty for no such video.
        background: (3,) colour behind everything.
    """

    folder: RunFolder
    write: OutputConfig
    evaluator: HeldOutEvaluator
    path: list[Camera]
    background: torch.Tensor

    def keep(self, frame: StreamFrame) -> dict[str, Any]:
        """Measure and write one frame; returns its record, plain values.

        Raises:
            OSError: the disk is full; names the file, and no half-written file stays.
        """
        timer = StageTimer(frame.gaussians.device)
        with timer.stage("evaluate"):
            scores = self.evaluator(frame.gaussians, frame.captured.images)
        with timer.stage("free_view"):
            self._free_view(frame)
        with timer.stage("write"):
            num_bytes = self._gaussians(frame)
            self._images(frame, scores)
        return _record(frame, scores, num_bytes, {**frame.seconds, **timer.seconds})

    def _free_view(self, frame: StreamFrame) -> None:
        if not self.path:
            return
        camera = self.path[frame.index % len(self.path)]
        with torch.no_grad():
            image = render(frame.gaussians, camera, self.background).color
        save_png(self.folder.image(self.folder.free_views, frame.index), image)

    def _gaussians(self, frame: StreamFrame) -> int:
        """Key frames whole, candidates as their motion; a frame held still needs no bytes."""
        if not self.write.gaussians:
            return 0
        if frame.is_key or self.write.every_ply:
            path = self.folder.key_ply(frame.index)
            write_ply(path, frame.gaussians)
            return path.stat().st_size
        if frame.motion is None or frame.predicted_from is None:
            return 0
        path = self.folder.motion_file(frame.index)
        return write_motion(path, frame.motion, frame.predicted_from)

    def _images(self, frame: StreamFrame, scores: FrameScores) -> None:
        """The first held-out camera's images under the original's names."""
        if not self.write.eval_images or not scores.rendered:
            return
        name = next(iter(scores.rendered))
        folder = self.folder
        save_png(folder.image(folder.eval_pred, frame.index), scores.rendered[name])
        save_png(folder.image(folder.eval_gt, frame.index), frame.captured.images[name])


def _record(
    frame: StreamFrame, scores: FrameScores, num_bytes: int, seconds: dict[str, float]
) -> dict[str, Any]:
    refined = frame.refinement
    return {
        "index": frame.index,
        "time": frame.time,
        "is_key": frame.is_key,
        "predicted_from": frame.predicted_from,
        "psnr": dict(scores.psnr),
        "ssim": dict(scores.ssim),
        "flicker_mse": scores.flicker_mse,
        "num_gaussians": len(frame.gaussians),
        "num_before_refinement": len(frame.gaussians) if refined is None else refined.num_before,
        "num_active": None if refined is None else refined.num_active,
        "num_in_box": frame.num_in_box,
        "bytes": num_bytes,
        "seconds": seconds,
    }
