"""The client: what it refuses, what it requires, how it reconnects, proxies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.utils import accept_key

import wsext
from tests.extensions import Append, Reverse
from wsext import (
    App,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
    OptionError,
    Session,
    WebSocketOptions,
    testing,
)
from wsext.runtime.backoff import Backoff

FAST = Backoff(initial=0.001, maximum=0.01)


@asynccontextmanager
async def listening(handle: Callable[..., Coroutine[Any, Any, None]]) -> AsyncIterator[int]:
    """A TCP server of this test's own, with its port; its handlers have ended afterwards."""
    running: set[asyncio.Task[None]] = set()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.add(asyncio.ensure_future(handle(reader, writer)))

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    if running:
        await asyncio.wait(running)
    for task in running:
        task.result()


@asynccontextmanager
async def answering(make: Callable[[str], bytes]) -> AsyncIterator[str]:
    """A server that answers every handshake with what ``make`` makes of its key."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(make(key))
        if writer.can_write_eof():
            writer.write_eof()
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        yield f"ws://127.0.0.1:{port}/"


def accept(key: str, more: str = "") -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{more}\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda key: accept("another key in base64=="), InvalidHandshake, "Accept"),
        (lambda key: accept(key, "Sec-WebSocket-Protocol: v9\r\n"), InvalidHandshake, "v9"),
        (
            lambda key: accept(key, "Sec-WebSocket-Extensions: x-what\r\n"),
            NegotiationError,
            "x-what",
        ),
        (
            lambda key: accept(key, "Sec-WebSocket-Extensions: x-append; bogus\r\n"),
            NegotiationError,
            "bogus",
        ),
        (lambda key: b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", InvalidStatus, "302"),
        (lambda key: b"nonsense\r\n\r\n", InvalidHandshake, "malformed"),
        (lambda key: b"", InvalidHandshake, "line|ended"),
        (lambda key: b"HTTP/1.1 101 x\r\n" + b"A: b\r\n" * 5000, InvalidHandshake, "headers"),
    ],
)
async def test_a_broken_answer_is_refused(
    make: Callable[[str], bytes], error: type[Exception], words: str
) -> None:
    async with answering(make) as url:
        with pytest.raises(error, match=words):
            await wsext.connect(url, extensions=[Append])


async def test_a_server_that_never_answers_is_left_after_the_open_timeout() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        with pytest.raises(TimeoutError):
            await wsext.connect(f"ws://127.0.0.1:{port}", open_timeout=0.05)


@pytest.mark.parametrize("url", ["http://x/", "ws://", "example.com", "ws+unix:"])
async def test_a_wrong_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="ws"):
        wsext.connect(url)


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


async def test_async_for_reconnects_until_it_is_left() -> None:
    app = App()
    count = 0

    @app.websocket("/")
    async def handler(session: Session) -> None:
        nonlocal count
        count += 1
        await session.send(str(count))
        await session.flush()
        if count == 2:
            session.abort()  # not even a goodbye

    got: list[Any] = []
    async with wsext.serve(app) as server:
        async for session in wsext.connect(server.url, backoff=FAST):
            async for message in session:
                got.append(message)
            if len(got) >= 4:
                break
    assert got == ["1", "2", "3", "4"]


async def test_async_for_waits_for_a_server_that_comes_back() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("hello")

    server = await wsext.serve(app)
    port = server.port
    await server.close()
    got: list[Any] = []

    async def read() -> None:
        async for session in wsext.connect(f"ws://127.0.0.1:{port}", backoff=FAST):
            async for message in session:
                got.append(message)
            return

    reading = asyncio.ensure_future(read())
    await asyncio.sleep(0)
    async with wsext.serve(app, port=port):
        await reading
    assert got == ["hello"]


async def test_async_for_raises_what_another_attempt_cannot_mend() -> None:
    async with wsext.serve(App()) as server:
        sessions = aiter(wsext.connect(server.url, backoff=FAST))
        with pytest.raises(InvalidStatus, match="404"):
            await anext(sessions)


async def test_backoff_grows_to_its_maximum_with_jitter() -> None:
    delays = Backoff(initial=1, factor=2, maximum=8).delays()
    seen = [next(delays) for _ in range(10)]
    for delay, top in zip(seen, [1, 2, 4, 8, 8, 8, 8, 8, 8, 8], strict=True):
        assert top / 2 <= delay <= top


async def test_an_exception_in_the_block_closes_the_session_with_1011() -> None:
    app = App()
    codes: asyncio.Queue[int] = asyncio.Queue()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        codes.put_nowait((await session.wait_closed()).code)

    async with wsext.serve(app) as server:
        with pytest.raises(ZeroDivisionError):
            async with wsext.connect(server.url):
                _ = 1 / 0
        assert await codes.get() == 1011


async def test_a_message_over_the_clients_limit_is_1009() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("x" * 2000)
        await session.wait_closed()

    options = WebSocketOptions(max_message_size=1000)
    async with wsext.serve(app) as server, wsext.connect(server.url, options=options) as session:
        assert (await session.wait_closed()).code == 1009


# --- proxies ----------------------------------------------------------------------------------


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP proxy that knows CONNECT only."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
        except ConnectionError:
            pass
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = head.split()[1]
        asked.append(target)
        host, _, port = target.rpartition(":")
        if port == "1":
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

    async with listening(handle) as port:
        yield f"http://127.0.0.1:{port}", asked


async def test_a_proxy_carries_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App()

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with wsext.serve(app) as server, connect_proxy() as (proxy, asked):
        async with wsext.connect(server.url, proxy=proxy) as session:
            await session.send("through")
            assert await session.receive() == "through"
        monkeypatch.setenv("http_proxy", proxy)
        async with wsext.connect(server.url) as session:
            assert session.is_open
        async with wsext.connect(server.url, proxy=None) as session:
            assert session.is_open
        assert asked == [f"127.0.0.1:{server.port}"] * 2
        with pytest.raises(ConnectionError, match="proxy"):
            await wsext.connect("ws://127.0.0.1:1/", proxy=proxy)


async def test_a_server_that_answers_and_vanishes_is_no_session() -> None:
    app = App()

    @app.websocket("/")
    async def vanish(session: Session) -> None:
        session.abort()

    with pytest.raises(InvalidHandshake, match="ended during the handshake"):
        async with testing.connect(app):
            pass


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
