"""Settings of `igs serve`: the server, its limits, and one live session."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Optional

from igs.config.checks import at_least, one_of
from igs.config.frame0 import Frame0Config, check_frame0
from igs.config.fvv import PRESETS
from igs.config.load import ConfigError
from igs.config.schema import StreamConfig, ViewsConfig
from igs.config.validate import check_stream

# OmegaConf resolves these annotations at run time on Python 3.10, where it needs `Optional`.
# ruff: noqa: UP045

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass
class ServeLimits:
    """What the server takes on at most; what goes beyond is refused with a reason.

    viewers: of one session; viewers_per_address: of one session from one address. connections:
    open at once in all. requests_per_second, request_burst: of one address. body_bytes: of a
    request. control_bytes, control_per_second: messages that a viewer sends. recording_bytes: of
    one recording; then it is finished and the session goes on without.
    """

    sessions: int = 4
    viewers: int = 200
    viewers_per_address: int = 200
    connections: int = 1000
    requests_per_second: float = 50.0
    request_burst: int = 300
    body_bytes: int = 65_536
    control_bytes: int = 4096
    control_per_second: float = 20.0
    recording_bytes: int = 64 << 30


@dataclass
class ViewerPolicy:
    """How a viewer that cannot keep up is treated; docs/serve.md, "Slow viewers".

    queue_frames, queue_bytes: what waits for one viewer at most. calm_frames: frames in a row that
    found the queue empty before the viewer is given more again. stall_seconds: a message that
    cannot be handed over for so long ends the connection.
    """

    queue_frames: int = 12
    queue_bytes: int = 64 << 20
    calm_frames: int = 15
    stall_seconds: float = 30.0


@dataclass
class ServeConfig:
    """The server.

    host: address to listen on; loopback unless told otherwise. token: needed for anything but
    watching; none means that the command line makes one when `host` is not loopback. hosts: names
    that requests may address the server by; empty: the loopback names on loopback, any elsewhere.
    origins: web pages of other servers that may use this one.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    recordings: str = "recordings"
    token: Optional[str] = None
    hosts: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    shutdown_seconds: float = 20.0
    limits: ServeLimits = field(default_factory=ServeLimits)
    viewer: ViewerPolicy = field(default_factory=ViewerPolicy)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK or self.host.startswith("127.")


@dataclass
class CameraInput:
    """One camera's pictures.

    name: of the camera in the rig. url: a file, a device, or anything that FFmpeg opens
    (rtsp://, udp://, http://). format: FFmpeg's name of the input format where it cannot tell
    (v4l2, dshow, avfoundation, mpegts). options: handed to FFmpeg. loop: play a file again.
    """

    name: str = ""
    url: str = ""
    format: Optional[str] = None
    options: dict[str, str] = field(default_factory=dict)
    loop: bool = False


@dataclass
class IngestConfig:
    """How pictures of several cameras become frames.

    fps: of the cameras. tolerance: seconds by which pictures of one frame may differ; None is half
    a frame. clock: `arrival` maps each camera's time stamps to the time they arrive at least
    delay; `stream` takes the time stamps of all cameras as those of one clock. wait: seconds that a
    frame waits for a missing picture. lost_after: seconds without a picture after which a camera
    counts as away. min_cameras: with fewer, nothing is reconstructed. start_seconds: how long the
    beginning waits for all cameras. timeout, retry: seconds that opening or reading may take, and
    seconds until the next try. depth: pictures kept per camera while they wait for others.
    """

    fps: float = 30.0
    tolerance: Optional[float] = None
    clock: str = "arrival"
    wait: float = 0.5
    lost_after: float = 2.0
    min_cameras: int = 2
    start_seconds: float = 15.0
    timeout: float = 5.0
    retry: float = 0.5
    depth: int = 32


@dataclass
class LiveConfig(StreamConfig):
    """One live session: `igs serve --live FILE`. Paths are relative to that file.

    rig: camera file. size: width and height to work at; None as calibrated. inputs: where each
    camera's pictures come from; cameras of the rig without an input are not used. preset: of the
    container. record: write what is published to the recordings folder. frame0: `load` starts from
    frame0.ply, `optimise` makes Gaussians of the first frame that is seen.
    """

    name: str = "live"
    rig: str = "cameras.json"
    undistort: bool = True
    size: Optional[list[int]] = None
    preset: str = "live"
    record: bool = True
    views: ViewsConfig = field(default_factory=lambda: ViewsConfig(held_out=[]))
    inputs: list[CameraInput] = field(default_factory=list)
    ingest: IngestConfig = field(default_factory=IngestConfig)
    frame0: Frame0Config = field(default_factory=Frame0Config)


def check_serve(config: ServeConfig) -> None:
    """Refuse values that the server cannot run with.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    if not 0 <= config.port <= 65535:
        raise ConfigError(f"port: {config.port} must lie in 0..65535; 0 takes a free one")
    if not config.host:
        raise ConfigError("host: name the address to listen on; 127.0.0.1 is this machine only")
    if config.token is not None and len(config.token) < 16:
        raise ConfigError("token: must have at least 16 characters")
    for section, values in (("limits", config.limits), ("viewer", config.viewer)):
        for key, value in vars(values).items():
            if not value > 0:
                raise ConfigError(f"{section}.{key}: {value} must be above 0")
    at_least("viewer.queue_frames", config.viewer.queue_frames, 4)
    if not config.shutdown_seconds > 0:
        raise ConfigError(f"shutdown_seconds: {config.shutdown_seconds} must be above 0")


def check_live(config: LiveConfig) -> None:
    """Refuse values that a live session cannot work with; includes `check_stream`.

    Raises:
        ConfigError: names the key, the value and what would be right.
    """
    check_stream(config)
    check_frame0(config.frame0)
    if not _NAME.fullmatch(config.name):
        raise ConfigError(f"name: {config.name!r} must be letters, digits, - and _, at most 64")
    one_of("preset", config.preset, tuple(PRESETS))
    if config.frame0.mode == "load" and not config.frame0.ply:
        raise ConfigError("frame0.ply: frame0.mode=load needs the path of a PLY file")
    if config.size is not None and (len(config.size) != 2 or min(config.size) < 1):
        raise ConfigError(f"size: needs width and height, got {config.size}")
    _check_inputs(config.inputs)
    _check_ingest(config.ingest, len(config.inputs))


def _check_inputs(inputs: list[CameraInput]) -> None:
    if not inputs:
        raise ConfigError("inputs: name each camera's url, as in `- {name: cam00, url: ...}`")
    names = [entry.name for entry in inputs]
    for entry in inputs:
        if not entry.name or not entry.url:
            raise ConfigError(f"inputs: camera {entry.name!r} needs a name and a url")
        if names.count(entry.name) > 1:
            raise ConfigError(f"inputs: camera {entry.name!r} is given twice")


def _check_ingest(ingest: IngestConfig, num_cameras: int) -> None:
    one_of("ingest.clock", ingest.clock, ("arrival", "stream"))
    for key in ("fps", "wait", "lost_after", "start_seconds", "timeout", "retry"):
        if not getattr(ingest, key) > 0:
            raise ConfigError(f"ingest.{key}: {getattr(ingest, key)} must be above 0")
    if ingest.tolerance is not None and not 0 < ingest.tolerance < 1 / ingest.fps:
        raise ConfigError(
            f"ingest.tolerance: {ingest.tolerance} s must be above 0 and below one frame, "
            f"{1 / ingest.fps:.4f} s"
        )
    at_least("ingest.depth", ingest.depth, 4)
    if not 1 <= ingest.min_cameras <= num_cameras:
        raise ConfigError(
            f"ingest.min_cameras: {ingest.min_cameras} must lie in 1..{num_cameras}, the inputs"
        )
