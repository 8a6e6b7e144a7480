"""The application that can also run itself: `wsext.App`."""

from __future__ import annotations

from typing import Any

from wsext.app.application import Application
from wsext.server.running import run_until_signal

__all__ = ["App"]


class App(Application):
    __doc__ = Application.__doc__

    def run(self, host: str = "127.0.0.1", port: int = 8765, **serving: Any) -> None:
        """Serve until SIGINT or SIGTERM, then drain. Takes what `serve` takes.

        Uses uvloop when it is installed.
        """
        run_until_signal(self, host, port, **serving)
