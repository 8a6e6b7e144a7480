"""`codec_timeout`: how long a connection waits for what its extensions do asynchronously."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, Literal

import pytest

from tests.codecs import ClosesLater
from wsext import (
    App,
    Codec,
    Extension,
    Frame,
    HandshakeError,
    Interceptor,
    NegotiationContext,
    NegotiationError,
    OptionError,
    Params,
    Phase,
    Server,
    ServerOptions,
    Session,
    WebSocketOptions,
    hookimpl,
    testing,
)
from wsext.runtime.deadline import Deadline

Where = Literal["encode", "decode", "close"]


class _Hanging(Codec):
    def __init__(self, extension: Hanging, where: Where) -> None:
        self.extension = extension
        self.where = where

    async def _maybe(self, where: Where) -> None:
        extension = self.extension
        while self.where == where:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                extension.cancelled += 1
                if not extension.stubborn:
                    raise

    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        await self._maybe("encode")
        return frame

    async def decode(self, frame: Frame, budget: int) -> Frame:  # type: ignore[override]
        await self._maybe("decode")
        return frame


class Hanging(Extension):
    """An asynchronous codec that never returns, on the side of the server.

    Attributes:
        where: Which of its methods hangs.
        stubborn: Whether it goes on when it is cancelled.
        cancelled: How often it was.
    """

    name: ClassVar[str] = "x-hanging"
    where: Where = "encode"
    stubborn = False
    cancelled = 0

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _Hanging(self, self.where) if ctx.role == "server" else Codec()


def hanging(where: Where, *, stubborn: bool = False) -> Hanging:
    extension = Hanging()
    extension.where, extension.stubborn = where, stubborn
    return extension


def app_with(extension: Extension, places: int = 1, **options: Any) -> App:
    """An app that sends a message and waits, and has a place for one connection, or more."""
    app = App(
        options=WebSocketOptions(ping_interval=None, **options),
        server=ServerOptions(max_connections=places),
    )
    app.install(extension)

    @app.websocket("/")
    async def handler(session: Session) -> None:
        session.send_nowait("hello")
        await session.wait_closed()

    return app


def run(scenario: Callable[[testing.World], Awaitable[None]]) -> None:
    testing.simulate(scenario, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("stubborn", [False, True])
@pytest.mark.parametrize("where", ["encode", "decode"])
def test_a_codec_that_takes_too_long_fails_the_session(
    where: Where, stubborn: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that goes on when it is cancelled; and the next client gets its place."""
    extension = hanging(where)

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app_with(extension))
        loop = asyncio.get_running_loop()
        async with world.connect(server, "/", extensions=[Hanging]) as session:
            began = loop.time()
            extension.stubborn = stubborn
            if where == "decode":
                await session.send("hello")
            info = await session.wait_closed()
            assert info.remote == (1011, "extension failed")
            assert 29 < loop.time() - began < 33
            extension.stubborn = False
        assert extension.cancelled
        async with world.connect(server, "/") as session:  # the place is free
            assert await session.receive() == "hello"

    with caplog.at_level(logging.ERROR, "wsext"):
        run(scenario)
    (record,) = caplog.records
    assert "x-hanging" in record.getMessage()
    assert "codec_timeout" in record.getMessage()


def test_without_a_timeout_a_codec_may_take_any_time() -> None:
    async def scenario(world: testing.World) -> None:
        server = await world.serve(app_with(hanging("decode"), codec_timeout=None))
        patient = WebSocketOptions(ping_interval=None)
        async with world.connect(server, "/", extensions=[Hanging], options=patient) as session:
            await session.send("hello")
            assert await session.receive() == "hello"
            with suppress(TimeoutError):
                async with asyncio.timeout(10_000):
                    await session.receive()
            assert session.is_open

    run(scenario)


def test_a_codec_that_is_in_time_is_left_alone() -> None:
    async def scenario(world: testing.World) -> None:
        extension = hanging("close")  # which never hangs in this
        server = await world.serve(app_with(extension, codec_timeout=0.001))
        async with world.connect(server, "/", extensions=[Hanging]) as session:
            assert await session.receive() == "hello"
            await asyncio.sleep(10)
            await session.send("hello")
            assert session.is_open

    run(scenario)


@pytest.mark.parametrize("seconds", [0, -1, "soon"])
def test_the_timeout_is_a_number_of_seconds_above_nothing(seconds: Any) -> None:
    with pytest.raises(OptionError, match="codec_timeout"):
        WebSocketOptions(codec_timeout=seconds)


async def ended_itself() -> None:
    raise asyncio.CancelledError


async def test_a_cancellation_of_its_own_is_a_fault_like_any_other() -> None:
    deadline = Deadline(asyncio.get_running_loop(), 10, lambda error: None)
    with pytest.raises(RuntimeError, match="nobody has cancelled it"):
        await deadline.wait(ended_itself(), None, "decode")


async def test_who_waits_can_be_cancelled() -> None:
    deadline = Deadline(asyncio.get_running_loop(), 10, lambda error: None)
    waiting = asyncio.create_task(deadline.wait(asyncio.Event().wait(), None, "decode"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


# --- codecs whose `close` is asynchronous -------------------------------------------------------


@pytest.mark.parametrize("http2", [False, True])
def test_an_asynchronous_close_is_awaited_once_on_both_sides(http2: bool) -> None:
    extension = ClosesLater()

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app_with(extension, places=4))
        async with world.connect(server, "/", extensions=[extension], http2=http2) as session:
            assert await session.receive() == "hello"
        session = await world.connect(server, "/", extensions=[extension], http2=http2)
        await session.close()

    run(scenario)
    assert extension.begun == extension.closed == 4


def test_a_close_that_hangs_is_cancelled_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """After `close_timeout`, and then the place is free again."""
    extension = ClosesLater()
    extension.hangs = True

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app_with(extension, close_timeout=5.0))
        loop = asyncio.get_running_loop()
        async with world.connect(server, "/", extensions=[ClosesLater]) as session:
            assert await session.receive() == "hello"
            began = loop.time()
        await until_closed(server)
        assert 4 < loop.time() - began < 6
        async with world.connect(server, "/") as session:
            assert await session.receive() == "hello"

    with caplog.at_level(logging.ERROR, "wsext"):
        run(scenario)
    (record,) = caplog.records
    assert "x-closes-later" in record.getMessage()
    assert extension.begun == 1
    assert not extension.closed


@pytest.mark.parametrize("refused", ["by the server", "by the client"])
def test_a_handshake_that_fails_after_all_closes_them_too(refused: str) -> None:
    extension = ClosesLater()

    async def scenario(world: testing.World) -> None:
        app = app_with(extension)
        mine: list[Any] = [extension]
        if refused == "by the server":
            app.install(Unagreed, required=True)
        else:
            app.install(Liar)
            mine.append(Liar)
        server = await world.serve(app)
        with pytest.raises(HandshakeError):
            await world.connect(server, "/", extensions=mine)
        await until_closed(server)

    run(scenario)
    assert extension.begun == extension.closed
    assert extension.begun == (1 if refused == "by the server" else 2)


class Unagreed(Extension):
    """No client offers it."""

    name: ClassVar[str] = "x-unagreed"


class Liar(Extension):
    """Its server agrees to what its client cannot use."""

    name: ClassVar[str] = "x-liar"
    phase: ClassVar[Phase] = Phase.WIRE

    def confirm(self, offers: Any, answer: Params, ctx: NegotiationContext) -> Codec:
        raise NegotiationError("not this")


async def until_closed(server: Server) -> None:
    """The server has heard that the client has gone."""
    while server.connection_count:  # noqa: ASYNC110
        await asyncio.sleep(0.1)  # virtual


# --- the end --------------------------------------------------------------------------------------


def stuck(where: Where) -> Extension:
    """An extension whose codec does not come to an end, there or when it is closed."""
    if where != "close":
        return hanging(where)
    extension = ClosesLater()
    extension.hangs = True
    return extension


async def get_stuck(world: testing.World, where: Where, **options: Any) -> tuple[Server, Session]:
    """A server and a client's session with it, whose codec on the server hangs since a second."""
    extension = stuck(where)
    server = await world.serve(app_with(extension, codec_timeout=None, **options))
    session = await world.connect(server, "/", extensions=[type(extension)])
    if where == "decode":
        await session.send("hello")
    elif where == "close":
        assert await session.receive() == "hello"
    await asyncio.sleep(1)
    return server, session


@pytest.mark.parametrize("where", ["encode", "decode", "close"])
def test_close_timeout_holds_whatever_a_codec_does(where: Where) -> None:
    async def scenario(world: testing.World) -> None:
        server, session = await get_stuck(world, where, close_timeout=4.0)
        (served,) = server.sessions
        loop = asyncio.get_running_loop()
        began = loop.time()
        await served.close()
        assert loop.time() - began < 4.5
        info = await session.wait_closed()
        assert info.remote == ((1011, "extension failed") if where == "encode" else (1000, ""))
        assert served.close_info.local == info.remote

    run(scenario)


@pytest.mark.parametrize("where", ["encode", "decode", "close"])
def test_a_drain_ends_in_time_whatever_a_codec_does(where: Where) -> None:
    async def scenario(world: testing.World) -> None:
        server, session = await get_stuck(world, where)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await server.close(2)
        assert loop.time() - began < 3.5
        assert (await session.wait_closed()).remote is not None

    run(scenario)


class Stubborn(Interceptor):
    """Never returns, and goes on when it is cancelled, until a test says so."""

    name: ClassVar[str] = "stubborn"
    may_end = False

    @hookimpl
    async def wsext_message_received(self, message: str | bytes) -> None:
        while not self.may_end:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


def test_an_interceptor_that_never_ends_fails_the_session(caplog: pytest.LogCaptureFixture) -> None:
    stubborn = Stubborn()

    async def scenario(world: testing.World) -> None:
        app = app_with(ClosesLater())
        app.install(stubborn)
        server = await world.serve(app)
        async with world.connect(server, "/") as session:
            await session.send("hello")
            assert (await session.wait_closed()).remote == (1011, "interceptor failed")
            stubborn.may_end = True
        await until_closed(server)

    with caplog.at_level(logging.ERROR, "wsext"):
        run(scenario)
    assert any("an interceptor took longer than" in line for line in caplog.messages)
