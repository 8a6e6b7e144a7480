"""Opening a session as a client: what is asked for, what is required, limits."""

from __future__ import annotations

import asyncio

import pytest

import wsext
from tests.client.servers import accept, listening
from tests.extensions import Append, Reverse
from wsext import (
    App,
    NegotiationError,
    OptionError,
    Session,
    WebSocketOptions,
)


async def test_a_server_that_never_answers_is_left_after_the_open_timeout() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        with pytest.raises(TimeoutError):
            await wsext.connect(f"ws://127.0.0.1:{port}", open_timeout=0.05)


async def test_headers_authorization_and_user_agent() -> None:
    app = App(options=WebSocketOptions(origins=None))

    @app.websocket("/")
    async def handler(session: Session) -> None:
        headers = session.request.headers
        await session.send_json(
            [headers.get(name) for name in ("X-A", "Authorization", "User-Agent", "Origin")]
        )

    async with wsext.serve(app) as server:
        url = server.url.replace("://", "://user:p%40ss@") + "/"
        async with wsext.connect(url, headers={"X-A": "1"}, origin="https://o") as session:
            said = await session.receive_json(list)
            assert said == [
                "1",
                "Basic dXNlcjpwQHNz",
                f"wsext/{wsext.__version__}",
                "https://o",
            ]
            assert session.response_headers is not None
            assert "Sec-WebSocket-Accept" in session.response_headers
        with pytest.raises(ValueError, match="itself"):
            await wsext.connect(url, headers={"Sec-WebSocket-Version": "8"})


async def test_a_required_extension_that_is_missing_closes_with_1010() -> None:
    app = App()
    codes: asyncio.Queue[int] = asyncio.Queue()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        info = await session.wait_closed()
        codes.put_nowait(info.code)

    app.install(Reverse)
    async with wsext.serve(app) as server:
        with pytest.raises(NegotiationError, match="x-append"):
            await wsext.connect(server.url, extensions=[Append, Reverse], required=["x-append"])
        assert await codes.get() == 1010


async def test_the_client_masks_with_fresh_keys() -> None:
    keys = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(accept(key))
        for _ in range(20):
            header = await reader.readexactly(6)
            assert header[1] & 0x80
            keys.append(header[2:6])
            await reader.readexactly(header[1] & 0x7F)
        writer.close()

    async with listening(handle) as port, wsext.connect(f"ws://127.0.0.1:{port}") as session:
        for _ in range(20):
            await session.send("same")
        assert (await session.wait_closed()).code == 1006
    assert len(set(keys)) == 20


async def test_a_message_over_the_clients_limit_is_1009() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("x" * 2000)
        await session.wait_closed()

    options = WebSocketOptions(max_message_size=1000)
    async with wsext.serve(app) as server, wsext.connect(server.url, options=options) as session:
        assert (await session.wait_closed()).code == 1009


async def test_extensions_with_options_by_token() -> None:
    app = App()

    @app.websocket("/", extensions={"permessage-deflate": {"server_max_window_bits": 9}})
    async def hold(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server:
        offers = {"permessage-deflate": {"client_max_window_bits": 10}}
        async with wsext.connect(server.url, extensions=offers) as session:
            assert session.negotiation.header == (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10"
            )
        with pytest.raises(OptionError, match="levle"):
            wsext.connect(server.url, extensions={"permessage-deflate": {"levle": 1}})
