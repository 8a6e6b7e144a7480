"""The moments between an accepted handshake and the handler: whatever is written then arrives, and
whatever fails then ends the session as a failing handler does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

import wsext
from tests.codecs import Counting
from tests.raw import RawPeer, masked, raw_peer
from tests.runtime.sessions import SOON, frames_until_the_end
from tests.waiting import sessions_gone
from wsext import (
    App,
    CloseInfo,
    Listener,
    RemoteProtocolError,
    ServerOptions,
    Session,
    WebSocketOptions,
    hookimpl,
)

#: Makes an exception, and says how `app_that_maps` ends a session by it.
OUTCOMES = [
    pytest.param(lambda: RuntimeError("the secret"), (1011, "internal error"), id="unmapped"),
    pytest.param(lambda: PermissionError("the secret"), (4403, "forbidden"), id="mapped"),
    pytest.param(lambda: RemoteProtocolError(1008, "no"), (1008, "no"), id="of the protocol"),
]

Make = Callable[[], Exception]


class Opened:
    """A plugin that does something to each session that opens."""

    def __init__(self, act: Callable[[Session], None]) -> None:
        self.act = act

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        self.act(session)


def app_that_maps(close_timeout: float = 0.2, **server: Any) -> App:
    app = App(options=WebSocketOptions(close_timeout=close_timeout), server=ServerOptions(**server))
    app.map_exception(PermissionError, 4403, "forbidden")
    return app


def app_that_acts(where: str, act: Callable[[Session], None]) -> App:
    """An app in which ``act`` is called for each session: by the hook, or by a listener."""
    app = app_that_maps()

    class Acting(Listener):
        def on_open(self, session: Session) -> None:
            if where == "on_open":
                act(session)

    app.websocket("/")(Acting)
    if where == "hook":
        app.install(Opened(act))
    return app


async def close_of(peer: RawPeer) -> tuple[int, str]:
    """Code and reason of the Close frame, which has to come soon, and then the stream's end."""
    found = await frames_until_the_end(peer)
    assert found, "the connection was dropped without a Close frame"
    opcode, payload = found[-1]
    assert opcode == 8
    return int.from_bytes(payload[:2], "big"), payload[2:].decode()


def records_of(caplog: pytest.LogCaptureFixture, error: Exception) -> list[logging.LogRecord]:
    """What was logged about an exception."""
    return [
        record
        for record in caplog.records
        if (record.exc_info and record.exc_info[1] is error) or str(error) in record.getMessage()
    ]


# --- what is written before the handler runs ------------------------------------------------------


@pytest.mark.parametrize("where", ["hook", "on_open"])
async def test_what_is_sent_before_an_early_close_arrives_before_the_close_frame(
    where: str,
) -> None:
    def act(session: Session) -> None:
        session.send_nowait("hello")
        session.close_nowait(4000, "bye")

    async with wsext.serve(app_that_acts(where, act)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await frames_until_the_end(peer) == [(1, b"hello"), (8, b"\x0f\xa0bye")]


@pytest.mark.parametrize("where", ["hook", "on_open"])
async def test_a_large_message_that_is_sent_early_takes_none_with_it(where: str) -> None:
    large = b"x" * 70_000

    def act(session: Session) -> None:
        for data in (b"before", large, b"after"):
            session.send_nowait(data)

    async with wsext.serve(app_that_acts(where, act)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        got = []
        async with asyncio.timeout(SOON):
            for _ in range(3):
                frame = await peer.frame()
                assert frame is not None
                got.append(bytes(frame.payload))
    assert got == [b"before", large, b"after"]


@pytest.mark.parametrize("where", ["hook", "on_open"])
async def test_an_early_close_drops_a_peer_that_does_not_answer_in_time(where: str) -> None:
    def act(session: Session) -> None:
        session.close_nowait(4000, "bye")

    async with wsext.serve(app_that_acts(where, act)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await close_of(peer) == (4000, "bye")
        async with asyncio.timeout(SOON):
            await sessions_gone(server)


# --- what fails before the handler runs -----------------------------------------------------------


@pytest.mark.parametrize("where", ["hook", "on_open"])
@pytest.mark.parametrize(("make", "outcome"), OUTCOMES)
async def test_a_failure_while_it_opens_ends_the_session_as_a_failing_handler_does(
    where: str, make: Make, outcome: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wsext")
    error = make()

    def act(session: Session) -> None:
        raise error

    async with wsext.serve(app_that_acts(where, act)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await close_of(peer) == outcome
    assert len(records_of(caplog, error)) == 1


@pytest.mark.parametrize(("make", "outcome"), OUTCOMES)
async def test_a_listener_that_cannot_be_made_ends_the_session_as_a_failing_handler_does(
    make: Make, outcome: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wsext")
    error = make()
    app = app_that_maps()
    counting = Counting()
    app.install(counting)

    @app.websocket("/")
    class Broken(Listener):
        def __init__(self) -> None:
            raise error

    more = "Sec-WebSocket-Extensions: x-counting\r\n"
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more=more)
        assert await close_of(peer) == outcome
    assert len(records_of(caplog, error)) == 1
    assert (counting.made, counting.closed) == (1, 1)


async def test_a_session_that_failed_to_open_counts_until_it_has_ended() -> None:
    app = app_that_maps(close_timeout=60, max_connections=1)

    @app.websocket("/broken")
    class Broken(Listener):
        def __init__(self) -> None:
            raise RuntimeError("not to be made")

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server:
        async with raw_peer(server.port) as first:
            assert "101" in await first.shake("/broken")
            async with raw_peer(server.port) as second:
                assert "503" in await second.shake()
            async with asyncio.timeout(SOON):
                assert await first.close_code() == 1011
            first.send(masked(8, b"\x03\xf3"))
            async with asyncio.timeout(SOON):
                assert await first.frame() is None
        async with asyncio.timeout(SOON), raw_peer(server.port) as third:
            assert "101" in await third.shake()


@pytest.mark.parametrize("where", ["hook", "on_open", "constructor"])
async def test_hooks_hear_as_often_of_ends_as_of_beginnings(where: str) -> None:
    app = app_that_maps()
    opened: list[Session] = []
    closed: asyncio.Queue[CloseInfo] = asyncio.Queue()

    class Hooks:
        @hookimpl
        def wsext_session_opened(self, session: Session) -> None:
            opened.append(session)
            if where == "hook":
                raise RuntimeError("in the hook")

        @hookimpl
        def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
            closed.put_nowait(info)

    @app.websocket("/")
    class Broken(Listener):
        def __init__(self) -> None:
            if where == "constructor":
                raise RuntimeError("in the constructor")

        def on_open(self, session: Session) -> None:
            if where == "on_open":
                raise RuntimeError("in on_open")

    app.install(Hooks())
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await close_of(peer) == (1011, "internal error")
        if opened:
            async with asyncio.timeout(SOON):
                assert (await closed.get()).local == (1011, "internal error")
    assert closed.empty()
    assert len(opened) <= 1


# --- what fails later -----------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "outcome"), OUTCOMES)
async def test_a_listener_that_fails_at_a_message_ends_the_session_as_a_failing_handler_does(
    make: Make, outcome: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wsext")
    error = make()
    app = app_that_maps()

    @app.websocket("/")
    class Failing(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            raise error

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        peer.send(masked(1, b"go"))
        assert await close_of(peer) == outcome
    assert len(records_of(caplog, error)) == 1


@pytest.mark.parametrize(("make", "outcome"), OUTCOMES)
async def test_a_task_that_fails_ends_the_session_as_a_failing_handler_does(
    make: Make, outcome: tuple[int, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "wsext")
    error = make()
    app = app_that_maps()

    async def failing() -> None:
        raise error

    @app.websocket("/")
    async def handler(session: Session) -> None:
        session.create_task(failing())
        await session.wait_closed()

    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        assert await close_of(peer) == outcome
    assert len(records_of(caplog, error)) == 1
