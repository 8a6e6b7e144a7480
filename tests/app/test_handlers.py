"""Handlers: what does not fit its route is an error at the start, not in a session."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Struct

import wsext
from wsext import App, CloseInfo, Dispatcher, Listener, Request, RouteError, Session, on


class Ask(Struct, tag="ask"):
    text: str


async def lonely(session: Session) -> None: ...
async def chat(session: Session, room: str) -> None: ...
async def anything(session: Session, **params: Any) -> None: ...
async def optional(session: Session, room: str = "lobby", *, again: int = 1) -> None: ...
async def keyword(session: Session, *, room: str) -> None: ...
async def two(session: Session, room: str, user: str) -> None: ...
def page(request: Request, room: str) -> str: ...  # type: ignore[empty-body]
def bare(request: Request) -> str: ...  # type: ignore[empty-body]
def empty() -> None: ...


class Plain(Listener):
    """Takes no arguments."""

    @staticmethod
    def on_message(session: Session, message: str | bytes) -> None:
        """Static methods are called like others."""


class Eager(Listener):
    def __init__(self, room: str) -> None:
        self.room = room


class Deaf(Listener):
    def on_message(self, message: str | bytes) -> None: ...  # type: ignore[override]


class Polite(Dispatcher):
    def on_open(self, session: Session, room: str) -> None: ...  # type: ignore[override]

    @on(Ask)
    def ask(self, session: Session, message: Ask) -> None: ...


class Hasty(Dispatcher):
    def on_open(self, session: Session) -> None: ...  # type: ignore[override]


class Short(Dispatcher):
    @on(Ask)
    async def ask(self, message: Ask) -> None: ...


class Late(Dispatcher):
    def on_close(self, session: Session) -> None: ...  # type: ignore[override]


@on(Ask)
def answer(session: Session, message: Ask, room: str) -> None: ...


@on(Ask)
def forget(session: Session, message: Ask) -> None: ...


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(session: Session, **params: Any) -> Any:
        return await function(session, "given by the decorator", **params)

    return wrapper


@pytest.mark.parametrize(
    ("kind", "path", "handler"),
    [
        ("websocket", "/", lonely),
        ("websocket", "/<room>", chat),
        ("websocket", "/<int:room>/<user>", two),
        ("websocket", "/<room>/<user>", anything),
        ("websocket", "/", optional),
        ("websocket", "/<room>", optional),
        ("websocket", "/<room>", keyword),
        ("websocket", "/", wrapped(chat)),
        ("websocket", "/<user>", wrapped(two)),
        ("websocket", "/<room>", functools.partial(two, user="me")),
        ("websocket", "/<room>", Plain),
        ("websocket", "/<room>", Polite),
        ("websocket", "/<room>", answer),
        ("websocket_raw", "/<room>", chat),
        ("http", "/<room>", page),
    ],
)
def test_what_fits_is_served(kind: str, path: str, handler: Any) -> None:
    app = App()
    getattr(app, kind)(path)(handler)
    app.prepare()


@pytest.mark.parametrize(
    ("kind", "path", "handler", "words"),
    [
        ("websocket", "/<room>", lonely, "write: async def lonely\\(session, room\\)"),
        ("websocket", "/", chat, "write: async def chat\\(session\\)"),
        ("websocket", "/<room>/<user>", chat, "async def chat\\(session, room, user\\)"),
        ("websocket", "/<place>", chat, "unexpected .*'place'|missing .*'room'"),
        ("websocket_raw", "/<room>", lonely, "async def lonely\\(session, room\\)"),
        ("http", "/", page, "write: def page\\(request\\)"),
        ("http", "/<room>", bare, "write: def bare\\(request, room\\)"),
        ("websocket", "/<room>", Eager, "Eager.* made without arguments; .* session.path_params"),
        ("websocket", "/", Deaf, "write: def on_message\\(self, session, message\\)"),
        ("websocket", "/<room>", Hasty, "write: def on_open\\(self, session, room\\)"),
        ("websocket", "/", Polite, "write: def on_open\\(self, session\\)"),
        ("websocket", "/", Short, "write: async def ask\\(self, session, message\\)"),
        ("websocket", "/", Late, "write: def on_close\\(self, session, info\\)"),
        ("websocket", "/", answer, "write: def answer\\(session, message\\)"),
        ("websocket", "/<room>", forget, "write: def forget\\(session, message, room\\)"),
    ],
)
def test_what_does_not_fit_says_what_to_write(
    kind: str, path: str, handler: Any, words: str
) -> None:
    app = App()
    getattr(app, kind)(path)(handler)
    with pytest.raises(RouteError, match=words) as caught:
        app.prepare()
    assert str(caught.value).startswith(f"route {path}: ")
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("guard", [empty, lambda request, session: None])
def test_a_guard_takes_the_request(guard: Any) -> None:
    app = App(guards=[guard])
    app.websocket("/")(lonely)
    with pytest.raises(RouteError, match=r"\(request\)"):
        app.prepare()


async def test_a_server_does_not_start_with_a_handler_that_does_not_fit() -> None:
    app = App()
    app.websocket("/<room>")(lonely)
    with pytest.raises(RouteError):
        await wsext.serve(app)


async def test_a_route_that_is_added_later_is_checked_at_once() -> None:
    app = App()
    app.websocket("/")(lonely)
    async with wsext.serve(app) as server:
        with pytest.raises(RouteError):
            app.websocket("/<room>")(lonely)
        app.websocket("/<room>")(chat)
        async with wsext.connect(f"{server.url}/here") as session:
            info: CloseInfo = await session.wait_closed()
            assert info.code == 1000


def test_raw_routes_take_no_typed_messages() -> None:
    app = App()

    for handler in (Polite, answer):
        with pytest.raises(TypeError, match="typed messages are whole messages"):
            app.websocket_raw("/")(handler)
