"""The web application: recorded files, live sessions, a page, health and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.types import ASGIApp

import igs
from igs.config import ConfigError
from igs.config.serve import LiveConfig, ServeConfig, check_live, check_serve
from igs.fvv import FvvError
from igs.serve import page
from igs.serve.guard import Guard
from igs.serve.live_socket import serve_viewer
from igs.serve.metrics import CONTENT_TYPE, metrics_text
from igs.serve.player import add_player, player_is_built
from igs.serve.state import ServerState

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/vnd.igs.fvv"
_SWEEP_SECONDS = 1.0

ABOUT = """Recorded and live free-viewpoint video.

Recordings are `.fvv` files, given whole or by HTTP range. A live session is watched by WebSocket at
`/api/v1/sessions/{name}/live`: binary messages are whole chunks of the container, text messages are
JSON. Whatever changes something needs `Authorization: Bearer TOKEN`, except on loopback without a
token.
"""


def create_app(
    config: ServeConfig,
    live: Mapping[str, tuple[LiveConfig, Path]] | None = None,
    *,
    autostart: bool = True,
) -> Guard:
    """The ASGI application.

    Args:
        config: of the server; checked here.
        live: sessions by name: config (checked here) and the folder its paths are relative to.
        autostart: start all sessions with the server.

    Returns:
        The application behind its guard; `app.state` of the application holds both.

    Raises:
        ConfigError: values that cannot be used, or a server beyond loopback without a token.
    """
    check_serve(config)
    for own, _ in (live or {}).values():
        check_live(own)
    if not config.is_loopback and config.token is None:
        raise ConfigError(f"token: needed to listen on {config.host}, which others can reach")
    state = ServerState(config, live or {})
    app = FastAPI(
        title="igs",
        version=igs.__version__,
        description=ABOUT,
        lifespan=_lifespan(state, autostart),
        docs_url=None,  # the pages of FastAPI load scripts from elsewhere
        redoc_url=None,
    )
    _add_pages(app)
    add_player(app, state.recordings)
    _add_recordings(app, state)
    _add_sessions(app, state)
    inside: ASGIApp = app
    if config.origins:
        inside = CORSMiddleware(
            app, allow_origins=config.origins, allow_methods=["GET"], allow_headers=["Range"]
        )
    guard = Guard(inside, config)
    app.state.server, app.state.guard = state, guard
    _add_numbers(app, state, guard)
    return guard


def _lifespan(state: ServerState, autostart: bool) -> Any:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        state.loop = asyncio.get_running_loop()
        for session in state.sessions if autostart else []:
            state.start(session.name)
        sweeper = asyncio.create_task(_sweep(state))
        try:
            yield
        finally:
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
            await state.close()

    return lifespan


async def _sweep(state: ServerState) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        state.sweep(asyncio.get_running_loop().time())


def _add_pages(app: FastAPI) -> None:
    built = player_is_built()

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return RedirectResponse("/player/") if built else status_page()

    @app.get("/status", include_in_schema=False)
    def status_page() -> Response:
        return HTMLResponse(page.HTML, headers={"Content-Security-Policy": page.CONTENT_SECURITY})

    @app.get("/status.js", include_in_schema=False)
    def script() -> Response:
        return Response(page.JS, media_type="text/javascript")

    @app.get("/status.css", include_in_schema=False)
    def style() -> Response:
        return Response(page.CSS, media_type="text/css")


def _add_recordings(app: FastAPI, state: ServerState) -> None:
    recordings = state.recordings

    @app.get("/api/v1/recordings", summary="List recordings", tags=["recordings"])
    def listed() -> list[dict[str, Any]]:
        """Name, bytes and time of change, newest first; `live` while it is being written."""
        now = state.recorded_now()
        return [{**item, "live": item["name"] in now} for item in recordings.listed()]

    @app.get("/api/v1/recordings/{name}", summary="Describe a recording", tags=["recordings"])
    def described(name: str) -> dict[str, Any]:
        """Frames, seconds, layers, cameras, damage, and the report of the session it is from."""
        try:
            about = recordings.described(name)
            return {**about, "report": recordings.report(name)}
        except FileNotFoundError as error:
            raise HTTPException(404, str(error)) from None
        except FvvError as error:
            raise HTTPException(422, f"{name}: {error}") from None

    @app.delete(
        "/api/v1/recordings/{name}", summary="Delete a recording", status_code=204,
        tags=["recordings"],
    )  # fmt: skip
    def delete(name: str) -> None:
        """Needs the token. A recording that is being written is refused."""
        if name in state.recorded_now():
            raise HTTPException(409, f"{name}: is being written; stop its session first")
        try:
            recordings.delete(name)
        except FileNotFoundError as error:
            raise HTTPException(404, str(error)) from None

    @app.head("/recordings/{name}", include_in_schema=False)
    @app.get(
        "/recordings/{name}", summary="The bytes of a recording",
        tags=["recordings"], response_class=FileResponse,
    )  # fmt: skip
    def content(name: str, request: Request) -> Response:
        """Whole, or one range of it (`Range: bytes=A-B`)."""
        if "," in request.headers.get("range", ""):
            raise HTTPException(416, "one range at a time")
        try:
            path = recordings.path(name)
        except FileNotFoundError as error:
            raise HTTPException(404, str(error)) from None
        headers = {"Cache-Control": "no-cache"}
        return FileResponse(path, media_type=MEDIA_TYPE, headers=headers)


def _add_sessions(app: FastAPI, state: ServerState) -> None:
    limits = state.config.limits

    @app.get("/api/v1/sessions", summary="List live sessions", tags=["sessions"])
    async def listed() -> list[dict[str, Any]]:
        """State, cameras, numbers of frames and what became of every picture."""
        return [state.describe(session) for session in state.sessions]

    @app.get("/api/v1/sessions/{name}", summary="Describe a live session", tags=["sessions"])
    async def described(name: str) -> dict[str, Any]:
        """The same of one session."""
        return state.describe(_found(state, name))

    @app.post("/api/v1/sessions/{name}/start", summary="Start a session", tags=["sessions"])
    async def start(name: str) -> dict[str, Any]:
        """Needs the token. Only sessions that the server was started with can be started."""
        _found(state, name)
        if not state.start(name):
            raise HTTPException(409, f"session {name}: runs already")
        return {"name": name, "running": True}

    @app.post("/api/v1/sessions/{name}/stop", summary="Stop a session", tags=["sessions"])
    async def stop(name: str) -> dict[str, Any]:
        """Needs the token. Its recording is finished; the frame in work still comes."""
        _found(state, name)
        if not state.stop(name):
            raise HTTPException(409, f"session {name}: does not run")
        return {"name": name, "stopping": True}

    @app.websocket("/api/v1/sessions/{name}/live")
    async def live(socket: WebSocket, name: str) -> None:
        try:
            session = state.session(name)
        except KeyError:
            await _deny(socket, 404, f"no session is called {name!r}")
            return
        address = socket.client.host if socket.client else ""
        same = sum(viewer.address == address for viewer in session.viewers)
        if session.ended:
            await _deny(socket, 410, f"session {name}: is over")
        elif len(session.viewers) >= limits.viewers:
            await _deny(socket, 503, f"session {name}: has {limits.viewers} viewers already")
        elif same >= limits.viewers_per_address:
            await _deny(socket, 429, f"{limits.viewers_per_address} viewers from one address")
        else:
            await serve_viewer(socket, session, limits)


def _add_numbers(app: FastAPI, state: ServerState, guard: Guard) -> None:
    @app.get("/health", summary="Whether all is well", tags=["server"])
    async def health() -> dict[str, Any]:
        """`ok`, or `degraded` when a session has failed or a camera is away."""
        states = {session.name: session.status.get("state") for session in state.sessions}
        cameras = [
            camera["state"]
            for session in state.sessions
            for camera in session.status.get("cameras", {}).values()
        ]
        bad = "failed" in states.values() or "away" in cameras or "refused" in cameras
        return {
            "status": "degraded" if bad else "ok",
            "version": igs.__version__,
            "sessions": states,
            "player": player_is_built(),
        }

    @app.get("/metrics", summary="Numbers for Prometheus", tags=["server"])
    async def metrics() -> Response:
        """Needs the token when the server can be reached from elsewhere."""
        return PlainTextResponse(metrics_text(state.sessions, guard), media_type=CONTENT_TYPE)


def _found(state: ServerState, name: str) -> Any:
    try:
        return state.session(name)
    except KeyError:
        raise HTTPException(404, f"no session is called {name!r}") from None


async def _deny(socket: WebSocket, status: int, reason: str) -> None:
    await socket.send_denial_response(JSONResponse({"detail": reason}, status))
