"""A codec that fails on what is sent: its Close frame leaves, and both sides say the same of it,
whatever was sent and whoever has sent it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest

import wsext
from tests.runtime.sessions import SOON, app_of, messages_of
from tests.waiting import sessions_gone
from wsext import (
    App,
    Codec,
    Extension,
    Frame,
    Interceptor,
    Params,
    PreparedMessage,
    RemoteProtocolError,
    Session,
    WebSocketOptions,
    hookimpl,
)


class _Failing(Codec):
    control_frames = True

    def __init__(self, opcodes: tuple[int, ...], error: Exception) -> None:
        self.opcodes = opcodes
        self.error = error

    @property
    def share_key(self) -> str:
        return "all the same"

    def encode(self, frame: Frame) -> Frame:
        if frame.opcode in self.opcodes:
            raise self.error
        return frame

    def encode_shared(self, frame: Frame) -> Frame:
        return frame

    def skip_shared(self) -> None:
        raise self.error


class _AsyncFailing(Codec):
    def __init__(self, error: Exception) -> None:
        self.error = error

    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        raise self.error


class Failing(Extension):
    """Fails to encode on one side.

    Attributes:
        role: Which side.
        fails_on: The opcodes of the frames on which it fails.
        error: What it raises.
        is_async: Whether it is asynchronous.
    """

    name: ClassVar[str] = "x-failing"
    role: str
    fails_on: tuple[int, ...]
    error: Exception
    is_async: bool

    def make_codec(self, params: Params, ctx: wsext.NegotiationContext) -> Codec:
        if ctx.role != self.role:
            return Codec()
        return _AsyncFailing(self.error) if self.is_async else _Failing(self.fails_on, self.error)


async def parts() -> AsyncIterator[str]:
    yield "one "
    yield "two"


async def from_a_task(session: Session) -> None:
    await asyncio.wait([asyncio.create_task(session.send("hello"))])  # type: ignore[type-var]


async def broadcast(session: Session) -> None:
    wsext.broadcast([session], "hello")


async def send_nowait(session: Session) -> None:
    session.send_nowait(PreparedMessage("hello"))


async def in_a_room(session: Session) -> None:
    async with App().room("all").join(session) as members:
        members.send(PreparedMessage("hello"))


async def wait(session: Session) -> None:
    """The keepalive sends a ping."""


Way = Callable[[Session], Awaitable[None]]

DATA: dict[str, Way] = {
    "send": lambda session: session.send("hello"),
    "a task": from_a_task,
    "send_nowait": send_nowait,
    "stream": lambda session: session.send(parts()),
    "send_frame": lambda session: session.send_frame(Frame(1, b"hello")),
    "broadcast": broadcast,
    "room": in_a_room,
}
OTHERS: dict[str, Way] = {
    "ping": lambda session: session.ping(),
    "keepalive": wait,
    "close": lambda session: session.close(4000),
}

CASES = [
    *[pytest.param(way, (1, 2), False, id=name) for name, way in DATA.items()],
    *[pytest.param(way, (1, 2), True, id=f"{name}, asynchronous") for name, way in DATA.items()],
    *[pytest.param(way, (8, 9), False, id=name) for name, way in OTHERS.items()],
]


async def close_infos(way: Way, failing: Failing) -> tuple[wsext.CloseInfo, wsext.CloseInfo]:
    """How a session has ended for the side whose codec fails, and for its peer."""
    served: list[Session] = []

    async def use(session: Session, role: str) -> None:
        """The session is used, and held until its end, whatever that raises."""
        if failing.role == role:
            with suppress(wsext.WsextError):
                await way(session)
        await messages_of(session)

    async def handler(session: Session) -> None:
        served.append(session)
        await use(session, "server")

    options = WebSocketOptions(ping_interval=0.02, close_timeout=1.0)
    app = App(options=options)
    app.install(failing)
    app.websocket("/")(handler)
    async with wsext.serve(app) as server, asyncio.timeout(SOON):
        async with wsext.connect(server.url, extensions=[failing], options=options) as session:
            await use(session, "client")
        await sessions_gone(server)
    client, server_side = session.close_info, served[0].close_info
    return (client, server_side) if failing.role == "client" else (server_side, client)


@pytest.mark.parametrize("role", ["server", "client"])
@pytest.mark.parametrize(("way", "opcodes", "is_async"), CASES)
async def test_the_close_frame_of_a_codec_that_fails_is_written(
    role: str, way: Way, opcodes: tuple[int, ...], is_async: bool
) -> None:
    failing = Failing()
    failing.role, failing.fails_on, failing.is_async = role, opcodes, is_async
    failing.error = RuntimeError("secret")
    own, peer = await close_infos(way, failing)
    assert own.local == (1011, "extension failed")
    assert peer.remote == own.local


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RemoteProtocolError(1008, "not this"), 1008),
        (RemoteProtocolError(999, "no such code"), 1011),
        (RemoteProtocolError(1005, "never travels"), 1011),
        (RemoteProtocolError(1002, "\ud800 is no text"), 1011),
    ],
)
async def test_what_a_codec_puts_into_its_error_can_be_sent(
    error: Exception, code: int, is_async: bool
) -> None:
    failing = Failing()
    failing.role, failing.fails_on, failing.is_async = "server", (1,), is_async
    failing.error = error
    own, peer = await close_infos(DATA["send"], failing)
    assert own.local is not None
    assert own.local[0] == code
    assert peer.remote == own.local


class NoClose(Interceptor):
    """Drops Close frames that are sent."""

    name: ClassVar[str] = "no-close"

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> tuple[()] | None:
        return () if frame.opcode == 8 else None


async def test_no_interceptor_keeps_a_close_frame_from_leaving() -> None:
    async def handler(session: Session) -> Any:
        await session.close(4000, "bye")

    async with (
        wsext.serve(app_of(handler, NoClose)) as server,
        wsext.connect(server.url) as session,
    ):
        await messages_of(session)
    assert session.close_info.remote == (4000, "bye")
