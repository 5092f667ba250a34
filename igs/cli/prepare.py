"""`igs prepare`: own videos or a data set of the field, made ready for `igs stream`."""

from __future__ import annotations

import argparse
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from igs.prepare.run import Prepared, PrepareProgress

EPILOG = """examples:
  igs prepare my_videos prepared
  igs prepare n3dv/flame_steak prepared --frames 300 --held-out cam00
  igs prepare my_videos prepared cameras.mode=estimate cameras.shared=false
  igs prepare my_videos prepared images.scale=0.5 sync.offsets.cam03=0.04
  igs prepare my_videos prepared --resume
  igs stream --config prepared/stream.yaml

INPUT holds one video per camera, or one folder of images per camera, or a data set (N3DV, Meeting
Room, Technicolor, ENeRF, nerfstudio, COLMAP, Pose2Sim). See docs/own_videos.md.
"""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    from igs.config.prepare import KINDS

    parser = subparsers.add_parser(
        "prepare",
        help="make own videos or a data set ready to stream",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", help="folder of the capture")
    parser.add_argument("output", help="folder to write to")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="further settings")
    parser.add_argument("--config", help="YAML file of settings")
    parser.add_argument(
        "--kind", choices=KINDS, help="what INPUT is; told by its files if not given"
    )
    parser.add_argument("--frames", metavar="N|A:B[:STEP]", help="which frames; all if not given")
    parser.add_argument(
        "--held-out",
        metavar="NAMES",
        help="cameras that only measure: names or positions with commas, every:8, or none",
    )
    parser.add_argument("--workers", type=int, help="processes; one a core if not given")
    parser.add_argument("--resume", action="store_true", help="go on with what was cut off")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prepare, and say what is there and what may be lacking."""
    from igs.config.load import load_config
    from igs.config.prepare import PrepareConfig
    from igs.prepare.run import prepare

    config = load_config(PrepareConfig, arguments.config, arguments.overrides)
    config.input, config.output = arguments.input, arguments.output
    for key in ("kind", "frames", "workers"):
        if getattr(arguments, key) is not None:
            setattr(config, key, getattr(arguments, key))
    if arguments.held_out is not None:
        config.held_out = held_out_words(arguments.held_out)
    with StageBars() as bars:
        try:
            result = prepare(config, resume=arguments.resume, progress=bars)
        except RuntimeError as error:
            # A package that is missing is for the user to mend.
            raise ValueError(str(error)) from error
    _say(result)
    return 0


def held_out_words(text: str) -> list[str]:
    """Names and positions of a list with commas; ``none`` is an empty list."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [] if words == ["none"] else words


def _say(result: Prepared) -> None:
    from igs.prepare.layout import RIG_FILE

    cameras = result.rig.cameras
    held_out = f" ({', '.join(result.rig.held_out)} held out)" if result.rig.held_out else ""
    rows = [
        ("scene", f"{result.scene.path}: {result.num_frames} frames of {len(cameras)} cameras"),
        ("cameras", f"{result.scene.path / RIG_FILE}{held_out}"),
        ("points", f"{result.num_points} in colmap_0/sparse/0"),
    ]
    if result.box is not None:
        corners = [
            [round(float(x), 3) for x in c] for c in (result.box.minimum, result.box.maximum)
        ]
        rows.append(("box", f"{corners}, see {result.scene.path / 'box.png'}"))
    rows.append(("next", f"igs stream --config {result.config}"))
    for name, text in rows:
        print(f"{name + ':':10} {text}")


class StageBars:
    """Callable that takes `PrepareProgress` and draws a bar a stage on standard error."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __enter__(self) -> StageBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, progress: PrepareProgress) -> None:
        if progress.stage != self._stage or self._bar is None:
            self._close()
            self._stage = progress.stage
            # What was there already is no speed.
            self._bar = tqdm(
                desc=progress.stage,
                total=progress.total,
                initial=progress.done,
                mininterval=0.5,
                dynamic_ncols=True,
            )
            return
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
