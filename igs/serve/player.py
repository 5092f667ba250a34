"""The built web player, and the videos of real cameras that it can show beside a recording."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

from igs.serve.export import PLAYER
from igs.serve.recordings import Recordings

# Decoders are WebAssembly, which zstddec takes from a `data:` address.
CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; connect-src 'self' ws: wss: data:; img-src 'self'; media-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_VIDEO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}\.(mp4|m4v|mov|webm)")


def player_is_built() -> bool:
    """Whether this installation has the player."""
    return (PLAYER / "index.html").is_file()


def add_player(app: FastAPI, recordings: Recordings) -> None:
    """Serve the player at `/player/`, if it is built, and the videos beside recordings."""
    if player_is_built():
        app.mount("/player", _PlayerFiles(directory=PLAYER, html=True), name="player")

    @app.get(
        "/recordings/{name}/cameras", summary="List videos of real cameras", tags=["recordings"]
    )
    def videos(name: str) -> dict[str, str]:
        """Address of each video, relative to this one, by name of the camera."""
        try:
            found = camera_videos(recordings.path(name))
        except FileNotFoundError as error:
            raise HTTPException(404, str(error)) from None
        return {camera: f"cameras/{path.name}" for camera, path in found.items()}

    @app.get(
        "/recordings/{name}/cameras/{video}", summary="The video of a real camera",
        tags=["recordings"], response_class=FileResponse,
    )  # fmt: skip
    def video(name: str, video: str) -> Response:
        """Whole, or one range of it."""
        try:
            found = camera_videos(recordings.path(name))
        except FileNotFoundError as error:
            raise HTTPException(404, str(error)) from None
        for path in found.values():
            if path.name == video:
                return FileResponse(path, headers={"Cache-Control": "no-cache"})
        raise HTTPException(404, f"{name} has no video {video!r}")


def camera_videos(recording: Path) -> dict[str, Path]:
    """Videos of real cameras: `NAME.cameras/CAMERA.mp4` beside `NAME.fvv`.

    Second 0 of each is the recording's first frame. Also `.m4v`, `.mov`, `.webm`. Links that lead
    out of the folder, and files of other names, are left out.

    Returns:
        Files by name of the camera, sorted; empty where there is no such folder.
    """
    folder = recording.with_suffix(".cameras")
    if not folder.is_dir() or folder.resolve().parent != recording.resolve().parent:
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        ours = _VIDEO.fullmatch(path.name) and path.resolve().parent == folder.resolve()
        if ours and path.is_file():
            found[path.stem] = path
    return found


class _PlayerFiles(StaticFiles):
    """Asked for anew each time, so that an upgrade is seen; and what scripts may do is said."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY
        return response
