"""Small apps that the tests of servers serve."""

from __future__ import annotations

from typing import Any

import pytest

import wsext
from tests.waiting import until
from wsext import App, InvalidStatus, Request, ServerOptions, Session, hookimpl


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def echo_app(**server: Any) -> App:
    app = App(server=ServerOptions(**server))
    app.websocket("/")(echo)
    return app


class Seen:
    """A plugin that notes which limits were reached, and how requests were answered."""

    def __init__(self) -> None:
        self.limits: list[str] = []
        self.statuses: list[int] = []

    @hookimpl
    def wsext_limited(self, limit: str) -> None:
        self.limits.append(limit)

    @hookimpl
    def wsext_answered(self, request: Request | None, status: int) -> None:
        self.statuses.append(status)


def limited_app(options: dict[str, Any] | None = None, **server: Any) -> tuple[App, Seen]:
    """An app behind a trusted proxy on this machine, that says whom it takes its peer for."""
    app = App(server=ServerOptions(trusted_proxies=("127.0.0.1",), **server))
    seen = Seen()
    app.install(seen)

    @app.websocket("/", options=options)
    async def echo(session: Session) -> None:
        await session.send(str(session.request.remote))
        async for message in session:
            await session.send(message)

    return app, seen


def via(*hops: str, **more: str) -> dict[str, str]:
    """What a proxy says of its client."""
    return {"X-Forwarded-For": ", ".join(hops), **more}


async def refused(url: str, **how: Any) -> InvalidStatus:
    """What a server answers that refuses a session."""
    with pytest.raises(InvalidStatus) as caught:
        await wsext.connect(url, **how)
    return caught.value


async def admitted(url: str, **how: Any) -> Session:
    """A session, once there is a place for it again."""
    sessions: list[Session] = []

    async def has_place() -> bool:
        try:
            sessions.append(await wsext.connect(url, **how))
        except InvalidStatus as error:
            if error.status not in (429, 503):
                raise
        return bool(sessions)

    await until(has_place, every=0.02)
    return sessions[0]
