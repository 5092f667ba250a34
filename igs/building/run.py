"""The driver: hands out frames, tries again, keeps the books, and tells how far all workers are."""

from __future__ import annotations

import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from igs.building.engine import Engine, Report
from igs.building.estimate import (
    Estimate,
    FrameRate,
    estimate,
    measured_rate,
    require_disk,
)
from igs.building.log import FailedAttempt, Failure, log_event, write_failures
from igs.building.plan import Plan, make_plan, work_folder, write_record
from igs.config.building import BuildConfig, check_build
from igs.scene import SceneError, SceneFolder

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
_HOPELESS = 5  # frames given up without a single one built
_LOCK = ".build.lock"


@dataclass(frozen=True)
class BuildProgress:
    """Where all workers stand.

    Attributes:
        done: frames built, those of earlier runs included.
        failed: frames given up.
        total: all frames.
        running: a line per frame in work: which, who and how far.
        estimate: of what is left, None until a frame has been measured.
    """

    done: int
    failed: int
    total: int
    running: tuple[str, ...]
    estimate: Estimate | None


@dataclass(frozen=True)
class BuildResult:
    """What a run has done.

    Attributes:
        built: frames built in this run.
        present: frames that were built already.
        failures: frames given up.
        left: frames not tried, after `estimate_only` or where nothing succeeded.
        seconds: it took.
        estimate: what it expected of the frames left when it knew the rate first.
        failures_file: the list of what failed, None where nothing did.
        pairs: the training pairs, None where none were written.
    """

    built: int
    present: int
    failures: tuple[Failure, ...]
    left: int
    seconds: float
    estimate: Estimate | None
    failures_file: Path | None
    pairs: Path | None


ProgressCallback = Callable[[BuildProgress], None]


def build_3dgs_dataset(
    config: BuildConfig,
    *,
    resume: bool = False,
    rebuild: bool = False,
    estimate_only: bool = False,
    engine: Engine | None = None,
    progress: ProgressCallback | None = None,
) -> BuildResult:
    """Build Gaussians, compressed Gaussians and renders for every frame of every scene.

    Args:
        config: see `BuildConfig`; checked here.
        resume: go on where frames are built already; they are left as they are.
        rebuild: build anew what was built with other settings.
        estimate_only: stop as soon as hours and disk are known, after at most one frame.
        engine: who works; None takes what the config names. It is closed at the end.
        progress: told where all workers stand.

    Returns:
        What was done; frames that failed are in it and do not raise.

    Raises:
        ConfigError: values that building cannot work with.
        FileNotFoundError: scenes, images or cameras that are not there.
        SceneError: frames that are there and may not be touched, another run at work in the same
            output, or a disk that is too small, with the figures.
        RuntimeError: workers cannot be started.

    Source: spec `streaming.md`, sections 2.2 and 10, with fault 32 of section 16 mended.
    """
    check_build(config)
    config = _absolute(config)
    output = Path(str(config.output))
    plan = make_plan(config, resume=resume, rebuild=rebuild)
    output.mkdir(parents=True, exist_ok=True)
    with _only_driver(output):
        write_record(config)
        books = _Books(config, plan, measured_rate(plan.done, config.rate), progress)
        if plan.todo:
            books.work(engine or make_engine(config), estimate_only)
        return books.close(None if estimate_only else _finish_dataset(config, plan.scenes))


def make_engine(config: BuildConfig) -> Engine:
    """The engine that the config names.

    Raises:
        ValueError: no GPU where one is wanted, Ray not installed, or no cluster at the address.
    """
    if config.workers.engine == "ray":
        from igs.building.cluster import RayEngine

        return RayEngine(config.workers)
    from igs.building.local import LocalEngine

    return LocalEngine(config.workers)


@dataclass
class _Books:
    """What is to be done, being done, done and given up."""

    config: BuildConfig
    plan: Plan
    rate: FrameRate
    progress: ProgressCallback | None
    built: int = 0
    failures: list[Failure] = field(default_factory=list)
    attempts: dict[tuple[str, int], list[FailedAttempt]] = field(default_factory=dict)
    running: dict[tuple[str, int], str] = field(default_factory=dict)
    measured: list[dict[str, float]] = field(default_factory=list)
    first_estimate: Estimate | None = None

    def __post_init__(self) -> None:
        self.output = Path(str(self.config.output))
        self.todo, self.present = deque(self.plan.todo), len(self.plan.done)
        self.total = self.present + len(self.todo)
        self.started = time.perf_counter()

    def work(self, engine: Engine, estimate_only: bool) -> None:
        """Hand out frames until none is left; the engine is closed at the end."""
        try:
            self._expect(engine.slots)
            while (self.todo or self.running) and not self._hopeless():
                if estimate_only and self.first_estimate is not None:
                    break
                self._hand_out(engine, 1 if estimate_only else engine.slots)
                for report in engine.poll(_POLL_SECONDS):
                    self._take(report, engine.slots)
                self._tell(engine.slots)
        finally:
            engine.close()

    def close(self, pairs: Path | None) -> BuildResult:
        """Write the list of failures and tidy up."""
        if not self._left() and not self.failures:
            for scene in self.plan.scenes:
                shutil.rmtree(work_folder(self.output, scene), ignore_errors=True)
        return BuildResult(
            self.built,
            self.present,
            tuple(self.failures),
            self._left(),
            time.perf_counter() - self.started,
            self.first_estimate,
            write_failures(self.output, self.failures),
            pairs,
        )

    def _expect(self, slots: int) -> None:
        """Estimate hours and disk once the rate is known, and refuse what the disk cannot hold."""
        if self.first_estimate is None and self.rate.known:
            self.first_estimate = estimate(self.rate, self._left(), slots, self.output)
            logger.info("%s", self.first_estimate)
            require_disk(self.first_estimate, self.output)

    def _left(self) -> int:
        return len(self.todo) + len(self.running)

    def _hopeless(self) -> bool:
        """Frame upon frame fails and none is built: it lies with the settings or the machine."""
        return not self.built and len(self.failures) >= _HOPELESS

    def _hand_out(self, engine: Engine, slots: int) -> None:
        while self.todo and len(self.running) < slots:
            if self.rate.known:  # others may have filled the disk in the meantime
                next_ones = estimate(self.rate, len(self.running) + 1, slots, self.output)
                require_disk(next_ones, self.output)
            task = self.todo.popleft()
            engine.start(task)
            self.running[task.key] = f"{task}: begins"

    def _take(self, report: Report, slots: int) -> None:
        """Enter one piece of news."""
        task, outcome = report.task, report.outcome
        if outcome is None and not report.lost:
            if task.key in self.running:
                self.running[task.key] = f"{task}: {report.note}, {report.worker}"
            return
        self.running.pop(task.key, None)
        if outcome is not None and outcome.kind == "built":
            self.built += 1
            self.measured.append({"seconds": outcome.seconds, "bytes": outcome.bytes})
            self.rate = measured_rate(self.measured, self.config.rate)
            self._expect(slots)
        elif outcome is not None and outcome.kind == "present":
            self.present += 1
        else:
            self._take_failure(report)

    def _take_failure(self, report: Report) -> None:
        task, outcome = report.task, report.outcome
        if outcome is None:
            attempt = FailedAttempt("lost", report.worker, report.note)
            log_event(task, "lost", worker=report.worker, error=report.note)
        else:
            attempt = FailedAttempt("failed", str(outcome.worker), outcome.error)
        tried = self.attempts.setdefault(task.key, [])
        tried.append(attempt)
        again = len(tried) <= self.config.workers.retries
        words = "will be tried again" if again else "is given up"
        logger.warning("%s %s after attempt %d: %s", task, words, len(tried), attempt.error)
        if again:
            self.todo.append(replace(task, attempt=len(tried) + 1))
            return
        self.failures.append(Failure(task.scene, task.frame, tuple(tried)))
        write_failures(self.output, self.failures)

    def _tell(self, slots: int) -> None:
        if self.progress is None:
            return
        now = None
        if self.rate.known:
            now = estimate(self.rate, self._left(), slots, self.output)
        done, failed = self.present + self.built, len(self.failures)
        self.progress(BuildProgress(done, failed, self.total, tuple(self.running.values()), now))


def _absolute(config: BuildConfig) -> BuildConfig:
    """The config with paths that mean the same in every process."""
    source = Path(config.source).absolute()
    output = source if config.output is None else Path(config.output).absolute()
    return replace(config, source=str(source), output=str(output))


@contextmanager
def _only_driver(output: Path) -> Iterator[None]:
    """Keep a second run out of this output; a run that dies lets go of it."""
    lock = FileLock(output / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SceneError(f"{output}: another igs build is at work here") from None
    try:
        yield
    finally:
        lock.release()


def _finish_dataset(config: BuildConfig, scenes: Sequence[str]) -> Path | None:
    """Boxes, camera groups and pairs of what is built; None where they cannot be made."""
    source, output = Path(config.source), Path(str(config.output))
    for name in scenes:
        try:
            box = SceneFolder(source, name).box()
        except (FileNotFoundError, SceneError) as error:
            logger.warning("%s; training needs a box of %s", error, name)
            continue
        SceneFolder(output, name).write_box(box)
    if not config.pairs.enabled:
        return None
    from igs.building.pairs import built_frames, generate_train_pair  # late: loads torch

    pairs = config.pairs
    try:
        return generate_train_pair(
            output,
            [name for name in scenes if built_frames(SceneFolder(output, name))],
            validation=pairs.validation,
            reach=pairs.reach,
            seed=pairs.seed,
        )
    except ValueError as error:  # few cameras or frames train nothing, and are built all the same
        logger.warning("no training pairs: %s", error)
        return None
