"""A real Ray runtime: the driver killed and started anew, then a worker killed in the middle."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_data import small_config, write_data_set

from igs.building.log import read_events
from igs.building.run import BuildProgress, build_3dgs_dataset
from igs.config.building import BuildConfig
from igs.config.load import to_yaml

FRAMES = 5
BROKEN = 3
PATIENCE_SECONDS = 240  # of a machine that is busy with other things

pytestmark = pytest.mark.slow


def start_ray(ray: Any) -> None:
    """Two CPUs. On a busy machine the runtime may not come up in the time that Ray gives it."""
    for attempt in range(3):
        try:
            ray.init(
                address="local",
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=100 << 20,
            )
            return
        except Exception as error:  # Ray raises the bare class
            if attempt == 2 or "timed out during startup" not in str(error):
                raise
            ray.shutdown()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a runtime of two CPUs, which outlives the drivers."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason="Ray is not installed (igs[cluster])")
    start_ray(ray)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def settings(root: Path) -> BuildConfig:
    """Frames, of which one can never be built."""
    source = write_data_set(root / "source", {"a": FRAMES})
    image = source / "a" / f"colmap_{BROKEN}" / "images" / "c3.png"
    image.write_bytes(image.read_bytes()[:60])
    config = small_config(source, root / "out", iterations=200)
    config.checkpoint_interval = 20
    config.workers.engine, config.workers.retries = "ray", 1
    return config


def count(events: list[dict[str, Any]], kind: str) -> Counter[int]:
    """Frame to its number of events of one kind."""
    return Counter(event["frame"] for event in events if event["event"] == kind)


def is_at_work(pid: int, output: Path) -> bool:
    """Whether the last thing that a worker noted is that it began a frame."""
    events = [path.read_text().splitlines()[-1] for path in output.glob(f"build_log/*-{pid}.jsonl")]
    return any('"started"' in event for event in events)


def run_until_cut_off(config: BuildConfig, address: str, root: Path) -> None:
    """Start a driver and kill it when a frame is built and another begun."""
    (root / "build.yaml").write_text(to_yaml(config))
    words = ["build", str(config.source), "--out", str(config.output), "--address", address]
    driver = subprocess.Popen(
        [sys.executable, "-m", "igs.cli", *words, "--config", str(root / "build.yaml")],
        stderr=(root / "driver.txt").open("w"),
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not count(list(read_events(str(config.output))), "built"):
        assert driver.poll() is None, (root / "driver.txt").read_text()
        assert time.monotonic() < deadline, "nothing is built"
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()


def test_nothing_is_built_twice_and_nothing_lost(cluster: str, tmp_path: Path) -> None:
    config, killed = settings(tmp_path), []
    run_until_cut_off(config, cluster, tmp_path)
    before = count(list(read_events(tmp_path / "out")), "built")
    assert 0 < len(before) < FRAMES - 1

    def kill(progress: BuildProgress) -> None:
        for line in progress.running:
            pid = re.search(r"frame0 .*:(\d+) \(ray\)", line)
            if pid and not killed and is_at_work(int(pid[1]), tmp_path / "out"):
                killed.append(int(pid[1]))
                os.kill(killed[0], signal.SIGKILL)

    result = build_3dgs_dataset(config, resume=True, progress=kill)
    events = list(read_events(tmp_path / "out"))
    built, lost = count(events, "built"), count(events, "lost")
    assert built == Counter(set(range(FRAMES)) - {BROKEN})
    assert result.present + result.built == FRAMES - 1
    assert len(killed) == 1
    assert sum(lost.values()) == 1
    (failure,) = result.failures
    assert (failure.scene, failure.frame, len(failure.attempts)) == ("a", BROKEN, 2)
    assert "c3.png" in failure.attempts[-1].error
    assert re.search(r":\d+ \(cpu\)", failure.attempts[-1].worker)
    logging.getLogger(__name__).info(  # the figures of docs/building.md, by --log-cli-level=INFO
        "%d frames, %d built, %d of them before the driver was killed, %d times at most each; "
        "begun %d times, %d workers killed; given up: %d, %s",
        FRAMES,
        len(built),
        len(before),
        max(built.values()),
        sum(count(events, "started").values()),
        len(killed),
        failure.frame,
        failure.attempts[-1].error,
    )
