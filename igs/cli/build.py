"""`igs build`: Gaussians for every frame of every scene of a data set."""

from __future__ import annotations

import argparse
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from igs.building.run import BuildProgress, BuildResult

EXIT_FAILURES = 1
_MOST_LINES = 16
EPILOG = """examples:
  igs build prepared --out igs_data
  igs build prepared --out igs_data --config build_igs_data --resolution 2
  igs build prepared --out igs_data --scenes steak --frames 0:300 --workers 4 --resume
  igs build prepared --out igs_data --estimate
  igs build prepared --out igs_data --engine ray --address 10.0.0.1:6379

SOURCE holds scenes as igs prepare writes them. Frames that fail are tried again and then listed in
failures.json of the output; the exit code is 1 then. See docs/building.md.
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "build",
        help="build Gaussians for every frame of a data set",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="folder of the scenes")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="further settings")
    parser.add_argument("--out", help="folder to write to; SOURCE itself if not given")
    parser.add_argument("--config", default="build_fast", help="YAML file; see configs/build_*")
    parser.add_argument("--scenes", metavar="NAMES", help="with commas; all if not given")
    parser.add_argument("--frames", metavar="N|A:B[:STEP]", help="which frames; all if not given")
    parser.add_argument("--resolution", type=int, help="1, 2, 4, 8 (divisor), -1 or a width")
    parser.add_argument("--engine", choices=("local", "ray"), help="processes here, or a cluster")
    parser.add_argument("--address", help="of the Ray cluster")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--workers", type=int, help="frames at a time; one a GPU if not given")
    parser.add_argument("--threads", type=int, help="CPU threads of a worker")
    parser.add_argument("--retries", type=int, help="further attempts at a frame that failed")
    parser.add_argument("--resume", action="store_true", help="go on with what was cut off")
    parser.add_argument(
        "--rebuild", action="store_true", help="replace frames built with other settings"
    )
    parser.add_argument(
        "--estimate", action="store_true", help="say hours and disk, after one frame at most"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build, and say what is there and what failed."""
    from igs.building.run import build_3dgs_dataset
    from igs.config.building import BuildConfig
    from igs.config.load import load_config
    from igs.config.resources import config_path

    config = load_config(BuildConfig, config_path(arguments.config), arguments.overrides)
    config.source = arguments.source
    if arguments.out is not None:
        config.output = arguments.out
    if arguments.scenes is not None:
        config.scenes = [name.strip() for name in arguments.scenes.split(",") if name.strip()]
    for key in ("frames", "resolution"):
        if getattr(arguments, key) is not None:
            setattr(config, key, getattr(arguments, key))
    names = {"workers": "count"}
    for key in ("engine", "address", "device", "workers", "threads", "retries"):
        if getattr(arguments, key) is not None:
            setattr(config.workers, names.get(key, key), getattr(arguments, key))
    with BuildBars() as bars:
        try:
            result = build_3dgs_dataset(
                config,
                resume=arguments.resume,
                rebuild=arguments.rebuild,
                estimate_only=arguments.estimate,
                progress=bars,
            )
        except RuntimeError as error:  # workers that cannot start are for the user to mend
            raise ValueError(str(error)) from error
    return _say(result, config.output or config.source)


def _say(result: BuildResult, output: str) -> int:
    print(
        f"built:    {result.built} frames in {result.seconds:.0f} s, {result.present} were there, "
        f"{len(result.failures)} failed, {result.left} left"
    )
    if result.left and result.estimate is not None:
        print(f"estimate: {result.estimate}")
    if result.pairs is not None:
        print(f"pairs:    {result.pairs}")
    print(f"output:   {output}")
    if result.failures_file is None:
        return 0
    for failure in result.failures[:_MOST_LINES]:
        last = failure.attempts[-1]
        print(
            f"failed:   {failure.scene}/colmap_{failure.frame}: {last.error} ({last.worker})",
            file=sys.stderr,
        )
    if result.left:
        print("stopped:  nothing but failures; the settings are to be looked at", file=sys.stderr)
    print(f"failures: {result.failures_file}", file=sys.stderr)
    return EXIT_FAILURES


class BuildBars:
    """Callable that takes `BuildProgress`: a bar over all frames, and a line per worker."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._lines: list[tqdm] = []

    def __enter__(self) -> BuildBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in [*self._lines, *([self._bar] if self._bar is not None else [])]:
            line.close()

    def __call__(self, progress: BuildProgress) -> None:
        if self._bar is None:
            self._bar = tqdm(
                desc="frames",
                total=progress.total,
                initial=progress.done,
                dynamic_ncols=True,
                mininterval=0.5 if sys.stderr.isatty() else 30.0,
                # The time left is that of all workers, which the bar itself cannot know.
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
            )
        words = f"{len(progress.running)} at work, {progress.failed} failed"
        if progress.estimate is not None:
            words += f", {left_words(3600 * progress.estimate.hours)} left"
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(progress.done - self._bar.n)
        if sys.stderr.isatty():  # a file of the output gets a line now and then
            self._bar.refresh()
            self._show_lines(progress.running)

    def _show_lines(self, running: tuple[str, ...]) -> None:
        while len(self._lines) < min(len(running), _MOST_LINES):
            position = len(self._lines) + 1
            self._lines.append(tqdm(position=position, bar_format="  {desc}", leave=False))
        for line, text in zip(self._lines, [*running, *[""] * len(self._lines)], strict=False):
            line.set_description_str(text)


def left_words(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
