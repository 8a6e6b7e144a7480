"""What systemd is told of this process: it serves, reloads, ends, and is alive (sd_notify(3)).

That is one datagram a time to the socket that ``NOTIFY_SOCKET`` names. Where nobody has named one,
nothing is said.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Mapping

from wsext.escape import get_logger

__all__ = ["Notifier"]

logger = get_logger("wsext.server")


class Notifier:
    """Tells systemd of this process.

    Args:
        environ: Where systemd says how: ``NOTIFY_SOCKET``, ``WATCHDOG_USEC``, ``WATCHDOG_PID``.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        own = str(os.getpid())
        is_watched = self._address and environ.get("WATCHDOG_PID", own) == own
        #: Seconds between two signs of life: half of what systemd waits for one.
        self._every = int(environ.get("WATCHDOG_USEC") or 0) / 2e6 if is_watched else 0.0
        self._is_ready = False

    def ready(self) -> None:
        """Connections may come, or a reload has ended. From the first time on, signs of life are
        given: by the event loop, so that there is none when it is blocked."""
        self._say("READY=1")
        if self._every and not self._is_ready:
            self._beat(asyncio.get_running_loop())
        self._is_ready = True

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._say("STOPPING=1")

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._say("WATCHDOG=1")
        loop.call_later(self._every, self._beat, loop)

    def _say(self, what: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.sendto(what.encode(), self._address)
        except OSError as error:
            logger.warning("systemd cannot be told %s: %s", what.partition("\n")[0], error.strerror)
