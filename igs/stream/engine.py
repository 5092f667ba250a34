"""The online engine: schedule, predict, refine, emit.

Source: spec `streaming.md`, sections 1, 4 and 5. Candidates are predicted one by one as they
arrive, each from its key frame, which gives what the original's batch gives with no look-ahead.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from igs.config import check_stream
from igs.config.schema import StreamConfig
from igs.gaussians import Gaussians
from igs.metrics import StageTimer
from igs.motion import AGMNet, KeyState, Motion, warp
from igs.render.images import to_tensor
from igs.scene import Camera, FrameSource, MultiViewFrame
from igs.scene.bbox import Box
from igs.scene.rig import scene_radius
from igs.scene.schedule import Schedule
from igs.stream.activity import ChangeDetector, active_gaussians
from igs.stream.frame import StreamFrame
from igs.stream.memory import check_memory
from igs.stream.precision import network_dtype
from igs.stream.predict import MotionPredictor
from igs.stream.refine import RefineReport, refine_key_frame
from igs.stream.state import EngineState, load_state, save_state
from igs.stream.upload import CudaUploader, image_of, read_ahead
from igs.stream.views import assign_views

logger = logging.getLogger(__name__)


class MultiViewEngine:
    """Turns a stream of multi-view frames into a stream of Gaussians.

    ``for frame in MultiViewEngine(config, gaussians).run(source)``: frame N comes out before frame
    N + 1 is asked for. On a GPU a thread asks for `gpu.ahead` frames more, and uploads them.

    Args:
        config: see `StreamConfig`; checked here.
        gaussians: the Gaussians of frame 0; None when `resume` is called before `run`.
        network: trained AGM-Net; needed when `config.motion.mode` is `agm`.
        box: region that may move, world units; needed with the network.
        held_out: cameras that the camera file sets apart; `config.views.held_out` wins.

    Raises:
        ConfigError: values the engine cannot run with.
        ValueError: a network or box that is needed and missing.
    """

    def __init__(
        self,
        config: StreamConfig,
        gaussians: Gaussians | None,
        *,
        network: AGMNet | None = None,
        box: Box | None = None,
        held_out: tuple[str, ...] = (),
    ) -> None:
        check_stream(config)
        self.config, self.network, self.box, self.held_out = config, network, box, held_out
        if config.motion.mode == "agm" and (network is None or box is None):
            raise ValueError("motion=agm needs a network and the box of the region that may move")
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self._start = None if gaussians is None else gaussians.detach().to(config.device)
        self._state: EngineState | None = None
        self._key: KeyState | None = None
        self._motion: Motion | None = None  # of the last candidate of this key frame
        self._changes: ChangeDetector | None = None
        self._key_stale: frozenset[str] = frozenset()

    def resume(self, path: str | Path) -> int:
        """Take up a saved state; `run` then starts behind its key frame, whose index is returned.

        Raises:
            FileNotFoundError: no such file.
            ValueError: a damaged file, or one made with other settings.
        """
        self._state = load_state(path, self.config)
        return self._state.index

    def save(self, path: str | Path) -> None:
        """Save the state of the newest key frame; `resume` leads to the same results.

        Raises:
            ValueError: no key frame has been emitted yet.
            OSError: the file cannot be written.
        """
        if self._state is None:
            raise ValueError("the engine has no key frame yet; save after one was emitted")
        save_state(path, self._state, self.config)

    @property
    def key_index(self) -> int | None:
        """Index of the newest key frame, None before the first."""
        return None if self._state is None else self._state.index

    @property
    def key_gaussians(self) -> Gaussians | None:
        """Gaussians of the newest key frame, None before the first."""
        return None if self._state is None else self._state.gaussians

    def run(self, source: FrameSource) -> Iterator[StreamFrame]:
        """Yield one `StreamFrame` per frame of the source, in order.

        Raises:
            ValueError: cameras that are missing, no Gaussian in the box, bad frames, or a state
                taken up that is no key frame of this source's schedule.
        """
        self._bind(source)
        start = 0 if self._state is None else self._state.index + 1
        frames = self._frames(source, start)
        while True:
            timer = StageTimer(self.config.device)
            with timer.stage("decode"):
                frame = next(frames, None)
            if frame is None:
                return
            yield self._first(frame, timer) if frame.index == 0 else self._next(frame, timer)

    def _frames(self, source: FrameSource, start: int) -> Iterator[MultiViewFrame]:
        """The source's frames; for a GPU decoded, pinned and uploaded ahead by a thread."""
        device = torch.device(self.config.device)
        if device.type != "cuda":
            return iter(source.frames(start))
        ahead = self.config.gpu.ahead or self.config.schedule.interval
        return read_ahead(
            lambda: iter(source.frames(start)), CudaUploader(device), self._needed, ahead
        )

    def _needed(self, index: int) -> tuple[str, ...]:
        """Cameras whose images of a frame the engine works on."""
        return self.roles.training if self.schedule.is_key(index) else self.roles.inputs

    def _bind(self, source: FrameSource) -> None:
        """Settle what depends on the rig."""
        cameras = source.cameras
        self.roles = assign_views(self.config.views, cameras, self.held_out, self.box)
        self._training: list[Camera] = [cameras[n] for n in self.roles.training]
        self._extent = scene_radius(cameras)
        self._background = torch.tensor(self.config.background, device=self.config.device)
        schedule = self.config.schedule
        self.schedule = Schedule(schedule.interval, source.num_frames, schedule.refine_last)
        self._predictor: MotionPredictor | None = None
        if self.config.motion.mode == "agm":
            assert self.network is not None
            assert self.box is not None
            self._predictor = MotionPredictor(
                self.network.to(self.config.device),
                [cameras[n] for n in self.roles.inputs],
                self.box,
                anchors=self.config.motion.anchors,
                antialias=self.config.motion.antialias,
                dtype=network_dtype(self.config.motion.precision, self.config.device),
            )
        start = self._start if self._state is None else self._state.gaussians
        if self.config.gpu.memory_check and start is not None:
            check_memory(self.config, start, self._training, self.roles.inputs, self.network)
        if self._state is not None:
            self._check_key(self._state.index)
            self._adopt(self._state)

    def _check_key(self, index: int) -> None:
        """A state saved at the end of a shorter source may lie off this schedule."""
        if not self.schedule.is_key(index):
            raise ValueError(
                f"frame {index}, behind which the engine resumes, is no key frame of a source of "
                f"{self.schedule.num_frames} frames at schedule.interval={self.schedule.interval}"
            )

    def _adopt(self, state: EngineState) -> None:
        """Make a key frame's state the one that the next frames start from."""
        self._state, self._key, self._motion = state, None, None
        if self._predictor is not None:
            self._key = self._predictor.encode(state.gaussians, state.network_images)
        if self.config.refine.active_only:
            self._changes = ChangeDetector(
                self.config.refine.active_threshold, state.reference, self.config.device
            )

    def _first(self, frame: MultiViewFrame, timer: StageTimer) -> StreamFrame:
        if self._start is None:
            raise ValueError("the engine has no Gaussians of frame 0; give them or resume")
        self._commit(frame, self._start, timer)
        return self._emit(frame, self._start, timer, is_key=True, predicted_from=None)

    def _next(self, frame: MultiViewFrame, timer: StageTimer) -> StreamFrame:
        if self._state is None:
            raise ValueError(f"the source begins with frame {frame.index}; frame 0 must come first")
        key_index, report = self._state.index, None
        is_key = self.schedule.is_key(frame.index)
        changed = self._changed(frame, timer) if is_key else None
        gaussians, motion = self._predict(frame, changed, timer)
        moved = 0 if motion is None else len(motion)
        if is_key:
            if self.config.refine.num_iterations() and self._trusted(frame):
                with timer.stage("refine"):
                    gaussians, report = self._refine(frame, gaussians, changed)
                motion = None
            self._commit(frame, gaussians, timer)
        return self._emit(
            frame, gaussians, timer, is_key, key_index, motion=motion, report=report, moved=moved
        )

    def _trusted(self, frame: MultiViewFrame) -> list[Camera]:
        """Training cameras that are there; see `MultiViewFrame.stale`."""
        return [camera for camera in self._training if camera.name not in frame.stale]

    def _changed(self, frame: MultiViewFrame, timer: StageTimer) -> dict[str, torch.Tensor] | None:
        """Where each view changed since the last key frame; None unless `refine.active_only`."""
        if self._changes is None:
            return None
        with timer.stage("refine"):
            return self._changes.update(self._training_images(frame))

    def _predict(
        self, frame: MultiViewFrame, changed: dict[str, torch.Tensor] | None, timer: StageTimer
    ) -> tuple[Gaussians, Motion | None]:
        """The key frame's Gaussians at this frame, and how they got there; None: held still.

        With `changed`, only Gaussians seen where pixels changed move. Else what stands still
        would walk away, since each key frame is predicted from the one before.
        """
        assert self._state is not None
        gaussians = self._state.gaussians
        blind = (frame.stale | self._key_stale).intersection(self.roles.inputs)
        if self._key is None or self._predictor is None or blind:
            return gaussians, None
        with timer.stage("motion"):
            motion = self._predictor.predict(self._key, frame, self._motion)
            if changed is not None:
                active = active_gaussians(gaussians, self._trusted(frame), changed)
                motion = motion.select(active[motion.index])
            self._motion = motion
            return warp(gaussians, motion), motion

    def _refine(
        self,
        frame: MultiViewFrame,
        gaussians: Gaussians,
        changed: dict[str, torch.Tensor] | None,
    ) -> tuple[Gaussians, RefineReport]:
        cameras, images = self._trusted(frame), self._training_images(frame)
        active = None if changed is None else active_gaussians(gaussians, cameras, changed)
        # Seeded by the frame alone, so that a resumed run draws what an unbroken one draws.
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + frame.index)
        return refine_key_frame(
            gaussians,
            cameras,
            images,
            self.config.refine,
            extent=self._extent,
            background=self._background,
            generator=generator,
            active=active,
            changed=changed if self.config.refine.active_tiles else None,
        )

    def _training_images(self, frame: MultiViewFrame) -> dict[str, torch.Tensor]:
        return {
            name: to_tensor(image_of(frame, name), self.config.device)
            for name in self.roles.training
        }

    def _commit(self, frame: MultiViewFrame, gaussians: Gaussians, timer: StageTimer) -> None:
        """Make this frame the key frame of the next ones."""
        reference = {}
        if self.config.refine.active_only:
            reference = (
                self._training_images(frame) if self._changes is None else self._changes.reference
            )
        with timer.stage("motion"):
            images = {} if self._predictor is None else self._predictor.images(frame)
            self._key_stale = frame.stale
            self._adopt(EngineState(frame.index, gaussians, images, reference))

    def _emit(
        self,
        frame: MultiViewFrame,
        gaussians: Gaussians,
        timer: StageTimer,
        is_key: bool,
        predicted_from: int | None,
        *,
        motion: Motion | None = None,
        report: RefineReport | None = None,
        moved: int = 0,
    ) -> StreamFrame:
        return StreamFrame(
            index=frame.index,
            time=frame.time,
            gaussians=gaussians,
            is_key=is_key,
            predicted_from=predicted_from,
            motion=motion,
            refinement=report,
            num_in_box=moved,
            captured=frame,
            seconds=timer.seconds,
        )
