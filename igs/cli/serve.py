"""`igs serve`: recorded and live free-viewpoint video over HTTP and WebSocket."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

EPILOG = """examples:
  igs serve outputs/recordings
  igs serve --live configs/live_rtsp.yaml
  igs serve --live rig.yaml --port 9000 live.schedule.interval=5 limits.viewers=50
  IGS_SERVE_TOKEN=... igs serve outputs/recordings --host 0.0.0.0

Only this machine can watch unless --host says otherwise. Then anybody who reaches the address can
watch, and whatever changes something needs the token (made and shown if none is given).
Settings `live.KEY=VALUE` are for the sessions, others for the server; docs/serve.md lists them.
"""
_TOKEN = "IGS_SERVE_TOKEN"
_EXTRA = "igs serve needs FastAPI and uvicorn: pip install 'igs[serve]'"


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "serve",
        help="serve recorded and live free-viewpoint video",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="FOLDER | key=value",
                        help="folder of recordings (default: recordings), settings")  # fmt: skip
    parser.add_argument("--live", action="append", default=[], metavar="FILE",
                        help="YAML file of a live session; may be repeated")  # fmt: skip
    parser.add_argument("--config", help="YAML file of the server's settings")
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port (default: 8765; 0: any free one)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    try:
        from igs.serve.server import read_live, serve, with_token
    except ImportError as error:
        if (error.name or "").split(".")[0] not in ("fastapi", "starlette", "uvicorn", "pydantic"):
            raise
        raise ValueError(_EXTRA) from None
    from igs.config.resources import config_path

    folder, words, live_words = _sorted(arguments.words)
    config = with_token(_config(arguments, folder, words))
    live = {}
    for name in arguments.live:
        own, root = read_live(config_path(name), live_words)
        if own.name in live:
            raise ValueError(f"{name}: another session is called {own.name!r} already; set `name`")
        live[own.name] = (own, root)
    if live_words and not live:
        raise ValueError(f"{live_words[0]}: settings of a session need --live FILE")
    serve(config, live, ready=lambda address: _greet(config, address, list(live)))
    return 0


def _sorted(words: list[str]) -> tuple[str | None, list[str], list[str]]:
    """The folder, the server's settings, and those of sessions without their `live.`."""
    folders = [word for word in words if "=" not in word]
    if len(folders) > 1:
        raise ValueError(f"{folders[1]}: name one folder of recordings")
    settings = [word for word in words if "=" in word]
    own = [word for word in settings if not word.startswith("live.")]
    live = [word.removeprefix("live.") for word in settings if word.startswith("live.")]
    return (folders[0] if folders else None), own, live


def _config(arguments: argparse.Namespace, folder: str | None, words: list[str]) -> Any:
    from igs.config.load import load_config
    from igs.config.resources import config_path
    from igs.config.serve import ServeConfig

    if folder is not None and not Path(folder).is_dir() and not arguments.live:
        raise FileNotFoundError(f"{folder}: no such folder of recordings")
    path = None if arguments.config is None else config_path(arguments.config)
    config = load_config(ServeConfig, path, words)
    # Not through `key=value`: a folder may have any name, and a token should not be in `ps`.
    config.recordings = config.recordings if folder is None else folder
    config.host = arguments.host or config.host
    config.port = config.port if arguments.port is None else arguments.port
    config.token = os.environ.get(_TOKEN) or config.token
    return config


def _greet(config: Any, address: str, live: list[str]) -> None:
    print(f"{'page:':12} {address}/", flush=True)
    print(f"{'recordings:':12} {Path(config.recordings)}")
    for name in live:
        print(f"{'live:':12} {address}/api/v1/sessions/{name}/live (WebSocket)")
    if not config.is_loopback:
        print("anybody who reaches this address can watch")
        if not os.environ.get(_TOKEN):
            print(f"{'token:':12} {config.token}")
    print("Ctrl-C stops", flush=True)
