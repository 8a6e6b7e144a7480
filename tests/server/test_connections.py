"""How many connections there may be, and how long a handshake may take."""

from __future__ import annotations

import asyncio

import pytest

import wsext
from tests.raw import raw_peer
from tests.server.apps import echo_app
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
