"""What streaming does for a GPU, with stand-ins for it: sending ahead, precision, memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from igs.config import ConfigError, RunConfig, check_stream
from igs.motion import AGMConfig, AGMNet
from igs.scene import Box, MultiViewFrame
from igs.stream import MultiViewEngine
from igs.stream import engine as engine_module
from igs.stream.memory import check_memory, estimate_memory, network_bytes
from igs.stream.precision import network_dtype
from igs.stream.predict import MotionPredictor
from igs.stream.upload import image_of, read_ahead

from .conftest import ToySource, toy_cameras, toy_gaussians

BOX = Box(np.array([-1.0, -0.5, 1.5]), np.array([1.0, 0.5, 2.5]))
INPUTS = ("cam00", "cam01")


class FakeUploader:
    """Copies at once; remembers who sent and what was received."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []
        self.threads: set[str] = set()
        self.received: list[int] = []

    def send(self, images: Mapping[str, np.ndarray]) -> tuple[dict[str, torch.Tensor], Any]:
        self.sent.append(tuple(images))
        self.threads.add(threading.current_thread().name)
        tensors = {name: torch.from_numpy(image.copy()) for name, image in images.items()}
        return tensors, len(self.sent)

    def receive(self, tensors: Mapping[str, torch.Tensor], mark: Any) -> None:
        self.received.append(mark)


def tiny_network() -> AGMNet:
    torch.manual_seed(3)
    return AGMNet(replace(AGMConfig.small(), network_size=64, anchors=64))


def test_frames_are_sent_ahead_by_another_thread() -> None:
    source, uploader = ToySource(6), FakeUploader()
    frames = read_ahead(
        lambda: source.frames(1), uploader, lambda i: INPUTS if i % 2 else ("cam04",), 2
    )
    got = list(frames)
    assert [frame.index for frame in got] == [1, 2, 3, 4, 5]
    assert uploader.received == [1, 2, 3, 4, 5]
    assert uploader.sent == [INPUTS, ("cam04",), INPUTS, ("cam04",), INPUTS]
    assert threading.current_thread().name not in uploader.threads
    first = got[0]
    image = image_of(first, "cam00")
    assert isinstance(image, torch.Tensor)
    assert np.array_equal(image.numpy(), first.images["cam00"])
    assert isinstance(image_of(first, "cam04"), np.ndarray)


def test_no_more_frames_are_asked_for_than_said() -> None:
    source = ToySource(None)
    frames = read_ahead(lambda: source.frames(0), FakeUploader(), lambda _: INPUTS, 2)
    for index in range(4):
        assert next(frames).index == index
        assert source.asked <= index + 1 + 2 + 1  # two that wait, one in the making
    frames.close()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class FrameWithMore(MultiViewFrame):
    gain: float = 1.0


def test_a_frame_stays_what_it_is() -> None:
    """A source may say more of a frame."""

    def frames():
        yield FrameWithMore(**vars(ToySource().frame(0)), gain=2.0)

    (frame,) = read_ahead(frames, FakeUploader(), lambda _: INPUTS, 1)
    assert isinstance(frame, FrameWithMore)
    assert frame.gain == 2.0
    assert isinstance(image_of(frame, "cam00"), torch.Tensor)


def test_errors_of_the_source_come_through() -> None:
    def broken():
        yield ToySource().frame(0)
        raise ValueError("camera cam01: no image")

    frames = read_ahead(broken, FakeUploader(), lambda _: INPUTS, 1)
    next(frames)
    with pytest.raises(ValueError, match="camera cam01: no image"):
        next(frames)
    with pytest.raises(ValueError, match="1 or more ahead"):
        next(read_ahead(broken, FakeUploader(), lambda _: INPUTS, 0))


@pytest.mark.parametrize("active_tiles", [False, True])
def test_a_stream_of_uploaded_frames_gives_the_same_bits(
    toy_config: RunConfig, monkeypatch: pytest.MonkeyPatch, active_tiles: bool
) -> None:
    toy_config.refine.active_only, toy_config.refine.active_tiles = True, active_tiles
    toy_config.motion.mode, toy_config.motion.weights = "agm", "given by hand"
    network = tiny_network()

    def run() -> list[torch.Tensor]:
        engine = MultiViewEngine(toy_config, toy_gaussians(), network=network, box=BOX)
        return [frame.gaussians.means for frame in engine.run(ToySource())]

    plain, uploader = run(), FakeUploader()
    monkeypatch.setattr(
        MultiViewEngine,
        "_frames",
        lambda self, source, start: read_ahead(
            lambda: source.frames(start), uploader, self._needed, 3
        ),
    )
    for a, b in zip(run(), plain, strict=True):
        assert torch.equal(a, b)
    assert uploader.sent[0] == ("cam00", "cam01", "cam03", "cam04")  # a key frame: all that train
    assert len(uploader.sent[1]) == 4  # a candidate: the network's views
    assert len(uploader.sent) == 9


@pytest.mark.parametrize(
    ("precision", "device", "major", "dtype"),
    [
        ("auto", "cpu", 0, None),
        ("auto", "cuda:1", 9, torch.bfloat16),
        ("auto", "cuda", 7, torch.float16),
        ("float32", "cuda", 9, None),
        ("bf16", "cpu", 0, torch.bfloat16),
        ("fp16", "cuda", 9, torch.float16),
    ],
)
def test_precision_of_the_network(
    precision: str,
    device: str,
    major: int,
    dtype: torch.dtype | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, 0))
    assert network_dtype(precision, device) is dtype


def test_an_unknown_precision_is_refused(toy_config: RunConfig) -> None:
    toy_config.motion.precision = "fp8"
    with pytest.raises(ConfigError, match=r"motion\.precision"):
        check_stream(toy_config)


def test_half_precision_stays_near_and_geometry_in_float32() -> None:
    # Without triangulation: an untrained flow decides at random between equal matches.
    torch.manual_seed(3)
    sizes = replace(AGMConfig.small(), network_size=64, anchors=64, triangulate=False)
    network, source, gaussians = AGMNet(sizes), ToySource(), toy_gaussians()
    with torch.no_grad():
        network.decoder.translation.weight.normal_(0, 0.02)
    cameras = [toy_cameras()[name] for name in ("cam00", "cam01", "cam03", "cam04")]
    motions = {}
    for dtype in (None, torch.bfloat16):
        predictor = MotionPredictor(network, cameras, BOX, dtype=dtype)
        key = predictor.encode(gaussians, predictor.images(source.frame(0)))
        assert key.weights.dtype == key.grid.dtype == torch.float32
        motions[dtype] = predictor.predict(key, source.frame(2))
    full, half = motions[None], motions[torch.bfloat16]
    assert half.translation.dtype == half.rotation.dtype == torch.float32
    assert not torch.equal(full.translation, half.translation)
    scale = float(full.translation.abs().max())
    assert float((full.translation - half.translation).abs().max()) < 0.2 * scale


def estimate(config: RunConfig, network: AGMNet | None = None) -> dict[str, int]:
    return estimate_memory(config, toy_gaussians(), list(toy_cameras().values()), INPUTS, network)


def test_the_estimate_follows_its_causes(toy_config: RunConfig) -> None:
    before = estimate(toy_config)
    assert "motion network" not in before
    toy_config.refine.densify.max_num = 300
    assert estimate(toy_config)["optimiser"] == 2 * before["optimiser"]
    toy_config.gpu.ahead = 100
    assert estimate(toy_config)["images"] > 10 * before["images"]
    toy_config.refine.mode = "off"
    assert estimate(toy_config)["optimiser"] == 0
    small, large = AGMNet(AGMConfig.small()), tiny_network()
    assert network_bytes(small, 100, 4) > network_bytes(large, 100, 4)
    assert network_bytes(small, 10**6, 4) > 2 * network_bytes(small, 10**4, 4)


def test_a_stream_that_does_not_fit_names_the_setting(toy_config: RunConfig) -> None:
    gaussians, cameras = toy_gaussians(), list(toy_cameras().values())
    toy_config.device = "cuda:1"
    toy_config.refine.densify.max_num = 4_000_000
    arguments = toy_config, gaussians, cameras, INPUTS, None
    check_memory(*arguments, free=lambda _: 80 << 30)
    check_memory(*arguments, free=lambda _: None)
    with pytest.raises(ConfigError) as caught:
        check_memory(*arguments, free=lambda _: 2 << 30)
    message = str(caught.value)
    assert "cuda:1 has 2.00 GiB free, the stream needs about" in message
    assert "gpu.memory_check=false" in message
    assert "\n" not in message
    assert "lower refine.densify.max_num" in message or "lower data.size" in message


def test_the_check_can_be_switched_off(
    toy_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ConfigError("too large")

    monkeypatch.setattr(engine_module, "check_memory", refuse)
    with pytest.raises(ConfigError, match="too large"):
        next(MultiViewEngine(toy_config, toy_gaussians()).run(ToySource()))
    toy_config.gpu.memory_check = False
    assert next(MultiViewEngine(toy_config, toy_gaussians()).run(ToySource())).index == 0


def test_images_of_frame_0_are_sent_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another device in the GPU's place, whose tensors hold nothing."""
    from igs.frame0 import views as module

    sent = []
    monkeypatch.setattr(
        module, "to_tensor", lambda image, device: sent.append(1) or torch.empty(image.shape)
    )
    monkeypatch.setattr(module, "to_float", lambda image, _device: image)
    source = ToySource()
    cameras = list(source.cameras.values())
    views = module.TrainingViews(cameras, source.frame(0).images)
    for _ in range(3):
        for index in range(len(cameras)):
            assert views.at(index, device="meta")[1].shape == (32, 48, 3)
    assert len(sent) == len(cameras)
    views.at(0, 2.0, "meta")
    views.at(1, 1.0, "meta")
    assert len(sent) == len(cameras) + 2
