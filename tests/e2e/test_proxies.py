"""Behind nginx and Caddy, as docs/how-to/behind-a-proxy.md says: who asks, and for how long."""

from __future__ import annotations

import asyncio
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.e2e.proxies import KINDS, Proxy, proxying
from wsext import App, InvalidStatus, Request, ServerOptions, Session, WebSocketOptions


def app_behind(trusted: str) -> App:
    """An app that tells what it knows of who asks."""
    app = App(
        options=WebSocketOptions(ping_interval=0.3),
        server=ServerOptions(trusted_proxies=(trusted,)),
    )

    @app.http("/page")
    def page(request: Request) -> str | None:
        return request.remote

    @app.websocket("/who/<name>")
    async def who(session: Session, name: str) -> None:
        request = session.request
        asked = [name, request.query_string, request.remote, request.secure, request.host]
        await session.send_json(asked)
        async for message in session:
            await session.send(message)

    return app


async def ask(proxy: Proxy, origin: str | None = None, **headers: str) -> Any:
    """Connect from another address than the proxy's, and take the first answer."""
    with socket.create_connection(
        ("127.0.0.1", proxy.port), source_address=("127.0.0.2", 0)
    ) as sock:
        sock.setblocking(False)
        url = f"wss://localhost:{proxy.port}/who/ada?to=bob&x=%2F"
        how: dict[str, Any] = {"ssl": proxy.trust(), "headers": headers, "origin": origin}
        async with wsext.connect(url, sock=sock, **how) as session:
            return await session.receive_json()


def get(url: str, context: ssl.SSLContext) -> bytes:
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_the_server_knows_who_asks_for_what(kind: str, over: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    trusted = "127.0.0.1" if over == "tcp" else "unix"
    place: dict[str, Any] = {"port": 0} if over == "tcp" else {"uds": path}
    async with wsext.serve(app_behind(trusted), **place) as server:
        upstream = f"http://127.0.0.1:{server.port}" if over == "tcp" else f"http://unix:{path}"
        with proxying(kind, tmp_path, upstream) as proxy:
            here = f"localhost:{proxy.port}"
            lies = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "evil.example"}
            lies |= {"X-Forwarded-Proto": "http"}
            asked = ["ada", "to=bob&x=%2F", "127.0.0.2", True, here]
            assert await ask(proxy) == asked
            assert await ask(proxy, f"https://{here}", **lies) == asked
            for other in ("https://evil.example", f"http://{here}"):
                with pytest.raises(InvalidStatus) as caught:
                    await ask(proxy, other, **lies)
                assert caught.value.status == 403
            page = await asyncio.to_thread(get, f"https://{here}/page", proxy.trust())
            assert page == b"127.0.0.1"


async def test_pings_keep_a_silent_session_from_the_timeout_of_nginx(tmp_path: Path) -> None:
    short = {"proxy_read_timeout 60s": "proxy_read_timeout 1s"}
    async with wsext.serve(app_behind("127.0.0.1"), port=0) as server:
        with proxying("nginx", tmp_path, f"http://127.0.0.1:{server.port}", short) as proxy:
            url = f"wss://localhost:{proxy.port}/who/ada"
            async with wsext.connect(url, ssl=proxy.trust()) as session:
                await session.receive()
                await asyncio.sleep(1.5)  # longer than nginx waits for anything
                await session.send("still here")
                assert await session.receive() == "still here"
