"""A whole run: frame 0, the stream, measuring, files. Cut off, it can be taken up again."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from igs.config import check_run, to_yaml
from igs.config.schema import RunConfig
from igs.frame0 import make_frame0
from igs.frame0.camera_color import colors_report, read_camera_colors, write_camera_colors
from igs.frame0.corrected_source import ColorCorrectedSource
from igs.gaussians import Gaussians, read_ply, write_ply
from igs.metrics import StageTimer, peak_memory_mb
from igs.render import render
from igs.scene.files import write_text
from igs.stream import results
from igs.stream.engine import MultiViewEngine
from igs.stream.evaluate import HeldOutEvaluator, stability_db
from igs.stream.folder import RunFolder, write_results
from igs.stream.free_view import free_view_path
from igs.stream.inputs import open_inputs, open_network
from igs.stream.recorder import FrameRecorder
from igs.stream.resume import is_there_to_resume, take_up
from igs.stream.videos import write_videos
from igs.stream.views import assign_views

logger = logging.getLogger(__name__)

_FPS_ROUNDS = 3


@dataclass(frozen=True)
class Progress:
    """Where a run stands; `stage` is points, frame0 or stream, total None if endless."""

    stage: str
    done: int
    total: int | None
    note: str = ""


ProgressCallback = Callable[[Progress], None]


class StreamSession:
    """One run of `igs stream` in one output folder.

    Args:
        config: checked here.
        resume: go on with the run in `config.output` behind its last key frame, if there is one.
            Otherwise an earlier run there is moved aside to `<output>.previous`.
        progress: told where the run stands.

    Raises:
        ConfigError: values a run cannot work with.
        FileNotFoundError: a capture or weights that are not there.
        ValueError: a capture or weights that cannot be used; one line that names the thing.
    """

    def __init__(
        self, config: RunConfig, *, resume: bool = False, progress: ProgressCallback | None = None
    ) -> None:
        check_run(config)
        self.config, self.resume = config, resume
        self.folder = RunFolder(config.output)
        self._progress = progress or (lambda _: None)
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.inputs = open_inputs(config)
        self.network = open_network(config.motion)
        cameras = self.inputs.source.cameras
        views = self.inputs.views
        self.roles = assign_views(views, cameras, self.inputs.held_out, self.inputs.box)
        background = torch.tensor(config.background, device=config.device)
        self._background = background
        self._recorder = FrameRecorder(
            self.folder,
            config.write,
            HeldOutEvaluator([cameras[name] for name in self.roles.held_out], background),
            free_view_path(config.free_view, self.inputs, self.roles),
            background,
        )

    def run(self) -> dict[str, Any]:
        """Do the whole run; returns what `results.json` holds.

        Raises:
            ConfigError: the run to resume was made with other settings.
            OSError: the disk is full or a folder cannot be written; what was finished stays.
            ValueError: an output folder that holds something else than a run, or bad input.
        """
        resumes = self.resume and is_there_to_resume(self.folder, self.config)
        gaussians = self._open_folder(resumes)
        self._undo_camera_colors()
        engine = MultiViewEngine(
            replace(self.config, views=self.inputs.views),
            gaussians,
            network=self.network,
            box=self.inputs.box,
            held_out=self.inputs.held_out,
        )
        if resumes and take_up(self.folder, engine):
            self._warm_up(engine)
        self._stream(engine)
        result = self._results(gaussians)
        write_results(self.folder.results, result)
        if self.config.write.videos:
            write_videos(self.folder, self.inputs.source.fps)
        return result

    def _open_folder(self, resumes: bool) -> Gaussians:
        """Make the folder ready; returns the Gaussians of frame 0."""
        if resumes and self.folder.frame0.is_file():
            return self._read_frame0()
        # A file to load is read first: the earlier run, which is moved aside, may hold it.
        loads = self.inputs.frame0_ply is not None
        early = self._timed_frame0() if loads else None
        colors = self._loaded_colors()
        if not resumes:
            previous = self.folder.start()
            if previous is not None:
                logger.warning("%s: the earlier run is now in %s", self.folder.root, previous)
        write_text(self.folder.config, to_yaml(self.config))
        gaussians, report = early or self._timed_frame0()
        if colors is not None:
            names, matrices = list(colors), torch.stack(list(colors.values()))
            write_camera_colors(self.folder.camera_colors, names, matrices)
            report["camera_colors"] = colors_report(colors)
        write_results(self.folder.frame0_report, report)
        write_ply(self.folder.frame0, gaussians)
        # Read back, so that a run taken up later starts from the very same numbers.
        return self._read_frame0()

    def _read_frame0(self) -> Gaussians:
        return read_ply(self.folder.frame0).to(self.config.device)

    def _loaded_colors(self) -> dict[str, torch.Tensor] | None:
        """The colours that belong to Gaussians that are loaded; None where there are none."""
        frame0 = self.config.frame0
        if frame0.mode != "load" or frame0.colors is None:
            return None
        path = self.inputs.root / frame0.colors
        colors = read_camera_colors(path)
        if not self.inputs.source.cameras.keys() & colors.keys():
            raise ValueError(f"{path}: none of its cameras is one of this capture's")
        return colors

    def _undo_camera_colors(self) -> None:
        """Let the stream see every training camera in the colours that frame 0 is in."""
        own = self.folder.camera_colors
        colors = read_camera_colors(own) if own.is_file() else self._loaded_colors()
        if colors is not None:
            source = ColorCorrectedSource(self.inputs.source, colors)
            self.inputs = replace(self.inputs, source=source)

    def _report(self, stage: str, done: int, total: int | None, note: str = "") -> None:
        self._progress(Progress(stage, done, total, note))

    def _timed_frame0(self) -> tuple[Gaussians, dict[str, Any]]:
        """The Gaussians of frame 0, loaded or optimised, the seconds that took and what was found.

        Of what `igs frame0` reports: `attempts`, and `camera_colors` by gain and offset.
        """
        started = time.perf_counter()
        first = next(iter(self.inputs.source.frames(0)), None)
        if first is None:
            raise ValueError(f"data.root {self.inputs.root}: the capture has no frames")
        cameras = self.inputs.source.cameras
        found: dict[str, Any] = {}
        gaussians = make_frame0(
            self.config.frame0,
            [cameras[name] for name in self.roles.training],
            first.images,
            root=self.inputs.root,
            ply=self.inputs.frame0_ply,
            background=self._background,
            seed=self.config.seed,
            stations=list(cameras.values()),
            colors_file=self.folder.camera_colors,
            progress=self._report,
            findings=found,
        )
        return gaussians, {"seconds": time.perf_counter() - started, **found}

    def _warm_up(self, engine: MultiViewEngine) -> None:
        """Show the evaluator the key frame again: flicker needs the frame before."""
        gaussians, index = engine.key_gaussians, engine.key_index
        assert gaussians is not None
        assert index is not None
        frame = next(iter(self.inputs.source.frames(index)), None)
        if frame is not None:
            self._recorder.evaluator(gaussians, frame.images)

    def _stream(self, engine: MultiViewEngine) -> None:
        total = self.inputs.source.num_frames
        started = time.perf_counter()
        for frame in engine.run(self.inputs.source):
            record = self._recorder.keep(frame)
            now = time.perf_counter()
            record["wall_seconds"], started = now - started, now
            record["peak_memory_mb"] = peak_memory_mb()
            write_results(self.folder.record(frame.index), record)
            # Behind the record: a run that is resumed there does not write it again.
            if frame.is_key and self.config.write.state:
                engine.save(self.folder.state)
            shown = results.mean_over_views(record["psnr"])
            note = "" if shown is None else f"{shown:.2f} dB"
            self._report("stream", frame.index + 1, total, note)

    def _results(self, gaussians: Gaussians) -> dict[str, Any]:
        frame0 = json.loads(self.folder.frame0_report.read_text(encoding="utf-8"))
        records = list(self.folder.read_records())
        flicker = [r["flicker_mse"] for r in records if r["flicker_mse"] is not None]
        return results.assemble(
            records,
            held_out=self.roles.held_out,
            fps=self._measure_fps(gaussians),
            peak_memory_mb=peak_memory_mb(),
            frame0=frame0,
            temporal_stability=stability_db(flicker),
        )

    def _measure_fps(self, gaussians: Gaussians) -> float:
        """Renders per second of frame 0's Gaussians over held-out and input views, warmed up."""
        cameras = self.inputs.source.cameras
        names = (*self.roles.held_out[:1], *self.roles.inputs)
        timer = StageTimer(self.config.device)
        with torch.no_grad():
            render(gaussians, cameras[names[0]], self._background)
            with timer.stage("render"):
                for name in names * _FPS_ROUNDS:
                    render(gaussians, cameras[name], self._background)
        return len(names) * _FPS_ROUNDS / timer.seconds["render"]
