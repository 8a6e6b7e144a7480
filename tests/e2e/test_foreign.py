"""Other people's WebSocket implementations: the ``websockets`` package on either side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from websockets.asyncio.client import connect as foreign_connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as foreign_serve
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from wsext_deflate import PermessageDeflate

import wsext
from tests.e2e.processes import Served, serving

WORDS = "the quick brown fox jumps over the lazy dog and then again "


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


async def test_the_websockets_client_exchanges_compressed_messages(server: Served) -> None:
    async with foreign_connect(f"{server.ws}/echo") as client:
        assert [extension.name for extension in client.protocol.extensions] == [
            "permessage-deflate"
        ]
        for message in (WORDS * 100, b"\x00" * 70_000, "", b"", "ünï" * 500):
            await client.send(message)
            assert await client.recv() == message
        await client.send([WORDS, "", WORDS])  # fragments
        assert await client.recv() == WORDS * 2
        latency = await client.ping()
        assert await latency >= 0
    assert client.protocol.close_code == 1000


@pytest.mark.parametrize("no_context", [False, True])
@pytest.mark.parametrize("bits", [None, 9, 12, 15])
async def test_every_agreement_with_the_websockets_client(
    bits: int | None, no_context: bool
) -> None:
    app = wsext.App()

    @app.websocket("/")
    async def echo(session: wsext.Session) -> None:
        async for message in session:
            await session.send(message)

    app.install("permessage-deflate")
    factory = ClientPerMessageDeflateFactory(
        server_no_context_takeover=no_context,
        client_no_context_takeover=no_context,
        server_max_window_bits=bits,
        client_max_window_bits=bits or True,
    )
    async with (
        wsext.serve(app) as server,
        foreign_connect(server.url, extensions=[factory], compression=None) as client,
    ):
        (session,) = server.sessions
        assert session.extension(PermessageDeflate)
        for number in range(20):
            message = f"{number} {WORDS * number}"
            await client.send(message)
            assert await client.recv() == message
        assert session.stats.wire_bytes_in < session.stats.app_bytes_in / 2


@pytest.fixture
async def foreign_url() -> AsyncIterator[str]:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async with foreign_serve(echo, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


async def test_our_client_and_the_websockets_server(foreign_url: str) -> None:
    async with wsext.connect(foreign_url, extensions=["permessage-deflate"]) as session:
        assert session.extension("permessage-deflate")
        for message in (WORDS * 100, b"\x00" * 70_000, "", b"", "ünï" * 500):
            await session.send(message)
            assert await session.receive() == message
        assert await session.ping() >= 0
        assert session.stats.wire_bytes_out < 2000
    assert session.close_info.ok


@pytest.mark.parametrize("no_context", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_every_agreement_with_the_websockets_server(bits: int, no_context: bool) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=no_context,
        client_no_context_takeover=no_context,
        server_max_window_bits=bits,
        client_max_window_bits=bits,
    )
    async with foreign_serve(
        echo, "127.0.0.1", 0, extensions=[factory], compression=None
    ) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        async with wsext.connect(url, extensions=["permessage-deflate"]) as session:
            params = session.extension("permessage-deflate").params
            assert params["client_max_window_bits"] == str(bits)
            for number in range(20):
                await session.send(f"{number} {WORDS * number}")
                assert await session.receive() == f"{number} {WORDS * number}"


async def test_close_codes_cross_over(server: Served, foreign_url: str) -> None:
    async with foreign_connect(f"{server.ws}/greet") as client:
        await client.recv()
        await client.send("bye")
        await client.wait_closed()
        assert (client.protocol.close_code, client.protocol.close_reason) == (
            1000,
            "Client said BYE",
        )
    async with foreign_connect(f"{server.ws}/echo") as client:
        await client.send("x" * (1 << 20) + "x")
        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
    async with wsext.connect(foreign_url) as session:
        await session.close(4321, "done")
        assert session.close_info.remote == (4321, "done")
