"""The reference app: what ``wsext serve`` runs when it is given no other.

GET /          a page to chat on, and to see what is negotiated and what travels
WS  /echo      sends every message back
WS  /greet     asks for a name and greets; ``bye`` ends it
WS  /chat      a chat room, over all processes on the backplane
WS  /frames/…  tells the page about the frames of its own session (see `watch`)
GET /healthz   whether the server is well
"""

from __future__ import annotations

import itertools
from importlib.resources import files

from wsext import App, Request, Response, ServerOptions, Session, WebSocketOptions, hookimpl
from wsext.reference.watch import Watchers

__all__ = ["build_app"]

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def build_app(options: WebSocketOptions | None = None, server: ServerOptions | None = None) -> App:
    """Make a reference app; each has its own chat room."""
    app = App(options=options, server=server)
    watchers = Watchers()
    numbers = itertools.count()

    @app.http("/")
    def page(request: Request) -> Response:
        body = files(__name__).joinpath("page.html").read_bytes()
        return Response(
            body=body,
            content_type="text/html; charset=utf-8",
            headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"},
        )

    @app.websocket("/echo")
    async def echo(session: Session) -> None:
        with watchers.watching(session):
            async for message in session:
                await session.send(message)

    @app.websocket("/greet")
    async def greet(session: Session) -> None:
        await session.send("Please enter your name")
        async for message in session:
            if not isinstance(message, str):
                continue
            if message.lower() == "bye":
                await session.close(1000, "Client said BYE")
            else:
                await session.send(f"Hi, {message}!")

    @app.websocket("/chat")
    async def chat(session: Session) -> None:
        session.name = f"user{next(numbers)}"
        with watchers.watching(session):
            async with app.room("chat").join(session) as members:
                there = len(await members.presence())
                await session.send(f"You are connected! There are {there} users here.")
                async for message in session:
                    if isinstance(message, str):
                        await members.broadcast(f"[{session.name}]: {message}")

    @app.websocket("/frames/<string(maxlength=64):token>", extensions=False)
    async def frames(session: Session, token: str) -> None:
        with watchers.listening(token, session):
            async for _ in session:
                pass

    app.install(_Health())
    return app


class _Health:
    """Says how many chat; where there is an admin port, only there."""

    @hookimpl
    def wsext_routes(self, app: App) -> None:
        @app.admin.http("/healthz")
        def healthz(request: Request) -> dict[str, object]:
            return {"status": "ok", "chatting": len(app.room("chat"))}
