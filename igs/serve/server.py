"""Running the application with uvicorn."""

from __future__ import annotations

import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn

from igs.config.load import ConfigError, load_config
from igs.config.serve import LiveConfig, ServeConfig
from igs.serve.app import create_app

logger = logging.getLogger(__name__)


def with_token(config: ServeConfig) -> ServeConfig:
    """The config with a fresh token if it needs one and has none."""
    if config.is_loopback or config.token is not None:
        return config
    return replace(config, token=secrets.token_urlsafe(24))


def read_live(path: Path, overrides: list[str]) -> tuple[LiveConfig, Path]:
    """A session's config, and the folder that its paths are relative to.

    Raises:
        ConfigError: it cannot be read.
    """
    return load_config(LiveConfig, path, overrides), path.resolve().parent


def serve(
    config: ServeConfig,
    live: Mapping[str, tuple[LiveConfig, Path]] | None = None,
    *,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; sessions then finish their recordings.

    After SIGINT and SIGTERM these take their usual course: KeyboardInterrupt, the process's end.

    Args:
        config: of the server.
        live: see `create_app`.
        ready: told the address once the socket is open.

    Raises:
        ConfigError: values that cannot be used, or an address that cannot be listened on.
    """
    app = create_app(config, live)
    limits = config.limits
    listener = _listen(config)
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="websockets-sansio",
        # Chunks are compressed already.
        ws_per_message_deflate=False,
        ws_max_size=limits.control_bytes,
        # Connections that do not become requests are bounded here, requests by the guard.
        limit_concurrency=limits.connections + 100,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=5,
        log_config=None,
    )
    # uvicorn takes a refused WebSocket for an application that forgot to answer.
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: "without completing handshake" not in record.getMessage()
    )
    name, port = listener.getsockname()[:2]
    if ready is not None:
        ready(f"http://{f'[{name}]' if ':' in name else name}:{port}")
    try:
        server = uvicorn.Server(settings)
        with _heeding_hangup(server):
            server.run(sockets=[listener])
    finally:
        listener.close()


@contextmanager
def _heeding_hangup(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGHUP, of a terminal that closes, stop the server as SIGTERM does; not under `nohup`."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    main = threading.current_thread() is threading.main_thread()
    if number is None or not main or signal.getsignal(number) == signal.SIG_IGN:
        yield
        return
    before = signal.signal(number, server.handle_exit)
    try:
        yield
    finally:
        signal.signal(number, before)


def _listen(config: ServeConfig) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        return socket.create_server((config.host, config.port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"host: cannot listen on {config.host}:{config.port} ({error})") from None
