"""Proxies: which is chosen, and sessions through one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import wsext
from tests.client.servers import listening
from wsext import (
    App,
    Session,
)
from wsext.client.proxies import find_proxy
from wsext.client.targets import Target


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


def test_the_environment_chooses_by_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"https": "http://tls", "all": "socks5://all", "no": "inside"}
    monkeypatch.setattr("urllib.request.getproxies", lambda: found)
    monkeypatch.setattr("urllib.request.proxy_bypass", lambda host: host == "inside:80")
    assert find_proxy(True, Target.parse("wss://h")) == "http://tls"
    assert find_proxy(True, Target.parse("ws://h")) == "socks5://all"
    assert find_proxy(True, Target.parse("ws://inside")) is None
    assert find_proxy("http://mine", Target.parse("ws://inside")) == "http://mine"
    assert find_proxy(None, Target.parse("ws://h")) is find_proxy(False, Target.parse("ws://h"))
