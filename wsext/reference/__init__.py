"""The reference app: what ``wsext serve`` runs when it is given no other.

GET /          a page to talk on, and to see what is negotiated and what travels
GET /web/…     its scripts and styles
WS  /echo      sends every message back
WS  /greet     asks for a name and greets; ``bye`` ends it
WS  /chat      a chat room, over all processes on the backplane; ``?name=Ada`` gives a name
WS  /frames/…  tells the page about the frames of its own session (see `watch`)
GET /healthz   whether the server is well
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Container

from wsext import App, Request, Response, ServerOptions, Session, WebSocketOptions, hookimpl
from wsext.inspector import PATH as INSPECTOR
from wsext.inspector.assets import HEADERS, SHARED, add_assets, page
from wsext.reference.watch import Watchers

__all__ = ["FEEDS", "build_app"]

#: Where the page's second sessions are, which are not its user's.
FEEDS = "/frames/"

_MAX_NAME = 24


def build_app(options: WebSocketOptions | None = None, server: ServerOptions | None = None) -> App:
    """Make a reference app; each has its own chat room."""
    app = App(options=options, server=server)
    watchers = Watchers()
    numbers = itertools.count()

    @app.http("/")
    def index(request: Request) -> Response:
        return page(__name__, "chat.html")

    add_assets(app, "/web", "wsext.inspector", *SHARED)
    add_assets(app, "/web", __name__, "chat.css", "chat.js")

    @app.http("/web/about.json")
    def about(request: Request) -> Response:
        """Whether the live page is here, so that the page can link to it."""
        path = f"{INSPECTOR}/"
        there = any(route.path == path for route in app.routes)
        body = json.dumps({"inspector": path.lstrip("/") if there else None})
        return Response(body=body, headers=HEADERS, content_type="application/json")

    @app.websocket("/echo")
    async def echo(session: Session) -> None:
        with watchers.watching(session):
            async for message in session:
                await session.send(message)

    @app.websocket("/greet")
    async def greet(session: Session) -> None:
        with watchers.watching(session):
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
        room = app.room("chat")
        taken = {member.name for member in await room.presence()}
        asked = _clean(session.request.query.get("name", ""))
        session.name = _free(asked, taken) if asked else f"user{next(numbers)}"
        with watchers.watching(session):
            async with room.join(session) as members:
                there = len(await members.presence())
                await session.send(f"You are connected! There are {there} users here.")
                async for message in session:
                    if isinstance(message, str):
                        await members.broadcast(f"[{session.name}]: {message}")

    @app.websocket(f"{FEEDS}<string(maxlength=64):token>", extensions=False)
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


def _clean(name: str) -> str:
    """A name that cannot be taken for the rest of a line: ``[name]: text``."""
    shown = "".join(char for char in name if char.isprintable() and char not in "[]")
    return " ".join(shown.split())[:_MAX_NAME].strip()


def _free(name: str, taken: Container[str]) -> str:
    """The name, or the first of ``Ada 2``, ``Ada 3`` … that nobody has."""
    names = itertools.chain([name], (f"{name} {number}" for number in itertools.count(2)))
    return next(each for each in names if each not in taken)
