"""Live and recorded free-viewpoint video over HTTP and WebSocket; docs/serve.md.

`igs.serve.server` and `igs.serve.app` need the extra `igs[serve]` (FastAPI, uvicorn, websockets);
the ingest of live cameras does not.
"""

from igs.serve.grouping import ArrivalClock, Picture, Step, StepGrouper
from igs.serve.live_source import LiveSource
from igs.serve.publisher import PublishedFrame, Publisher, Recording
from igs.serve.viewer import ViewerCounts, ViewerQueue

__all__ = [
    "ArrivalClock",
    "LiveSource",
    "Picture",
    "PublishedFrame",
    "Publisher",
    "Recording",
    "Step",
    "StepGrouper",
    "ViewerCounts",
    "ViewerQueue",
]
