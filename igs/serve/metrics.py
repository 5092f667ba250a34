"""Numbers for Prometheus, in its text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from igs.serve.guard import Guard
from igs.serve.session import LiveSession

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_CAMERA = ("received", "used", "skipped", "incomplete", "late", "damaged", "overflow", "lost")
_VIEWER = ("offered", "sent", "dropped_candidates", "dropped_waiting", "dropped_overflow")
_STATES = ("starting", "waiting", "frame0", "live", "ended", "failed")


class _Text:
    """Lines of one answer, grouped by metric as the format asks for."""

    def __init__(self) -> None:
        self._metrics: dict[str, list[str]] = {}

    def add(self, name: str, kind: str, about: str, value: float, /, **labels: str) -> None:
        lines = self._metrics.setdefault(
            name, [f"# HELP igs_{name} {about}", f"# TYPE igs_{name} {kind}"]
        )
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"igs_{name}{{{inside}}} {value:g}" if inside else f"igs_{name} {value:g}")

    def __str__(self) -> str:
        return "\n".join(line for lines in self._metrics.values() for line in lines) + "\n"


def metrics_text(sessions: Iterable[LiveSession], guard: Guard) -> str:
    """Everything that is counted."""
    text = _Text()
    for kind, count in sorted(guard.requests.items()):
        text.add("requests_total", "counter", "Requests by kind.", count, kind=kind)
    for reason, count in sorted(guard.refused.items()):
        text.add("refused_total", "counter", "Requests refused, by reason.", count, reason=reason)
    text.add("connections", "gauge", "Requests and connections served now.", guard.open)
    for session in sessions:
        _session(text, session)
    return str(text)


def _session(text: _Text, session: LiveSession) -> None:
    status, name = session.status, session.name
    for state in _STATES:
        is_it = float(status.get("state") == state)
        text.add("session_state", "gauge", "1 for the state it is in.", is_it,
                 session=name, state=state)  # fmt: skip
    numbers = (
        ("frames_total", "counter", "Frames reconstructed.", "frames"),
        ("partial_frames_total", "counter", "Of them without some camera.", "partial_frames"),
        ("engine_seconds_total", "counter", "Time of reconstruction.", "engine_seconds"),
        ("engine_seconds", "gauge", "Time of the newest frame.", "last_engine_seconds"),
        ("encode_seconds_total", "counter", "Time of encoding.", "encode_seconds"),
        ("pipe_dropped_total", "counter", "Frames the server did not take.", "pipe_dropped"),
    )
    for metric, kind, about, key in numbers:
        text.add(metric, kind, about, status.get(key, 0), session=name)
    recording = status.get("recording") or {}
    text.add("recording_bytes", "gauge", "Size of the recording.", recording.get("bytes", 0),
             session=name)  # fmt: skip
    _cameras(text, name, status)
    _viewers(text, session)


def _cameras(text: _Text, name: str, status: Mapping[str, Any]) -> None:
    for fate, count in status.get("steps", {}).items():
        text.add("steps_total", "counter", "Time steps by what became of them.", count,
                 session=name, fate=fate)  # fmt: skip
    for camera, counts in status.get("cameras", {}).items():
        labels = {"session": name, "camera": camera}
        text.add("camera_up", "gauge", "Whether pictures come.", counts["state"] == "open",
                 **labels)  # fmt: skip
        text.add("camera_outages_total", "counter", "Times it went away.", counts["outages"],
                 **labels)  # fmt: skip
        for fate in _CAMERA:
            text.add("camera_pictures_total", "counter", "Pictures by what became of them.",
                     counts[fate], **labels, fate=fate)  # fmt: skip


def _viewers(text: _Text, session: LiveSession) -> None:
    name, counts = session.name, session.counts()
    text.add("viewers", "gauge", "Viewers now.", len(session.viewers), session=name)
    text.add("viewers_total", "counter", "Viewers so far.", session.joined, session=name)
    text.add("sent_bytes_total", "counter", "Bytes of frames.", counts.bytes, session=name)
    text.add("viewer_fewer_layers_total", "counter", "Frames sent without all layers.",
             counts.fewer_layers, session=name)  # fmt: skip
    for fate in _VIEWER:
        text.add("viewer_frames_total", "counter", "Frames by what became of them.",
                 getattr(counts, fate), session=name, fate=fate)  # fmt: skip


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
