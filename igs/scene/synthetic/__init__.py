"""An endless source of scenes in motion, of which everything is known."""

from igs.scene.synthetic.config import PART_KINDS, RIG_KINDS, SyntheticSceneConfig
from igs.scene.synthetic.scene import GaussianState, SyntheticScene

__all__ = ["PART_KINDS", "RIG_KINDS", "GaussianState", "SyntheticScene", "SyntheticSceneConfig"]
