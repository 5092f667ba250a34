"""Offsets between cameras, and frames lined up by them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from igs.config import load_config
from igs.config.prepare import PrepareConfig
from igs.prepare.run import prepare
from igs.prepare.sync import (
    CameraOffset,
    SyncReport,
    SyncSettings,
    apply_offsets,
    estimate_offsets,
    offsets_from_audio,
    offsets_from_motion,
)
from igs.prepare.sync_mixed import known_by, placed_by_motion
from igs.prepare.sync_signals import motion_signal, onset_envelope, video_motion
from igs.scene import SceneError, read_image, write_camera_object

ROOT = Path(__file__).resolve().parents[2]


def _events(length: int, seed: int = 0) -> np.ndarray:
    """Smooth, irregular activity at 20 samples a frame."""
    rng = np.random.default_rng(seed)
    moments = np.arange(length * 20) / 20
    total = np.ones_like(moments)
    for center in rng.uniform(0, length, length // 6):
        total += rng.uniform(1, 6) * np.exp(-0.5 * ((moments - center) / 1.5) ** 2)
    return total


def _seen(events: np.ndarray, start: float, frames: int, seed: int) -> np.ndarray:
    """The activity one camera records that starts `start` frames late, with its own gain."""
    rng = np.random.default_rng(seed)
    at = (np.arange(frames) + start) * 20
    signal = np.interp(at, np.arange(len(events)), events)
    return rng.uniform(0.3, 3) * (signal + rng.normal(0, 0.1, frames)).clip(0)


def test_shifted_camera_is_found_to_a_tenth_of_a_frame() -> None:
    events = _events(300)
    signals = {f"cam{k}": _seen(events, 20, 200, k) for k in range(5)}
    signals["cam3"] = _seen(events, 27.3, 200, 9)
    report = estimate_offsets(signals, 30.0)
    assert report.unsynchronised == ["cam3"]
    assert report.offsets["cam3"].frames == pytest.approx(-7.3, abs=0.15)
    assert all(abs(o.frames) < 0.2 for n, o in report.offsets.items() if n != "cam3")
    assert report.corrections["cam0"] == 0
    assert "starts late by 7." in report.offsets["cam3"].note


def test_given_reference_has_no_offset() -> None:
    events = _events(300)
    signals = {"a": _seen(events, 20, 200, 1), "b": _seen(events, 15, 200, 2)}
    report = estimate_offsets(signals, 30.0, settings=SyncSettings(reference="b"))
    assert report.reference == "b"
    assert report.offsets["a"].frames == pytest.approx(-5, abs=0.2)


def test_unrelated_and_constant_signals_tell_nothing() -> None:
    events = _events(300)
    signals = {f"cam{k}": _seen(events, 0, 200, k) for k in range(3)}
    signals["other"] = _seen(_events(300, seed=5), 0, 200, 4)
    signals["still"] = np.ones(200)
    report = estimate_offsets(signals, 30.0)
    assert report.unknown == ["other", "still"]
    assert report.unsynchronised == []
    assert "nothing is known" in report.offsets["still"].note


def test_periodic_motion_is_not_believed_at_another_period() -> None:
    wave = 2 + np.sin(np.arange(240) * 2 * np.pi / 20)
    report = estimate_offsets({"a": wave, "b": wave.copy(), "c": wave.copy()}, 30.0)
    assert report.unsynchronised == []


def test_bad_reference_and_single_camera_are_refused() -> None:
    with pytest.raises(SceneError, match="did you mean 'cam"):
        estimate_offsets(
            {"cam0": np.ones(9), "cam1": np.ones(9)}, 30.0, settings=SyncSettings(reference="cam")
        )
    with pytest.raises(SceneError, match="at least 2"):
        estimate_offsets({"cam0": np.ones(9)}, 30.0)


def test_offsets_applied_leave_the_common_steps() -> None:
    mapping = apply_offsets({"a": 0.0, "b": 3.4, "c": -2.0}, {"a": 10, "b": 12, "c": 9})
    assert mapping.indices["a"].tolist() == list(range(2, 9))
    assert mapping.indices["b"].tolist() == list(range(5, 12))
    assert mapping.indices["c"].tolist() == list(range(7))
    assert mapping.num_steps == 7
    assert mapping.residual["b"] == pytest.approx(0.4)


def test_offsets_without_a_common_moment_are_refused() -> None:
    with pytest.raises(SceneError, match="share no moment"):
        apply_offsets({"b": 20.0}, {"a": 10, "b": 12})
    with pytest.raises(SceneError, match="no camera is called 'x'"):
        apply_offsets({"x": 1.0}, {"a": 10})


def test_motion_signal_ignores_noise_and_sees_change() -> None:
    rng = np.random.default_rng(0)
    frames = [np.full((60, 80, 3), 90, np.uint8) for _ in range(5)]
    noisy = [(f + rng.integers(0, 3, f.shape)).astype(np.uint8) for f in frames]
    noisy[3][10:40, 10:40] += 80
    signal = motion_signal(noisy)
    assert len(signal) == 5
    assert signal[2] < 0.01
    assert signal[3] > 5


def test_onsets_stand_where_the_clicks_are() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.001, 16000)
    samples[8000:8100] += 0.5
    envelope = onset_envelope(samples, 16000, 200)
    assert abs(np.argmax(envelope) / 200 - 0.5) < 0.02


def _film(
    path: Path, sound: np.ndarray | None, lead: int = 0, greys: np.ndarray | None = None
) -> None:
    """Two seconds at 25 per second, whose grey rises with time, with sound at 16 kHz.

    `greys` are those of the frames instead.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = None if sound is None else container.add_stream("pcm_s16le", rate=16000)
        greys = 20 + 4 * (np.arange(50) + lead) if greys is None else greys
        for index, grey in enumerate(greys):
            picture = np.full((48, 64, 3), grey, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None and sound is not None:
            data = (sound * 30000).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(data, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


def _claps() -> np.ndarray:
    """Three seconds of sound with bursts at random moments."""
    rng = np.random.default_rng(3)
    long = rng.normal(0, 0.002, 48000)
    for at in rng.integers(2000, 46000, 14):
        long[at : at + 300] += rng.uniform(0.2, 0.6) * rng.normal(0, 1, 300).clip(-1, 1)
    return long


def test_offsets_from_sound_tracks(tmp_path) -> None:
    long = _claps()
    starts = {"a": 8000, "b": 8000, "c": 8000 + 3 * 640}
    for name, start in starts.items():
        _film(tmp_path / f"{name}.mkv", long[start : start + 32000])
    _film(tmp_path / "mute.mkv", None)
    videos = {name: tmp_path / f"{name}.mkv" for name in (*starts, "mute")}
    report = offsets_from_audio(videos, 25.0)
    assert report is not None
    assert report.unsynchronised == ["c"]
    assert report.offsets["c"].frames == pytest.approx(-3, abs=0.2)
    assert report.unknown == ["mute"]
    assert offsets_from_audio({"mute": videos["mute"]}, 25.0) is None


def test_demo_scene_is_synchronised_and_a_cut_camera_is_not() -> None:
    folder = ROOT / "examples" / "demo_scene"
    videos = {f"cam{k:02d}": folder / f"cam{k:02d}.mp4" for k in (0, 3, 6, 9)}
    report = offsets_from_motion(videos, 30.0)
    assert report.unsynchronised == []
    assert all(abs(offset.frames) < 0.5 for offset in report.offsets.values())
    signals = {name: video_motion(path) for name, path in videos.items()}
    signals["cam06"] = signals["cam06"][6:]
    report = estimate_offsets(signals, 30.0)
    assert report.unsynchronised == ["cam06"]
    assert report.offsets["cam06"].frames == pytest.approx(-6, abs=0.3)


def test_prepare_reports_offsets_and_applies_them_on_request(tmp_path, rig) -> None:
    """One of five cameras began three frames late; its sound tells."""
    long = _claps()
    for name in rig.cameras:
        lead = 3 if name == "cam03" else 0
        start = 8000 + lead * 640
        _film(tmp_path / "party" / f"{name}.mkv", long[start : start + 32000], lead)
    write_camera_object(tmp_path / "party" / "cameras.json", replace(rig, held_out=(), fps=25.0))

    def grey(mode: str) -> tuple[float, float]:
        """Of cam00 and cam03 in the first frame."""
        words = [f"input={tmp_path / 'party'}", f"output={tmp_path / mode}", f"sync.mode={mode}"]
        rest = ["frames='5'", "points.mode=none", "box.mode=none", "workers=1"]
        result = prepare(load_config(PrepareConfig, None, [*words, *rest]))
        said = [text for text in result.warnings if text.startswith("by their sound")]
        assert len(said) == 1
        assert "cam03 -3.0" in said[0]
        assert said[0].endswith("applied") == (mode == "apply")
        images = result.scene.frame_path(0) / "images"
        first, late = (
            float(read_image(images / f"{name}.png").mean()) for name in ("cam00", "cam03")
        )
        return first, late

    first, late = grey("report")
    assert late - first == pytest.approx(12, abs=2)
    first, late = grey("apply")
    assert late == pytest.approx(first, abs=2)
    assert first == pytest.approx(20 + 4 * 3, abs=2)


def _film_of_moments(path: Path, first: int, frames: int, with_sound: bool) -> None:
    """Frames `first` on of a scene whose light flickers as it claps: at moments of its own."""
    seen = _seen(_events(260, seed=2), 0, 260, 1)
    greys = 120 + 5 * np.clip(seen, 0, 20) * np.where(np.arange(260) % 2, 1, -1)
    sound = np.random.default_rng(7).normal(0, 0.002, 260 * 640)
    for at in np.random.default_rng(8).integers(0, len(sound) - 300, 60):
        sound[at : at + 300] += 0.4 * np.random.default_rng(at).normal(0, 1, 300).clip(-1, 1)
    part = sound[first * 640 : (first + frames) * 640]
    _film(path, part if with_sound else None, greys=greys[first : first + frames])


def test_a_camera_without_sound_is_placed_by_motion_on_the_clock_of_sound(tmp_path, rig) -> None:
    """Of five cameras one began seven frames late and heard it, one three frames early, deaf."""
    firsts = dict.fromkeys(rig.cameras, 20) | {"cam03": 27, "cam01": 17}
    for name, first in firsts.items():
        _film_of_moments(tmp_path / "party" / f"{name}.mkv", first, 200, name != "cam01")
    write_camera_object(tmp_path / "party" / "cameras.json", replace(rig, held_out=(), fps=25.0))
    words = [f"input={tmp_path / 'party'}", f"output={tmp_path / 'out'}", "frames='2'"]
    rest = ["points.mode=none", "box.mode=none", "workers=1", "sync.mode=apply"]
    result = prepare(load_config(PrepareConfig, None, [*words, *rest]))
    told = json.loads((result.scene.path / "prepare.json").read_text())["results"]["sync"]
    assert told["method"] == "audio+motion"
    assert told["methods"] == dict.fromkeys(rig.cameras, "audio") | {"cam01": "motion"}
    assert told["frames"]["cam03"] == pytest.approx(-7, abs=0.3)
    assert told["frames"]["cam01"] == pytest.approx(3, abs=0.3)
    said = next(text for text in result.warnings if "off in time" in text)
    assert said.startswith("by their sound and motion")
    assert re.search(r"cam01 \+[23]\.\d \(motion\), cam03 -[67]\.\d \(sound\)", said)
    images = result.scene.frame_path(1) / "images"
    greys = [float(read_image(images / f"{name}.png").mean()) for name in rig.cameras]
    assert max(greys) - min(greys) < 3


def _heard(offsets: dict[str, float], all_names: list[str]) -> SyncReport:
    """What sound says: these offsets, and nothing of the other cameras."""
    known = {n: CameraOffset(o, 0.9, abs(o) < 0.5, "", "audio") for n, o in offsets.items()}
    unknown = {n: CameraOffset(0.0, 0.0, False, "", "audio") for n in all_names if n not in known}
    return SyncReport("audio", next(iter(offsets)), 30.0, {**known, **unknown})


def test_motion_leaves_alone_what_sound_knows() -> None:
    events = _events(300)
    starts = {"a": 20, "b": 27.3, "deaf": 15.6}
    signals = {n: _seen(events, start, 200, k) for k, (n, start) in enumerate(starts.items())}
    signals["still"] = np.ones(200)
    heard = _heard({"a": 0.0, "b": -7.3}, list(signals))
    report = placed_by_motion(heard, signals)
    assert report.offsets["b"] == heard.offsets["b"]
    assert report.offsets["deaf"].frames == pytest.approx(4.4, abs=0.2)
    assert report.offsets["deaf"].method == "motion"
    assert report.unknown == ["still"]
    assert known_by(report) == ["a", "b", "deaf"]


def test_motion_that_contradicts_sound_places_nothing() -> None:
    """Sound has the anchors 20 frames apart, their pictures have not: no place fits both."""
    events = _events(300)
    signals = {name: _seen(events, 20, 200, k) for k, name in enumerate(("a", "b", "deaf"))}
    assert placed_by_motion(_heard({"a": 0.0, "b": -20.0}, list(signals)), signals).unknown == [
        "deaf"
    ]
