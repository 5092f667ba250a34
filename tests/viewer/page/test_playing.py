"""Playing, seeking, links, keys, live sessions, exports and errors, in the browser itself."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from igs.config.serve import ServeConfig
from igs.serve.app import create_app
from igs.serve.export import export_web

from ...serve.live_rig import Stream, free_ports, make_capture, served
from ..streams import stream
from .watching import FRAMES, open_player, wait_for, write_recording


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("recordings")
    path = write_recording(made / "scene.fvv", stream(count=200))
    data = path.read_bytes()
    (made / "cut.fvv").write_bytes(data[: len(data) * 2 // 3])
    (made / "other.fvv").write_bytes(b"something else entirely")
    (made / "scene.cameras").mkdir()
    (made / "scene.cameras" / "side.mp4").write_bytes(b"not really a video")
    return made


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    with served(create_app(ServeConfig(recordings=str(folder)))) as address:
        yield f"http://{address}"


def test_controls_keys_and_links(page: Any, site: str):
    open_player(page, f"{site}/player/?recording=scene.fvv#t=0.12&camera=side")
    player = "igs.player"
    wait_for(page, f"{player}.transport.frame === 3")
    assert page.evaluate(f"{player}.viewpoint.camera") == "side"
    assert page.evaluate("document.title").startswith("scene")
    page.focus("#view")
    page.keyboard.press(".")
    wait_for(page, f"{player}.transport.frame === 4")
    page.keyboard.press("Home")
    wait_for(page, f"{player}.transport.frame === 0")
    page.keyboard.press("l")
    page.keyboard.press(" ")
    wait_for(page, f"{player}.transport.frame === {FRAMES - 1} && !{player}.transport.playing")
    page.keyboard.press("c")
    wait_for(page, f"{player}.viewpoint.camera === 'front'")
    page.mouse.move(160, 120)
    page.mouse.down()
    page.mouse.move(200, 140, steps=3)
    page.mouse.up()
    assert page.evaluate(f"{player}.viewpoint.mode") == "orbit"
    page.keyboard.press("u")
    wait_for(page, "location.hash.includes('mode=orbit')")
    assert "t=0.5" in page.evaluate("location.hash")
    for control in page.query_selector_all("button, select, input"):
        named = control.evaluate(
            "c => c.getAttribute('aria-label') || c.labels?.length || c.textContent.trim()"
        )
        assert named, control.evaluate("c => c.outerHTML")


def test_overlays_and_settings(page: Any, site: str):
    open_player(page, f"{site}/player/?recording=scene.fvv")
    page.click("#settings-open")
    page.check("#show-box")
    page.check("#show-cameras")
    page.select_option("#speed", "2")
    page.select_option("#quality", "0")
    page.select_option("#viewpoint", "camera:side")
    player = "igs.player"
    wait_for(page, f"{player}.showsBox && {player}.showsCameras && {player}.transport.speed === 2")
    wait_for(page, f"{player}.viewpoint.camera === 'side'")
    wait_for(page, f"{player}.stream.status.layers === 1")
    page.keyboard.press("Escape")
    wait_for(page, "document.getElementById('settings').hidden")


def test_the_list_of_a_server(page: Any, site: str):
    page.goto(f"{site}/")
    wait_for(page, "document.querySelectorAll('#recordings a').length === 3")
    page.click("#recordings a[href='?recording=scene.fvv']")
    wait_for(page, "window.igs && igs.firstPicture !== null")


def test_damage_is_told_and_the_rest_plays(page: Any, site: str):
    open_player(page, f"{site}/player/?recording=cut.fvv")
    wait_for(page, "!document.getElementById('notice').hidden")
    assert page.evaluate("igs.player.info.frameCount") < FRAMES


@pytest.mark.parametrize("name", ["other.fvv", "missing.fvv"])
def test_what_cannot_be_played_is_told_in_words(page: Any, site: str, name: str):
    page.goto(f"{site}/player/?recording={name}")
    wait_for(page, "document.getElementById('notice').classList.contains('fatal')")
    words = page.evaluate("document.querySelector('#notice p').textContent")
    assert len(words.split()) >= 4
    assert "undefined" not in words
    page.errors[:] = [line for line in page.errors if "404" not in line]  # chromium's own


def test_the_real_camera(page: Any, site: str):
    """A video that is none is told in its caption, and disturbs nothing."""
    open_player(page, f"{site}/player/?recording=scene.fvv#camera=side")
    page.keyboard.press("p")
    wait_for(page, "document.querySelector('#pip figcaption').textContent.includes('cannot')")
    video = page.evaluate("document.querySelector('#pip video').src")
    assert video == f"{site}/recordings/scene.fvv/cameras/side.mp4"


def test_an_exported_folder_plays_from_plain_files(page: Any, folder: Path, tmp_path: Path):
    export_web(folder / "scene.fvv", tmp_path / "site", title="A scene")
    handler = functools.partial(_Quiet, directory=str(tmp_path / "site"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        open_player(page, f"http://127.0.0.1:{server.server_port}/")
        assert page.evaluate("document.getElementById('title').textContent") == "A scene"
        page.evaluate("igs.player.transport.seekFrame(9)")
        wait_for(page, "igs.player.renderer.frame.frame === 9")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:  # the base class writes to the terminal
        pass


def test_a_live_session(page: Any, tmp_path: Path):
    """Followed, held, looked back at, and caught up with; nothing before `live_from` is shown."""
    (tmp_path / "rig").mkdir()
    live = {"live": (make_capture(tmp_path / "rig", free_ports(4)), tmp_path / "rig")}
    app = create_app(ServeConfig(recordings=str(tmp_path)), live, autostart=False)
    state = app.app.state.server  # type: ignore[attr-defined]
    session, frames = state.session("live"), Stream(interval=4)

    def publish(count: int) -> None:
        for _ in range(count):
            state.loop.call_soon_threadsafe(session.publish, frames.next())
            time.sleep(0.01)

    with served(app) as address:
        state.loop.call_soon_threadsafe(session.begin, frames.start)
        publish(6)
        open_player(page, f"http://{address}/player/?live=live")
        player = "igs.player"
        assert page.evaluate(f"{player}.renderer.frame.frame >= {player}.info.liveFrom")
        publish(3)
        wait_for(page, f"{player}.renderer.frame.frame === 8")
        page.evaluate(f"{player}.transport.step(-2)")
        wait_for(page, f"{player}.renderer.frame.frame === 6")
        publish(3)
        wait_for(page, f"{player}.transport.frames[1] === 11")
        assert page.evaluate(f"{player}.renderer.frame.frame") == 6
        page.click("#live")
        wait_for(page, f"{player}.renderer.frame.frame === 11")
        state.loop.call_soon_threadsafe(session.end, "")
        wait_for(page, "document.getElementById('status').textContent.includes('over')")


def test_memory_stays_bounded(page: Any, tmp_path: Path):
    """Buffers of frames that are gone are used again, however often the video loops."""
    path = write_recording(tmp_path / "scene.fvv", stream(count=200))
    assert path.stat().st_size > 0
    with served(create_app(ServeConfig(recordings=str(tmp_path)))) as address:
        open_player(page, f"http://{address}/player/?recording=scene.fvv")
        page.evaluate("igs.player.transport.setSpeed(4); igs.player.transport.play()")
        wait_for(page, "igs.player.transport.frame > 8")
        page.wait_for_timeout(3000)
        held = page.evaluate("igs.player.stream.uses.size")
    assert held <= 6 * 4  # arrays a frame: shown, waiting, last, on their way
