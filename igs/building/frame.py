"""One frame built whole: the task function that every engine runs.

The frame is made in a folder of its own and renamed into its place with a receipt inside, so that
it is either whole or not there. Whoever builds it holds a lock; whoever comes second finds it done.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

import igs
from igs.building.engine import Outcome, Worker
from igs.building.log import log_event
from igs.building.plan import FORMAT, RECEIPT, FrameTask, read_receipt, settings_hash
from igs.config.frame0_run import Frame0RunConfig
from igs.config.load import to_yaml
from igs.frame0.outputs import iteration_name, render_views
from igs.frame0.outputs_arguments import read_cfg_args, write_cfg_args
from igs.frame0.photographs import Photographs, read_photographs
from igs.frame0.run import REPORT, run_frame0
from igs.gaussians import read_ply
from igs.scene import GaussianModelFolder, SceneError, write_camera_list
from igs.scene.files import read_json, write_json, write_text

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]
_TELL_SECONDS = 0.5


def attempt_frame(task: FrameTask, tell: Tell | None = None) -> Outcome:
    """Build a frame unless it is there; every error becomes a failed outcome.

    A worker that is killed leaves a checkpoint, where the next attempt goes on. After an error the
    work is removed, so that the next attempt begins anew.

    Args:
        task: which frame, and how.
        tell: called now and then with a few words on how far it is.
    """
    started = time.perf_counter()
    worker = Worker.here(task.config.workers.device)
    try:
        worker = Worker.here(device_of(worker.device))
        log_event(task, "started", worker=asdict(worker))
        kind, size = _build_locked(task, worker, tell or (lambda note: None))
        seconds = time.perf_counter() - started
        log_event(task, kind, seconds=seconds)
        return Outcome(kind, worker, seconds, size)
    except Exception as error:  # whatever it is, the other frames go on and the list says it
        shutil.rmtree(task.work, ignore_errors=True)
        with suppress(OSError):  # a full disk is told by the error at hand
            log_event(task, "failed", traceback=traceback.format_exc())
        last = traceback.format_exception_only(type(error), error)[-1]
        seconds = time.perf_counter() - started
        return Outcome("failed", worker, seconds, error=" ".join(last.split()))


def device_of(word: str) -> str:
    """`cpu` or `cuda`; `auto` is what this process sees.

    Raises:
        ValueError: `cuda` where there is none.
    """
    if word == "cuda" and not torch.cuda.is_available():
        raise ValueError("workers.device: cuda, but torch sees no GPU here; give cpu")
    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return word


def saved_iteration(task: FrameTask) -> str:
    """The name under which the frame's Gaussians and renders are saved."""
    return task.config.iteration or _counted_iteration(task)


def _counted_iteration(task: FrameTask) -> str:
    iterations, recovery = task.config.frame0.iterations, task.config.compress.recover.iterations
    if task.config.compression:
        return iteration_name(iterations + recovery, compressed=True)
    return iteration_name(iterations)


def _build_locked(task: FrameTask, worker: Worker, tell: Tell) -> tuple[str, int]:
    """`built` or `present`, and the bytes of the folder."""
    task.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(task.lock)
    try:
        lock.acquire(timeout=task.config.workers.lock_seconds)
    except Timeout:
        raise RuntimeError(
            f"{task.lock}: another process has held this frame for "
            f"{task.config.workers.lock_seconds:.0f} s (workers.lock_seconds)"
        ) from None
    try:
        receipt = _own_receipt(task)
        if receipt is not None:
            return "present", int(receipt["bytes"])
        return "built", _build(task, worker, tell)
    finally:
        lock.release()


def _own_receipt(task: FrameTask) -> dict[str, Any] | None:
    """The receipt of this very task; None where the frame is missing or to be replaced."""
    try:
        receipt = read_receipt(task.model)
    except SceneError:
        return None
    same = receipt is not None and receipt.get("settings") == settings_hash(task.config)
    return receipt if same else None


def _build(task: FrameTask, worker: Worker, tell: Tell) -> int:
    started, work = time.perf_counter(), task.work
    if (work / RECEIPT).is_file():  # an earlier worker died between the last two steps
        _put_in_place(work, task.model.path)
        return folder_bytes(task.model.path)
    run = task.config.frame_run(str(task.source), str(work), worker.device)
    if (work / REPORT).is_file():  # or while it rendered
        report = read_json(work / REPORT)
    else:
        report = run_frame0(run, resume=True, progress=_words(tell))
    tell("render")
    made = GaussianModelFolder(work)
    _name_and_render(task, run, made)
    _settle_paths(task, run, made)
    _drop_extras(task, made)
    name = saved_iteration(task)
    figures = report["compressed" if task.config.compression else "plain"]
    write_json(
        work / RECEIPT,
        {
            "format": FORMAT,
            "scene": task.scene,
            "frame": task.frame,
            "settings": settings_hash(task.config),
            "iteration": name,
            "iterations": _counted_iteration(task),
            "gaussians": figures["gaussians"],
            "ply_bytes": made.ply_path(name).stat().st_size,
            "bytes": folder_bytes(work),
            "test": figures["test"].get("mean", {}),
            "seconds": time.perf_counter() - started,
            "attempt": task.attempt,
            "worker": asdict(worker),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "igs": igs.__version__,
        },
    )
    size = folder_bytes(work)
    _put_in_place(work, task.model.path)
    return size


def _name_and_render(task: FrameTask, run: Frame0RunConfig, made: GaussianModelFolder) -> None:
    """Give the result its name and render it from every camera, with depth."""
    counted, name = _counted_iteration(task), saved_iteration(task)
    if name != counted and made.ply_path(counted).is_file():
        target = made.ply_path(name).parent
        shutil.rmtree(target, ignore_errors=True)
        os.replace(made.ply_path(counted).parent, target)
    photographs = _photographs(run)
    splits = ["train", "test"] if photographs.rig.held_out else ["train"]
    render_views(
        made,
        name,
        read_ply(made.ply_path(name)).to(run.device),
        photographs.rig,
        photographs.images,
        torch.tensor(run.background, device=run.device),
        splits=splits,
    )
    # Readers of this layout take the position in cameras.json for the number of the image.
    full = photographs.full
    write_camera_list(made.cameras_path, full.subset(list(full.training)))


def _photographs(run: Frame0RunConfig) -> Photographs:
    return read_photographs(
        run.root,
        images=run.images,
        resolution=run.resolution,
        split=run.split,
        held_out=run.held_out,
    )


def _settle_paths(task: FrameTask, run: Frame0RunConfig, made: GaussianModelFolder) -> None:
    """The files that tell where the model lies shall tell where it will lie."""
    final = str(task.model.path)
    write_text(made.path / "config.yaml", to_yaml(replace(run, output=final)))
    options = read_cfg_args(made.path / "cfg_args")
    write_cfg_args(made.path / "cfg_args", {**options, "model_path": final})


def _drop_extras(task: FrameTask, made: GaussianModelFolder) -> None:
    name, extras = saved_iteration(task), task.config.extras
    if "plain" not in extras:
        for iteration in made.iterations():
            if iteration != name:
                shutil.rmtree(made.ply_path(iteration).parent)
    if "renders" not in extras:
        for split in ("train", "test"):
            shutil.rmtree(made.path / split / f"ours_{name}" / "renders", ignore_errors=True)


def _put_in_place(work: Path, final: Path) -> None:
    """Rename a finished folder to its place; one that is there already goes once it is safe."""
    _flush(work)
    final.parent.mkdir(parents=True, exist_ok=True)
    old = work.with_name(f"{work.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(work, final)
    shutil.rmtree(old, ignore_errors=True)


def _flush(folder: Path) -> None:
    """Bring every file to the disk, so that the receipt never outlives what it is for."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _words(tell: Tell) -> Callable[[str, int, int, str], None]:
    """Stage progress as words, at most every half second."""
    last = [float("-inf")]

    def told(stage: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        if now - last[0] >= _TELL_SECONDS:
            last[0] = now
            tell(f"{stage} {done}/{total}")

    return told
