"""AGM-Net: from two time steps of a few views to the motion of every Gaussian."""

from igs.motion.config import AGMConfig
from igs.motion.features import resize_images
from igs.motion.find import find_weights
from igs.motion.key_state import KeyState
from igs.motion.motion import Motion, warp
from igs.motion.network import AGMNet
from igs.motion.weights import load_agm, save_agm

__all__ = [
    "AGMConfig",
    "AGMNet",
    "KeyState",
    "Motion",
    "find_weights",
    "load_agm",
    "resize_images",
    "save_agm",
    "warp",
]
