"""The built player in Debian's chromium with software graphics.

Skipped where either is absent, except under `CI`, where that fails.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from igs.serve.player import player_is_built

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Graphics on the processor; no sandbox, which needs more rights than a container gives.
FLAGS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")


def absent(reason: str) -> NoReturn:
    """Skip, or under `CI` fail: there these tests have to run."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One chromium for a file's tests; `IGS_CHROMIUM` names another program.

    Playwright keeps an event loop running until it is closed, and other tests want their own.
    """
    try:
        from playwright import sync_api
    except ImportError:
        absent("playwright is not installed; install it (pip install playwright)")
    program = os.environ.get("IGS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        absent("no chromium; install it (apt-get install chromium) or set IGS_CHROMIUM")
    if not player_is_built():
        absent("the player is not built; run `npm ci && npm run build` in viewer/")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of 320 x 360 points; afterwards it must have logged no error."""
    context = browser.new_context(viewport={"width": 320, "height": 360})
    made = context.new_page()
    made.set_default_timeout(120_000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    made.errors = errors
    yield made
    context.close()
    assert errors == []
