"""Motion on recorded captures, where only images tell what is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from igs.config.evaluation import CaptureEvaluation, MotionEvaluationConfig
from igs.config.load import load_config
from igs.config.resources import config_path
from igs.config.schema import RunConfig
from igs.gaussians import Gaussians, read_ply
from igs.motion import AGMNet, KeyState, Motion, warp
from igs.render.images import to_float
from igs.scene import MultiViewFrame
from igs.stream import StreamSession
from igs.stream.folder import RunFolder
from igs.stream.predict import MotionPredictor
from igs.stream.resume import is_there_to_resume
from igs.stream.session import Progress
from igs.training.evaluation.scores import MotionScores, View, moving_region

NONE, UPPER = "none", "refined every frame"


def evaluate_capture(
    capture: CaptureEvaluation,
    settings: MotionEvaluationConfig,
    networks: Mapping[str, AGMNet],
    folder: Path,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, MotionScores]:
    """Scores of no motion, of every network, and of refining every frame.

    Key frames are every `settings.steps`-th frame of the refined run; each of the frames up to
    the next key frame, that one included, is a candidate.

    Args:
        capture: which.
        settings: see `MotionEvaluationConfig`.
        networks: name to network.
        folder: of the refined run.
        progress: told where the refined run stands.

    Raises:
        ConfigError, ValueError, FileNotFoundError: as `StreamSession`; a capture without box or
            held-out camera.
    """
    config = upper_bound_config(capture, settings, folder)
    session = StreamSession(config, resume=True, progress=progress)
    if not session.folder.results.is_file():
        session.run()
    is_there_to_resume(session.folder, config)  # a run of other settings is no bound of these
    return _Comparison(session, settings, networks).scores()


def upper_bound_config(
    capture: CaptureEvaluation, settings: MotionEvaluationConfig, folder: Path
) -> RunConfig:
    """The capture's config with every frame refined, and nothing written but Gaussians."""
    words = [
        *capture.overrides,
        f"output={folder}",
        f"device={settings.device}",
        "schedule.interval=1",
        "motion=none",
        "motion.weights=null",
        "motion.anchors=null",
        "write.videos=false",
        "write.eval_images=false",
    ]
    config = load_config(RunConfig, config_path(capture.config), words)
    return replace(config, threads=settings.threads or config.threads)


class _Comparison:
    def __init__(
        self,
        session: StreamSession,
        settings: MotionEvaluationConfig,
        networks: Mapping[str, AGMNet],
    ) -> None:
        self.session, self.settings = session, settings
        cameras, box = session.inputs.source.cameras, session.inputs.box
        if box is None:
            raise ValueError(f"{session.folder.root}: motion needs box.bounds or box.file")
        if not session.roles.held_out:
            raise ValueError(f"{session.folder.root}: no held-out camera to measure with")
        self._cameras = [cameras[name] for name in session.roles.held_out]
        inputs = [cameras[name] for name in session.roles.inputs]
        self._predictors = {n: MotionPredictor(net, inputs, box) for n, net in networks.items()}
        self._background = torch.tensor(session.config.background, device=session.config.device)

    def scores(self) -> dict[str, MotionScores]:
        names = (NONE, *self._predictors, UPPER)
        scores = {name: MotionScores(self.settings.steps) for name in names}
        key: MultiViewFrame | None = None
        start, states = self._gaussians(0), {}
        motions: dict[str, Motion] = {}
        for frame in self.session.inputs.source.frames(0):
            refined = self._gaussians(frame.index)
            if key is not None:
                step, views = frame.index - key.index, self._views(key, frame)
                motions = self._predict(states, frame, motions)
                carried = {name: warp(start, motion) for name, motion in motions.items()}
                for name, gaussians in {NONE: start, **carried, UPPER: refined}.items():
                    scores[name][step].look(gaussians, views, self._background)
            if frame.index % self.settings.steps == 0:
                key, start, motions = frame, refined, {}
                states = {
                    n: p.encode(refined, p.images(frame)) for n, p in self._predictors.items()
                }
        return scores

    def _gaussians(self, index: int) -> Gaussians:
        return read_ply(gaussians_file(self.session.folder, index)).to(self.session.config.device)

    def _predict(
        self, states: Mapping[str, KeyState], frame: MultiViewFrame, before: Mapping[str, Motion]
    ) -> dict[str, Motion]:
        return {
            name: predictor.predict(states[name], frame, before.get(name))
            for name, predictor in self._predictors.items()
        }

    def _views(self, key: MultiViewFrame, frame: MultiViewFrame) -> list[View]:
        return [
            View(camera, self._image(frame, camera.name), self._moving(key, frame, camera.name))
            for camera in self._cameras
        ]

    def _image(self, frame: MultiViewFrame, name: str) -> Tensor:
        return to_float(frame.images[name], self._background.device)

    def _moving(self, key: MultiViewFrame, frame: MultiViewFrame, name: str) -> Tensor:
        images = self._image(key, name), self._image(frame, name)
        return moving_region(*images, self.settings.change, self.settings.margin)


def gaussians_file(folder: RunFolder, index: int) -> Path:
    """Gaussians of a frame of a run in which every frame is a key frame."""
    return folder.key_ply(index)
