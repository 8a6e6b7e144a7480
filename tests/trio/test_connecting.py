"""The client: what it asks for, what it is answered, and how its block ends."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import wsext
import wsext.trio
from tests.raw import contexts
from tests.trio.peers import on_trio
from wsext import App, CloseInfo, ConnectionClosed, Response
from wsext.testing.on_trio import MemoryListener, connect, pair, serving


async def echo(session: Any) -> None:
    async for message in session:
        await session.send(message)


@asynccontextmanager
async def answered(answer: bytes, **options: Any) -> AsyncIterator[wsext.trio.Session]:
    """A session with a server that answers whatever it is told to."""
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(answer)
    await theirs.send_eof()
    async with wsext.trio.connect("ws://memory/", stream=ours, **options) as session:
        yield session


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (b"", wsext.InvalidHandshake, "ended before .* write wss://"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", wsext.InvalidStatus, "404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", wsext.InvalidHandshake, "no Upgrade"),
        (b"nonsense\r\n\r\n", wsext.InvalidHandshake, "malformed"),
    ],
)
@on_trio
async def test_what_is_no_acceptance_is_an_error(
    answer: bytes, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        async with answered(answer):
            pass


@on_trio
async def test_a_server_that_does_not_answer_is_left_after_open_timeout() -> None:
    ours, _theirs = trio.testing.memory_stream_pair()
    with pytest.raises(TimeoutError, match=r"^no session within open_timeout \(3 s\)$"):
        async with wsext.trio.connect("ws://memory/", stream=ours, open_timeout=3):
            pass
    assert trio.current_time() == pytest.approx(3)


def test_arguments_that_cannot_be_used_are_refused_at_once() -> None:
    for arguments, error in (
        ({"url": "http://example.com"}, ValueError),
        ({"url": "ws://x", "extensions": ["nothing-like-that"]}, wsext.PluginError),
        ({"url": "ws://x", "extensions": ["session-resume"]}, wsext.PluginError),
        ({"url": "ws://x", "proxy": None}, TypeError),
    ):
        with pytest.raises(error):
            wsext.trio.connect(**arguments)  # type: ignore[arg-type]


@on_trio
async def test_a_session_needs_a_block() -> None:
    with pytest.raises(TypeError, match="async with connect"):
        await wsext.trio.connect("ws://127.0.0.1:1/")


@on_trio
async def test_required_extensions() -> None:
    closed: list[CloseInfo] = []

    async def handler(session: Any) -> None:
        closed.append(await session.wait_closed())

    async def ask(listener: MemoryListener, **how: Any) -> None:
        how = {"stream": listener.open(), "required": ["permessage-deflate"], **how}
        async with wsext.trio.connect("ws://memory/", **how):
            pass

    async with serving(handler) as (_, listener):
        with pytest.raises(wsext.NegotiationError, match="did not agree"):
            await ask(listener, extensions=["permessage-deflate"])
        with pytest.raises(wsext.NegotiationError, match="does not offer it"):
            await ask(listener)
    assert [info.code for info in closed] == [1010]


@on_trio
async def test_headers_may_be_made_for_each_handshake() -> None:
    app = App()

    @app.websocket("/")
    async def tell(session: Any) -> None:
        await session.send(session.request.headers["Authorization"])

    async def token() -> dict[str, str]:
        await trio.sleep(1)
        return {"Authorization": f"Bearer {trio.current_time():.0f}"}

    async with connect(app, headers=token) as client:
        assert await client.receive() == "Bearer 1"


@on_trio
async def test_what_the_block_raises_leaves_it_as_it_is_and_closes_with_1011() -> None:
    infos: list[CloseInfo] = []
    clients: list[wsext.trio.Session] = []

    async def handler(session: Any) -> None:
        infos.append(await session.wait_closed())

    async def block() -> None:
        async with connect(handler) as client:
            clients.append(client)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await block()
    assert (infos[0].code, infos[0].reason) == (1011, "client failed")
    assert isinstance(clients[0].close_info.exception, KeyError)


@on_trio
async def test_a_block_that_sees_the_end_raises_what_it_saw() -> None:
    async def handler(session: Any) -> None:
        await session.close(4000, "enough")

    with pytest.raises(ConnectionClosed, match="enough"):
        async with connect(handler) as client:
            await client.receive()


@on_trio
async def test_a_cancelled_block_drops_the_connection() -> None:
    infos: list[CloseInfo] = []

    async def handler(session: Any) -> None:
        infos.append(await session.wait_closed())

    async with serving(handler) as (_, listener):
        with trio.move_on_after(1) as scope:
            async with wsext.trio.connect("ws://memory/", stream=listener.open()):
                await trio.sleep_forever()
        assert scope.cancelled_caught
    assert infos[0].code == 1006
    assert trio.current_time() == 1


@on_trio
async def test_opening_can_be_cancelled() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    with trio.move_on_after(1):
        async with wsext.trio.connect("ws://memory/", stream=ours):
            pass
    while await theirs.receive_some():
        pass  # the request, and then the end


def test_over_tcp_and_tls() -> None:
    server_side, client_side = contexts()

    async def tell(session: Any) -> None:
        tls = session.request.get_extra_info("ssl_object")
        await session.send(f"{session.request.secure} {tls.version()}")
        await echo(session)

    async def scenario() -> None:
        async with trio.open_nursery() as nursery:

            async def run_server(task_status: Any) -> None:
                await wsext.trio.serve(tell, ssl=server_side, task_status=task_status)

            server = await nursery.start(run_server)
            assert server.url == f"wss://127.0.0.1:{server.port}"
            url = f"wss://localhost:{server.port}/"
            async with wsext.trio.connect(url, ssl=client_side) as session:
                assert await session.receive() == "True TLSv1.3"
                await session.send(bytes(300_000))
                assert await session.receive() == bytes(300_000)
            assert session.close_info.clean
            with pytest.raises(ssl.SSLCertVerificationError):
                async with wsext.trio.connect(url):
                    pass
            with pytest.raises(wsext.InvalidHandshake, match="write wss://"):
                async with wsext.trio.connect(url.replace("wss", "ws")):
                    pass
            await server.close()
            with pytest.raises(OSError, match=r"refused|failed"):
                async with wsext.trio.connect(url):
                    pass

    trio.run(scenario)


def test_wss_to_a_port_without_tls_hints_at_ws() -> None:
    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(wsext.trio.serve, echo)
            with pytest.raises(ssl.SSLError, match="write ws://"):
                async with wsext.trio.connect(f"wss://127.0.0.1:{server.port}/"):
                    pass
            await server.close()

    trio.run(scenario)


def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    async def scenario() -> None:
        sock = trio.socket.socket(trio.socket.AF_UNIX)
        await sock.bind(path)
        sock.listen()
        async with trio.open_nursery() as nursery:
            serve = partial(wsext.trio.serve, echo, listeners=[trio.SocketListener(sock)])
            server = await nursery.start(serve)
            assert server.url == f"ws+unix:{path}"
            async with wsext.trio.connect(f"{server.url}:/there") as session:
                await session.send("a")
                assert await session.receive() == "a"
                assert session.request.path == "/there"
            with pytest.raises(LookupError, match="no TCP port"):
                _ = server.port
            await server.close()

    trio.run(scenario)


@on_trio
async def test_guards_refuse_with_their_answer() -> None:
    app = App(guards=[lambda request: Response(403, "not you")])
    app.websocket("/")(echo)
    with pytest.raises(wsext.InvalidStatus) as caught:
        async with connect(app):
            pass
    assert (caught.value.status, caught.value.body) == (403, b"not you")


def test_a_connect_can_be_used_again() -> None:
    async def scenario() -> None:
        async with trio.open_nursery() as nursery:
            server = await nursery.start(wsext.trio.serve, echo)
            opening = wsext.trio.connect(server.url)
            for text in ("a", "b"):
                async with opening as session:
                    await session.send(text)
                    assert await session.receive() == text
            await server.close()

    trio.run(scenario)


@on_trio
async def test_two_ends_in_memory_are_one_session_each() -> None:
    async with pair() as (client, server):
        assert client.id != server.id
