"""A small rig in motion, sent over the loopback, and a server in a thread."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for live_rig
