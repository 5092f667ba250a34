"""What the server holds: recordings, and sessions that can be started and stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from igs.config import ConfigError
from igs.config.serve import LiveConfig, ServeConfig
from igs.serve.recordings import Recordings
from igs.serve.session import LiveSession, WorkerHandle
from igs.serve.worker import WorkerJob

logger = logging.getLogger(__name__)

_GRACE = 10.0  # seconds beyond `shutdown_seconds` until a session's process is killed


@dataclass
class _Slot:
    """One configured session, and its process while there is one."""

    job: WorkerJob
    session: LiveSession
    handle: WorkerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self.handle is not None and self.handle.process.exitcode is None


class ServerState:
    """Everything behind the API.

    Args:
        config: checked.
        live: sessions that can run, by name: the config and what its paths are relative to.

    Raises:
        ConfigError: more sessions than allowed.
    """

    def __init__(self, config: ServeConfig, live: Mapping[str, tuple[LiveConfig, Path]]) -> None:
        limit = config.limits.sessions
        if len(live) > limit:
            raise ConfigError(f"limits.sessions: {len(live)} sessions are more than {limit}")
        self.config, self.recordings = config, Recordings(config.recordings)
        self.loop: asyncio.AbstractEventLoop | None = None  # the server's, once it runs
        self._slots = {
            name: _Slot(
                WorkerJob(
                    own,
                    root,
                    Path(config.recordings),
                    recording_bytes=config.limits.recording_bytes,
                    shutdown_seconds=config.shutdown_seconds,
                ),
                LiveSession(name, config.viewer),
            )
            for name, (own, root) in live.items()
        }

    @property
    def sessions(self) -> list[LiveSession]:
        """All of them, running or not."""
        return [slot.session for slot in self._slots.values()]

    def session(self, name: str) -> LiveSession:
        """A session by name.

        Raises:
            KeyError: there is none.
        """
        return self._slots[name].session

    def describe(self, session: LiveSession) -> dict[str, Any]:
        """The worker's numbers and the viewers'."""
        counts = session.counts()
        return {
            **session.status,
            "running": self._slots[session.name].is_running,
            "published": session.published,
            "viewers": len(session.viewers),
            "viewers_dropped_frames": counts.dropped,
            "sent_bytes": counts.bytes,
        }

    def start(self, name: str) -> bool:
        """Start a session's process; False if it runs already.

        Raises:
            KeyError: there is no such session.
        """
        slot = self._slots[name]
        if slot.is_running:
            return False
        if slot.handle is not None:  # what was there is over; viewers begin anew
            slot.session = LiveSession(name, self.config.viewer)
        slot.handle = WorkerHandle(slot.job, slot.session)
        assert self.loop is not None, "sessions are started by a running server"
        slot.handle.start(self.loop)
        return True

    def stop(self, name: str) -> bool:
        """Ask a session to finish; False if it does not run.

        Raises:
            KeyError: there is no such session.
        """
        slot = self._slots[name]
        if not slot.is_running or slot.handle is None:
            return False
        slot.handle.stop()
        return True

    def recorded_now(self) -> set[str]:
        """Names of recordings that are being written."""
        running = [slot.session for slot in self._slots.values() if slot.is_running]
        files = [(session.status.get("recording") or {}).get("file") for session in running]
        return {name for name in files if name}

    def sweep(self, now: float) -> None:
        """Cut off viewers that have taken nothing for too long."""
        for session in self.sessions:
            for viewer in list(session.viewers):
                begun = viewer.busy_since
                if begun is not None and now - begun > self.config.viewer.stall_seconds:
                    logger.info("%s: viewer %s stalls", session.name, viewer.address)
                    if viewer.task is not None:
                        viewer.task.cancel()

    async def close(self) -> None:
        """Stop all sessions and wait until their recordings are finished."""
        running = [slot.handle for slot in self._slots.values() if slot.is_running and slot.handle]
        for handle in running:
            handle.stop(self.config.shutdown_seconds)
        seconds = self.config.shutdown_seconds + _GRACE
        waits = (asyncio.to_thread(handle.wait, seconds) for handle in running)
        await asyncio.gather(*waits)
