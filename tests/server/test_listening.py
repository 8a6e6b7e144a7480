"""Where a server listens: TLS, Unix sockets, addresses."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.raw import REQUEST, contexts, raw_peer
from tests.server.apps import echo_app
from wsext import Server


async def test_tls() -> None:
    server_context, client_context = contexts()
    app = echo_app()
    app.install("permessage-deflate")
    async with wsext.serve(app, ssl=server_context) as server:
        assert server.url.startswith("wss://")
        url = f"wss://localhost:{server.port}/"
        opening = wsext.connect(url, ssl=client_context, extensions=["permessage-deflate"])
        async with opening as session:
            (on_server,) = server.sessions
            assert on_server.request.secure
            await session.send("secret " * 1000)
            assert await session.receive() == "secret " * 1000
        with pytest.raises(ssl.SSLCertVerificationError):
            await wsext.connect(url)


def is_there(path: str) -> bool:
    return Path(path).exists()


async def test_unix_sockets(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with wsext.serve(echo_app(), uds=path) as server:
        assert server.url == f"ws+unix:{path}"
        with pytest.raises(RuntimeError, match="TCP"):
            _ = server.port
        async with wsext.connect(f"{server.url}:/") as session:
            await session.send("local")
            assert await session.receive() == "local"
            (on_server,) = server.sessions
            assert on_server.request.remote is None
    assert not is_there(path)
    async with wsext.serve(echo_app(), uds=path), wsext.serve(echo_app(), uds=path) as second:
        pass
    assert second.draining
    assert not is_there(path)


async def test_a_unix_socket_that_another_server_has_taken_over_is_left_alone(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "socket")
    first = await wsext.serve(echo_app(), uds=path)
    async with wsext.serve(echo_app(), uds=path) as second:
        await first.close()
        async with wsext.connect(f"{second.url}:/") as session:
            assert session.is_open


async def test_far_beyond_the_limit_the_answer_comes_before_the_request(caplog: Any) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(wsext.serve(echo_app(max_connections=1)))
        peers = [await stack.enter_async_context(raw_peer(server.port)) for _ in range(40)]
        for peer in peers[1 + 16 :]:
            answer = (await peer.reader.read()).decode()
            head, _, body = answer.partition("\r\n\r\n")
            assert head.startswith("HTTP/1.1 503 ")
            assert f"Content-Length: {len(body)}\r\n" in head
    assert [record.message for record in caplog.records] == [
        "connections are refused, for there are too many"
    ]


async def test_a_socket_that_was_bound_before(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        async with wsext.serve(echo_app(), sock=sock) as server:
            assert server.port == sock.getsockname()[1]
            async with wsext.connect(server.url) as session:
                assert session.is_open
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
        async with (
            wsext.serve(echo_app(), sock=sock) as server,
            wsext.connect(f"{server.url}:/") as session,
        ):
            assert session.is_open


async def test_a_server_may_listen_twice() -> None:
    async with wsext.serve(echo_app()) as server:
        first = server.url
        await server.listen("127.0.0.1", 0)
        assert server.url == first
        ports = {sock.getsockname()[1] for sock in server.sockets}
        assert len(ports) == 2
        for port in ports:
            async with wsext.connect(f"ws://127.0.0.1:{port}") as session:
                assert session.is_open


async def test_a_server_that_does_not_listen_has_no_address() -> None:
    server = Server(echo_app())
    for name in ("url", "port"):
        with pytest.raises(RuntimeError, match="does not listen"):
            getattr(server, name)
    assert list(server.sockets) == []
    await server.close()


async def test_connections_that_somebody_else_has_accepted(caplog: Any) -> None:
    server = Server(echo_app())
    await server.start()
    for good in (True, False):
        ours, theirs = socket.socketpair()
        with ours:
            if not good:
                ours.close()  # gone before it is served
            server.take(theirs)
            if good:
                ours.setblocking(False)
                reader, writer = await asyncio.open_connection(sock=ours)
                writer.write(REQUEST.format(path="/", more="").encode())
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                writer.close()
    await server.close()
    assert not caplog.records
