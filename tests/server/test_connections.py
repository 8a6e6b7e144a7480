"""How many connections there may be, and how long a handshake may take."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import wsext
from tests.raw import contexts, raw_peer
from tests.server.apps import admitted, echo_app, refused
from tests.waiting import until
from wsext import InvalidStatus, Server


async def test_limits_of_connections_and_of_the_handshakes_time() -> None:
    app = echo_app(max_connections=2, handshake_timeout=0.1)
    async with wsext.serve(app) as server:
        async with wsext.connect(server.url) as one, wsext.connect(server.url) as two:
            with pytest.raises(InvalidStatus) as caught:
                await wsext.connect(server.url)
            assert caught.value.status == 503
            assert "Retry-After" in caught.value.headers
            assert one.is_open
            assert two.is_open
        async with raw_peer(server.port) as slow:
            slow.send(b"GET / HTTP/1.1\r\nHost")
            assert await slow.reader.read() == b""  # dropped after the handshake's time
        async with wsext.connect(server.url) as session:
            assert session.is_open


async def test_far_beyond_the_limit_nobody_is_answered() -> None:
    server = Server(echo_app(max_connections=1))
    answered = 0
    connections = []
    for _ in range(1100):
        connection, transport = server.new_connection(), Silent()
        connection.connection_made(transport)
        connections.append(connection)
        answered += not transport.aborted
    assert answered == 1 + 16
    for connection in connections:
        connection.connection_lost(None)
    assert not server.connections
    await server.close()


async def test_who_sends_nothing_gives_way_to_those_who_come_later() -> None:
    async with (
        wsext.serve(echo_app(max_connections=2, handshake_timeout=6)) as server,
        raw_peer(server.port) as one,
        raw_peer(server.port) as two,
    ):
        start = asyncio.get_running_loop().time()
        two.send(b"GET / HTTP/1.1\r\n")  # half a request is no request
        session = await admitted(server.url)
        other = await admitted(server.url)
        assert asyncio.get_running_loop().time() - start < 5.5
        assert await one.reader.read() == await two.reader.read() == b""
        error = await refused(server.url)  # sessions give way to nobody
        assert error.status == 503
        assert session.is_open
        assert other.is_open
        await session.close()
        await other.close()


async def test_without_a_tls_handshake_a_connection_has_a_place_for_some_time_only() -> None:
    context, _ = contexts()
    app = echo_app(max_connections=2, handshake_timeout=0.5)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(wsext.serve(app, ssl=context))
        silent = [await stack.enter_async_context(raw_peer(server.port)) for _ in range(40)]
        refused = silent[2 + 16 :]  # two have a place, and sixteen would be told that they do not
        for peer in refused:
            assert await peer.reader.read() == b""
        assert server.connection_count == 2 + 16
        for peer in silent:
            assert await peer.reader.read() == b""
        assert server.connection_count == 0
        late = await stack.enter_async_context(raw_peer(server.port))
        late.send(b"\x16")  # it has begun, and leaves
        late.writer.transport.abort()
        await until(lambda: server.connection_count == 0)
        await stack.enter_async_context(raw_peer(server.port))
        async with asyncio.timeout(3):
            await server.close()  # who has not begun is not waited for


class Silent(asyncio.Transport):
    """A transport on which nothing comes."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True


async def test_idle_is_when_the_last_session_has_ended() -> None:
    async with wsext.serve(echo_app()) as server:
        await server.wait_idle(5)  # there is none
        async with wsext.connect(server.url):
            waiting = asyncio.create_task(server.wait_idle(5))
            await server.wait_idle(0)
            assert not waiting.done()
        await waiting
        assert not server.sessions
