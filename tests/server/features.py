"""The app of `tests.server.test_hosting`: everything that a server does for an app."""

from __future__ import annotations

import os
from typing import Any

from tests.server.apps import echo
from wsext import App, Listener, Request, ServerOptions, Session
from wsext.rooms.backplanes.memory import MemoryBackplane

__all__ = ["app"]


class Noted(MemoryBackplane):
    """A backplane that tells whether it was started."""

    started = False

    async def start(self, receiver: Any) -> None:
        await super().start(receiver)
        self.started = True


plane = Noted()
app = App(
    backplane=plane,
    server=ServerOptions(
        max_connections=20,
        max_connections_per_address=2,
        max_header_count=30,
        trusted_proxies=("127.0.0.1", "unix"),
        handshake_timeout=1,
        drain_timeout=2,
    ),
)
app.websocket("/")(echo)


@app.websocket("/who")
async def who(session: Session) -> None:
    request = session.request
    await session.send(f"{request.http_version} {request.secure} {request.remote}")


@app.websocket("/broken")
class Broken(Listener):
    def __init__(self) -> None:
        raise RuntimeError("bad")


@app.http("/backplane")
def backplane(request: Request) -> dict[str, Any]:
    return {"started": plane.started, "connected": app.hub.status.connected, "pid": os.getpid()}
