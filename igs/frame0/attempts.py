"""Several optimisations of one instant from different seeds; the best is kept.

Which one is best is told by training cameras that all of them set aside (`frame0.validation`). The
images of test cameras take no part: nothing here ever sees them.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from igs.config.difference import first_difference
from igs.frame0.checkpoint import save_checkpoint
from igs.frame0.train import Frame0Trainer
from igs.gaussians import PointCloud
from igs.scene import SceneError
from igs.scene.files import read_json, write_json

logger = logging.getLogger(__name__)

FORMAT = "igs-frame0-attempts-1"
RECORD = "attempts.json"
MAY_DIFFER = ("output", "threads", "checkpoint_interval")  # of a run that is taken up

Trained = tuple[Frame0Trainer, PointCloud]


@dataclass(frozen=True)
class Attempt:
    """One finished optimisation.

    Attributes:
        seed: what it was made with.
        validation_psnr: of its best look at the cameras set aside, dB; None where no look gave a
            number.
        best_iteration: when that was.
        iterations: how far it went.
        seconds: what it took, points included.
    """

    seed: int
    validation_psnr: float | None
    best_iteration: int
    iterations: int
    seconds: float

    @classmethod
    def of(cls, trainer: Frame0Trainer, seconds: float) -> Attempt:
        """What is to be noted of a trainer at its end, which must have cameras set aside."""
        looks = trainer.validation
        assert looks is not None
        psnr = looks.best_psnr if math.isfinite(looks.best_psnr) else None
        return cls(trainer.seed, psnr, looks.best_iteration, trainer.iteration, seconds)


def kept(attempts: Sequence[Attempt]) -> Attempt:
    """The attempt of the highest validation figure, the first of equal ones."""
    return max(
        attempts, key=lambda a: -math.inf if a.validation_psnr is None else a.validation_psnr
    )


def attempts_report(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """What `frame0.json` says of them."""
    return {"kept_seed": kept(attempts).seed, "runs": [asdict(a) for a in attempts]}


class AttemptFiles:
    """Finished attempts beside the checkpoint of the running one, so that none is made twice.

    ``attempts.json`` lists them; of the best so far, ``attempt_<seed>.safetensors`` holds the whole
    state.

    Args:
        folder: the run's output folder.
        settings: of the run, as plain values; attempts of other settings are refused.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder, self._settings = folder, settings

    def state(self, seed: int) -> Path:
        """Where the state of an attempt lies while it is the best."""
        return self._folder / f"attempt_{seed}.safetensors"

    def read(self) -> list[Attempt]:
        """The finished attempts in order; none where nothing is noted.

        Raises:
            SceneError: a damaged list, or one of a run with other settings; names the setting.
        """
        path = self._folder / RECORD
        if not path.is_file():
            return []
        noted = read_json(path)
        if not isinstance(noted, dict) or noted.get("format") != FORMAT:
            raise SceneError(f"{path}: is no list of attempts at frame 0 ({FORMAT}); start anew")
        found = first_difference(noted["settings"], self._settings, MAY_DIFFER)
        if found is not None:
            key, before, now = found
            raise SceneError(
                f"{path}: attempts made with {key}={before}, now it is {now}; start anew, or give "
                "the settings they were made with"
            )
        return [Attempt(**row) for row in noted["runs"]]

    def add(self, attempts: Sequence[Attempt], trainer: Frame0Trainer) -> None:
        """Note the last of the attempts, which this trainer made."""
        best = kept(attempts)
        if best is attempts[-1]:
            save_checkpoint(self.state(best.seed), trainer)
        runs = [asdict(a) for a in attempts]
        record = {"format": FORMAT, "settings": self._settings, "runs": runs}
        write_json(self._folder / RECORD, record)
        # Behind the list: whatever it calls the best is there.
        self._remove_states(but=self.state(best.seed))

    def remove(self) -> None:
        """Take away list and states."""
        (self._folder / RECORD).unlink(missing_ok=True)
        self._remove_states()

    def _remove_states(self, but: Path | None = None) -> None:
        for path in self._folder.glob("attempt_*.safetensors"):
            if path != but:
                path.unlink()


def best_of_attempts(
    count: int,
    seed: int,
    train: Callable[[int, str], Trained],
    files: AttemptFiles | None = None,
    restore: Callable[[int], Trained] | None = None,
) -> tuple[Trained, list[Attempt]]:
    """Train with seeds `seed`, `seed` + 1, ... and keep the best.

    Args:
        count: how many attempts; one is trained and nothing else.
        seed: of the first.
        train: trains to the end with a seed; the words go before its progress notes.
        files: where finished attempts are noted, and where those of a run cut off are found.
        restore: the trained state of a noted attempt; needed with `files`.

    Returns:
        The best, and what is to be told of all; an empty list for a single attempt.
    """
    if count == 1:
        return train(seed, ""), []
    done = files.read() if files is not None else []
    best: Trained | None = None
    for number in range(len(done), count):
        started = time.perf_counter()
        trained = train(seed + number, f"attempt {number + 1} of {count}, ")
        done.append(Attempt.of(trained[0], time.perf_counter() - started))
        if kept(done) is done[-1]:
            best = trained
        if files is not None:
            files.add(done, trained[0])
        figure = done[-1].validation_psnr
        shown = "no figure" if figure is None else f"{figure:.2f} dB"
        logger.info("frame 0: attempt %d of %d: %s in validation", number + 1, count, shown)
    if best is None:  # made before this run was taken up
        assert restore is not None
        best = restore(kept(done).seed)
    return best, done
