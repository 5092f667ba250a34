"""Settings: the examples can be used, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from igs.cli.serve import _sorted
from igs.config import ConfigError, load_config
from igs.config.serve import LiveConfig, ServeConfig, check_live, check_serve

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("live_*.yaml")), ids=lambda p: p.stem)
def test_the_examples_are_sound(path: Path):
    config = load_config(LiveConfig, path)
    check_live(config)
    assert len(config.inputs) >= 2
    assert config.views.held_out == []


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("ingest.clock=sundial", "ingest.clock"),
        ("ingest.tolerance=1.0", "ingest.tolerance"),
        ("ingest.min_cameras=5", "ingest.min_cameras"),
        ("ingest.fps=0", "ingest.fps"),
        ("name=../up", "name"),
        ("preset=tiny", "preset"),
        ("frame0.ply=null", "frame0.ply"),
        ("inputs=[]", "inputs"),
        ("inputs=[{name: a, url: x}, {name: a, url: y}]", "'a' is given twice"),
        ("inputs=[{name: a, address: x}]", "address"),
        ("ingest.clok=arrival", "did you mean ingest.clock"),
    ],
)
def test_mistakes_of_a_session_are_named(word: str, named: str):
    with pytest.raises(ConfigError, match=named):
        check_live(load_config(LiveConfig, CONFIGS / "live_udp.yaml", [word]))


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("port=70000", "port"),
        ("token=short", "token"),
        ("limits.viewers=0", "limits.viewers"),
        ("viewer.queue_frames=2", "viewer.queue_frames"),
        ("host=''", "host"),
    ],
)
def test_mistakes_of_the_server_are_named(word: str, named: str):
    with pytest.raises(ConfigError, match=named):
        check_serve(load_config(ServeConfig, None, [word]))


def test_words_of_the_command_line():
    assert _sorted(["here", "live.seed=3", "port=1"]) == ("here", ["port=1"], ["seed=3"])
    with pytest.raises(ValueError, match="one folder"):
        _sorted(["here", "there"])
