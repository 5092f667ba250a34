"""The waving figure: a skeleton moved by joint angles, dressed in capsules and ellipsoids.

The figure faces -z (towards the cameras), so its left arm, the one that waves, lies at +x.
"""

from __future__ import annotations

import numpy as np

from .geometry import Array, Mesh, aligned, capsule, ellipsoid, pose, rotation, transform

THIGH, SHIN, FOOT = 0.40, 0.40, 0.08
UPPER_ARM, FOREARM = 0.28, 0.25
STANCE = 0.13
WAVES_PER_SECOND = 0.9


def _swing(time: float, per_second: float, phase: float = 0.0) -> float:
    return float(np.sin(2 * np.pi * (per_second * time + phase)))


def joint_angles(time: float) -> dict[str, float]:
    """Joint angles in radians at ``time`` seconds; smooth sums of sines.

    Angles named ``lift`` turn a limb sideways, away from the hanging position.
    """
    r = np.radians
    wave = WAVES_PER_SECOND
    return {
        "yaw": r(5 * _swing(time, 0.45)),
        "lean": r(3 * _swing(time, 0.45, 0.1)),
        "twist": r(5 * _swing(time, wave, 0.05)),
        "head_yaw": r(14 * _swing(time, 0.5, 0.2)),
        "head_tilt": r(6 * _swing(time, wave, 0.1)),
        "left_lift": r(100 + 9 * _swing(time, wave)),
        "left_elbow": r(66 + 27 * _swing(time, wave, -0.06)),
        "left_hand": r(16 * _swing(time, wave, -0.16)),
        "right_lift": r(14 + 4 * _swing(time, 0.45, 0.3)),
        "right_swing": r(16 * _swing(time, 0.6, 0.15)),
        "right_elbow": r(24 + 9 * _swing(time, 0.6, 0.25)),
    }


def joints(time: float, place: Array) -> dict[str, Array]:
    """Forward kinematics: 4x4 local-to-world frame of every bone at ``time`` seconds.

    Args:
        place: (3,) point of the floor between the feet.

    Returns:
        Frames whose origin is the joint; a limb runs along its +y axis, the trunk along -y.
    """
    a = joint_angles(time)
    sway = [0.028 * _swing(time, 0.45), -0.86 + 0.012 * _swing(time, WAVES_PER_SECOND, 0.3), 0.0]
    pelvis = pose(np.asarray(place) + sway, rotation("y", a["yaw"]))
    chest = pelvis @ pose([0, -0.12, 0], rotation("z", a["lean"]) @ rotation("y", a["twist"]))
    head = chest @ pose([0, -0.44, 0], rotation("y", a["head_yaw"]) @ rotation("z", a["head_tilt"]))
    frames = {"pelvis": pelvis, "chest": chest, "head": head}
    frames["left_arm"] = chest @ pose([0.19, -0.35, 0], rotation("z", -a["left_lift"]))
    frames["left_forearm"] = frames["left_arm"] @ pose(
        [0, UPPER_ARM, 0], rotation("z", -a["left_elbow"])
    )
    frames["left_hand"] = frames["left_forearm"] @ pose(
        [0, FOREARM, 0], rotation("z", -a["left_hand"])
    )
    swing = rotation("z", a["right_lift"]) @ rotation("x", -a["right_swing"])
    frames["right_arm"] = chest @ pose([-0.19, -0.35, 0], swing)
    frames["right_forearm"] = frames["right_arm"] @ pose(
        [0, UPPER_ARM, 0], rotation("x", -a["right_elbow"])
    )
    frames["right_hand"] = frames["right_forearm"] @ pose([0, FOREARM, 0])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        frames |= _leg(side, sign, pelvis, np.asarray(place, dtype=float))
    return frames


def _leg(side: str, sign: float, pelvis: Array, place: Array) -> dict[str, Array]:
    """Two-bone inverse kinematics: the foot stays on the floor, the knee bends forward."""
    hip = (pelvis @ np.array([sign * 0.10, 0.03, 0.0, 1.0]))[:3]
    ankle = place + np.array([sign * STANCE, -FOOT, 0.0])
    reach = ankle - hip
    distance = min(float(np.linalg.norm(reach)), (THIGH + SHIN) * 0.9999)
    along = (THIGH**2 - SHIN**2 + distance**2) / (2 * distance)
    bend = np.sqrt(max(THIGH**2 - along**2, 0.0))
    direction = reach / np.linalg.norm(reach)
    forward = np.array([0.0, 0.0, -1.0])
    forward = forward - (forward @ direction) * direction
    knee = hip + along * direction + bend * forward / np.linalg.norm(forward)
    return {
        f"{side}_thigh": pose(hip, aligned(knee - hip)),
        f"{side}_shin": pose(knee, aligned(ankle - knee)),
        f"{side}_foot": pose(ankle, rotation("y", -sign * 0.25)),
    }


def body() -> list[tuple[str, str, Mesh]]:
    """The figure in its bones' own axes: (bone, texture, mesh)."""
    parts = [
        ("pelvis", "trousers", _offset(ellipsoid([0.165, 0.13, 0.115]), [0, 0.01, 0])),
        ("chest", "shirt", _offset(capsule(0.27, 0.15, 0.135, 4, 0.68), [0, -0.24, 0])),
        ("chest", "shirt", _offset(ellipsoid([0.22, 0.075, 0.085]), [0, -0.335, 0])),
        ("chest", "skin", _offset(capsule(0.10, 0.052, 0.058), [0, -0.46, 0])),
        ("head", "skin", _offset(ellipsoid([0.088, 0.12, 0.10]), [0, -0.13, -0.01])),
        ("head", "hair", _offset(ellipsoid([0.098, 0.10, 0.10]), [0, -0.185, 0.022])),
        ("head", "skin", _offset(ellipsoid([0.016, 0.024, 0.022]), [0, -0.12, -0.112])),
        ("head", "dark", _offset(ellipsoid([0.035, 0.008, 0.012]), [0, -0.065, -0.096])),
    ]
    for x in (-0.034, 0.034):
        parts.append(("head", "dark", _offset(ellipsoid([0.014, 0.014, 0.012]), [x, -0.145, -0.1])))
    for side in ("left", "right"):
        parts += _limbs(side)
    return parts


def _limbs(side: str) -> list[tuple[str, str, Mesh]]:
    return [
        (f"{side}_arm", "shirt", capsule(UPPER_ARM, 0.062, 0.05, 2)),
        (f"{side}_forearm", "shirt", capsule(FOREARM * 0.55, 0.051, 0.046, 2)),
        (f"{side}_forearm", "skin", capsule(FOREARM, 0.042, 0.033)),
        (f"{side}_hand", "skin", _offset(ellipsoid([0.046, 0.085, 0.026]), [0, 0.07, 0])),
        (f"{side}_hand", "skin", _offset(ellipsoid([0.014, 0.04, 0.016]), [0.05, 0.045, -0.005])),
        (f"{side}_thigh", "trousers", capsule(THIGH, 0.088, 0.064, 2)),
        (f"{side}_shin", "trousers", capsule(SHIN - 0.06, 0.066, 0.056, 2)),
        (f"{side}_foot", "shoes", _offset(ellipsoid([0.05, 0.055, 0.125]), [0, 0.025, -0.06])),
    ]


def _offset(mesh: Mesh, by: list[float]) -> Mesh:
    return transform(mesh, pose(by))


def figure(time: float, place: Array) -> list[tuple[str, Mesh]]:
    """The dressed figure in world axes at ``time`` seconds: (texture, mesh) of every part."""
    frames = joints(time, place)
    return [(texture, transform(mesh, frames[bone])) for bone, texture, mesh in body()]
