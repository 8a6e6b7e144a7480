"""The end of a server: who is told what, and who is waited for."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import wsext
from tests.raw import raw_peer
from tests.server.apps import echo_app
from wsext import (
    App,
    InvalidStatus,
    ServerOptions,
    Session,
)


async def test_drain_refuses_with_503_and_closes_with_1001() -> None:
    app = App(server=ServerOptions(drain_timeout=5))
    finish = asyncio.Event()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        async for _ in session:
            pass
        await finish.wait()

    server = await wsext.serve(app)
    session = await wsext.connect(server.url)
    closing = asyncio.ensure_future(server.close())
    info = await session.wait_closed()
    assert info.remote == (1001, "server is shutting down")
    with pytest.raises(InvalidStatus) as caught:  # a handler still runs, so it still answers
        await wsext.connect(server.url)
    assert caught.value.status == 503
    assert not closing.done()
    finish.set()
    await closing
    with pytest.raises(OSError, match=r"refused|failed"):
        await wsext.connect(server.url)


async def test_a_handler_that_does_not_end_is_cancelled_after_the_drain_time() -> None:
    app = App(server=ServerOptions(drain_timeout=0.05))
    cancelled = asyncio.Event()

    @app.websocket("/")
    async def stuck(session: Session) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await server.close()
        assert cancelled.is_set()
        assert (await session.wait_closed()).code == 1001


@pytest.mark.parametrize("count", [1, 12])
async def test_sessions_that_do_not_end_are_one_line_in_the_log(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = App(server=ServerOptions(drain_timeout=0.05))

    @app.websocket("/")
    async def stuck(session: Session) -> None:
        await asyncio.Event().wait()

    async with wsext.serve(app) as server, AsyncExitStack() as clients:
        for _ in range(count):
            await clients.enter_async_context(wsext.connect(server.url))
        named = ", ".join(session.id for session in server.ordered_sessions[:5])
        await server.close()
    lines = [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
    others = " and others" if count > 5 else ""
    assert lines == [f"{count} sessions did not end in time; aborted: {named}{others}"]


async def test_a_server_that_retires_answers_who_has_come_and_closes_with_1012() -> None:
    async with wsext.serve(echo_app()) as server, raw_peer(server.port) as late:
        session = await wsext.connect(server.url)
        async with raw_peer(server.port) as other:  # now the server knows of `late`, too
            other.send(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
            await other.read_head()
        retiring = asyncio.create_task(server.retire())
        assert (await late.shake()).startswith("HTTP/1.1 101 ")
        assert (await session.wait_closed()).remote == (1012, "server is restarting")
        assert await late.close_code() == 1012
        late.writer.close()
        await retiring


async def test_what_was_received_is_handled_before_the_end() -> None:
    app = App(server=ServerOptions(drain_timeout=5))
    got: list[str | bytes] = []

    @app.websocket("/")
    async def slow(session: Session) -> None:
        async for message in session:
            await asyncio.sleep(0.01)
            got.append(message)

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        for number in range(20):
            await session.send(str(number))
        await session.ping()  # the server has read them
        await server.close()
    assert got == [str(number) for number in range(20)]


async def test_a_second_close_waits_for_the_first() -> None:
    server = await wsext.serve(echo_app())
    await asyncio.gather(server.close(), server.close())
    await server.wait_closed()
