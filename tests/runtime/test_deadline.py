"""`codec_timeout`: how long a connection waits for what its extensions do asynchronously."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, Literal

import pytest

from wsext import (
    App,
    Codec,
    Extension,
    Frame,
    NegotiationContext,
    OptionError,
    Params,
    ServerOptions,
    Session,
    WebSocketOptions,
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


def app_with(extension: Extension, **options: Any) -> App:
    """An app that sends a message and waits, and has a place for one connection."""
    app = App(
        options=WebSocketOptions(ping_interval=None, **options),
        server=ServerOptions(max_connections=1),
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
