"""Proxies: which is chosen, and sessions through one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

import wsext
from tests.client.servers import listening
from wsext import App, ClientLimits, Session
from wsext.client.proxies import find_proxy
from wsext.client.targets import Target


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@asynccontextmanager
async def connect_proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP proxy that knows CONNECT only."""
    asked: list[str] = []

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


def test_the_environment_chooses_by_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"https": "http://tls", "http": "", "all": "socks5://all", "no": "inside"}
    monkeypatch.setattr("urllib.request.getproxies", lambda: found)
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "inside:80")
    assert find_proxy(True, Target.parse("wss://h")) == "http://tls"
    assert find_proxy(True, Target.parse("ws://h")) == "socks5://all"
    assert find_proxy(True, Target.parse("ws://inside")) is None
    monkeypatch.setitem(found, "http", "plain:3128")
    assert find_proxy(True, Target.parse("ws://h")) == "http://plain:3128"
    assert find_proxy("http://mine", Target.parse("ws://inside")) == "http://mine"
    assert find_proxy(None, Target.parse("ws://h")) is find_proxy(False, Target.parse("ws://h"))


# --- proxies that answer badly ----------------------------------------------------------------


@asynccontextmanager
async def proxy_that_says(*parts: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that answers in so many pieces, and what it is asked."""
    asked: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        with suppress(ConnectionError):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)  # or the pieces would arrive together
            if parts[-1:] != (b"",) and not writer.is_closing():
                writer.write_eof()
            await reader.read()
        writer.close()

    async with listening(handle) as port:
        yield f"ada:hunter2@127.0.0.1:{port}", asked


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([b"HTTP/1.1 407 \x1b[2J" + b"x" * 1000 + b"\r\n\r\n"], "cannot be used"),
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n" + b"y" * 90_000], "HTTP 407"),
        ([b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"], "HTTP 302"),
        ([b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000], "cannot be used"),
        ([b"HTTP/1.1 100 x\r\n\r\n"] * 10 + [b"HTTP/1.1 100 x\r\n\r\n" * 9999], "cannot be used"),
        ([b"z" * 100_000], "cannot be used"),
        ([b"HTTP/1.1 2"], "cannot be used"),
        ([b""], "timeout"),
        ([b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n"], "more than its answer"),
    ],
)
async def test_a_proxys_answer_has_limits_and_tells_no_secret(
    parts: list[bytes], words: str
) -> None:
    limits = ClientLimits(max_header_size=4000, max_header_count=20)
    async with proxy_that_says(*parts) as (place, asked):
        with pytest.raises((ConnectionError, TimeoutError)) as caught:
            await wsext.connect(
                "ws://example.org/x",
                proxy=f"http://{place}",
                limits=limits,
                open_timeout=0.3 if words == "timeout" else 5,
            )
    shown = str(caught.value)
    assert words in shown or isinstance(caught.value, TimeoutError)
    assert "hunter2" not in shown
    assert len(shown) < 200
    assert shown.isprintable()
    assert asked == [
        b"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\n"
        b"Proxy-Authorization: Basic YWRhOmh1bnRlcjI=\r\n\r\n"
    ]


async def test_a_proxy_may_answer_in_pieces_and_with_headers() -> None:
    app = App()

    @app.websocket("/")
    async def greet(session: Session) -> None:
        await session.send("hello")

    async with wsext.serve(app) as server:

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            for part in (b"HTTP/1.0 2", b"00 OK\r\nVia: x\r\n", b"Content-Length: 9\r\n\r\n"):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)  # or the pieces would arrive together
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.port)
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))

        async with listening(handle) as port:
            proxy = f"http://127.0.0.1:{port}"
            async with wsext.connect("ws://example.org/", proxy=proxy) as session:
                assert await session.receive() == "hello"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 100,
        b"\x05\xff",
        b"\x05\x00\x05\x01\x00\x01" + bytes(6),
        b"\x00\x5b" + bytes(6),
    ],
)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
async def test_a_socks_proxy_that_refuses_or_makes_no_sense(scheme: str, data: bytes) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(data)
        writer.write_eof()
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with listening(handle) as port:
        with pytest.raises(ConnectionError, match="proxy"):
            await wsext.connect("ws://127.0.0.1:9/", proxy=f"{scheme}://127.0.0.1:{port}")


@pytest.mark.parametrize(
    "url",
    [
        "http://ada:hunter2@h:1/\r\nX: y",
        "http://ada:hunter2@h :1",
        "http://ada:hunter2@:1",
        "http://ada:hunter2@h:port",
        "https://ada:hunter2@h:1",
        "socks5://ada:hunter2@h",
        "ftp://ada:hunter2@h:1",
        "http://a%3Ada:hunter2@127.0.0.1:1",
    ],
)
async def test_a_proxys_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        await wsext.connect("ws://h/", proxy=url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("target", ['ws://a"b/', 'ws://h/a|b"#c'])
async def test_a_target_is_checked_before_the_proxy_is_asked(target: str) -> None:
    with pytest.raises(ValueError, match=r"may not stand|fragment"):
        await wsext.connect(target, proxy="http://127.0.0.1:1")
