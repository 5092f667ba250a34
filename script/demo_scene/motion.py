"""The ball and the cloth as functions of time."""

from __future__ import annotations

import numpy as np

from .geometry import Array, Mesh, ellipsoid, grid_faces, grid_normals, pose, rotation, transform

GRAVITY = 9.81

BALL_RADIUS = 0.14
BALL_DROP = 0.42
BALL_RESTITUTION = 0.88
BALL_START = (0.70, 0.02)
BALL_DRIFT = (0.09, 0.05)

CLOTH_WIDTH, CLOTH_LENGTH = 0.74, 0.95
CLOTH_CORNER = np.array([-1.30, -1.74, 0.36])


def ball_height(time: float) -> float:
    """Height in metres of the ball's lowest point above the floor.

    The ball falls from ``BALL_DROP`` and keeps ``BALL_RESTITUTION`` of its speed at each bounce.
    """
    speed = float(np.sqrt(2 * GRAVITY * BALL_DROP))
    fall = speed / GRAVITY
    if time < fall:
        return BALL_DROP - GRAVITY * time**2 / 2
    since = time - fall
    while True:
        speed *= BALL_RESTITUTION
        flight = 2 * speed / GRAVITY
        if since < flight or flight < 1e-3:
            return max(speed * since - GRAVITY * since**2 / 2, 0.0)
        since -= flight


def ball(time: float) -> Mesh:
    """The ball in world axes, drifting and spinning steadily."""
    centre = [
        BALL_START[0] + BALL_DRIFT[0] * time,
        -BALL_RADIUS - ball_height(time),
        BALL_START[1] + BALL_DRIFT[1] * time,
    ]
    tilt = rotation("z", 0.5 + 1.1 * time) @ rotation("x", 0.4) @ rotation("y", 1.3 * time)
    return transform(ellipsoid([BALL_RADIUS] * 3, 48), pose(centre, tilt))


def cloth_points(time: float, rows: int = 64, cols: int = 48) -> Array:
    """Vertices (rows, cols, 3) of the hanging cloth, its top row fixed to the rod.

    Every column is a chain of segments of fixed length whose tilt out of the vertical is a
    travelling wave, so the cloth swings and ripples without stretching along its height.
    """
    u = np.linspace(0, 1, cols)[None, :]
    v = np.linspace(0, 1, rows)[:, None]
    turn = 2 * np.pi
    grow = np.sin(np.pi / 2 * np.minimum(v / 0.45, 1.0)) ** 1.5
    breeze = -0.16 - 0.14 * np.sin(turn * (0.5 * time + 0.1))
    tilt = breeze + 0.34 * np.sin(turn * (0.9 * v + 0.7 * u - 0.85 * time))
    tilt = tilt + 0.22 * np.sin(turn * (0.4 * v - 1.6 * u + 0.6 * time) + 1.0)
    sway = 0.10 * np.sin(turn * (0.6 * v - 0.5 * time)) + 0.05 * np.sin(turn * (u - 0.4 * time))
    tilt, sway = tilt * grow, np.broadcast_to(sway * grow, np.broadcast(u, v).shape)
    step = CLOTH_LENGTH / (rows - 1)
    steps = step * np.stack(
        [np.sin(sway), np.cos(sway) * np.cos(tilt), np.cos(sway) * np.sin(tilt)], -1
    )
    steps[0] = 0.0
    top = CLOTH_CORNER + np.array([CLOTH_WIDTH, 0.0, 0.0]) * u[0][:, None]
    return top[None] + np.cumsum(steps, axis=0)


def cloth(time: float) -> Mesh:
    """The cloth as a mesh in world axes; its texture covers it once."""
    points = cloth_points(time)
    rows, cols = points.shape[:2]
    v, u = np.meshgrid(np.linspace(0, 1, rows), np.linspace(0, 1, cols), indexing="ij")
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    normals = grid_normals(points).reshape(-1, 3)
    return Mesh(points.reshape(-1, 3), grid_faces(rows, cols), uv, normals)
