"""How good predicted motion is: on scenes with known motion and on captures."""

from igs.training.evaluation.run import evaluate_motion
from igs.training.evaluation.scores import CandidateScores, MotionScores, motion_table

__all__ = ["CandidateScores", "MotionScores", "evaluate_motion", "motion_table"]
