"""Progress of a stream on the terminal: one bar a stage, with the time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from igs.stream import Progress

_TITLES = {"points": "first points", "frame0": "frame 0", "stream": "stream"}
_UNITS = {
    "points": "view",
    "frame0": "it",
    "compress": "it",
    "distil": "it",
    "quantise": "it",
    "stream": "frame",
}


class ProgressBars:
    """Callable that takes `Progress` and draws it on standard error."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None
        self._stage = ""

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._stage or self._bar is None or progress.done < self._bar.n:
            self._close()
            self._stage = progress.stage
            self._bar = tqdm(
                desc=_TITLES.get(progress.stage, progress.stage),
                total=progress.total,
                # A run taken up starts in the middle; what was there is no speed.
                initial=max(0, progress.done - 1),
                unit=_UNITS.get(progress.stage, "scene"),
                mininterval=0.5,
                dynamic_ncols=True,
            )
        self._bar.set_postfix_str(progress.note, refresh=False)
        self._bar.update(progress.done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
