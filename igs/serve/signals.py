"""Signals to a session's process: each asks it to stop, and none cuts a recording short.

A service manager, `docker stop` with an init, and a terminal that closes signal every process of a
group, the session's together with the server's.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable


class StopSignals:
    """Takes SIGTERM and SIGHUP from here on; Ctrl-C is left to the server, which says `stop`.

    A thread acts on them, since the main thread may sit in one long call of the optimiser, where
    Python runs no handler. SIGHUP that is ignored (`nohup`) stays so. Make it in the main thread.
    """

    def __init__(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._taken, self._given = socket.socketpair()
        self._given.setblocking(False)
        signal.set_wakeup_fd(self._given.fileno(), warn_on_full_buffer=False)
        # Windows has no SIGHUP.
        for number in filter(None, (signal.SIGTERM, getattr(signal, "SIGHUP", None))):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda *_: None)  # the byte that wakes the thread is all

    def watch(self, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        """Begin to act: `stop` at every signal, `give_up` at a second SIGTERM.

        A second SIGHUP is no more than the first: a shell and the system both send one.
        """
        threading.Thread(
            target=self._run, args=(stop, give_up), name="signals", daemon=True
        ).start()

    def _run(self, stop: Callable[[], None], give_up: Callable[[], None]) -> None:
        terminated = False
        while True:
            for number in self._taken.recv(64):
                stop()
                if number == signal.SIGTERM:
                    if terminated:
                        give_up()
                    terminated = True
