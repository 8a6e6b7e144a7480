"""Behind nginx and Caddy, as docs/how-to/behind-a-proxy.md says.

SHOW=full python -m pytest tests/e2e/test_proxies.py -n0 -s --timeout 600

lets more happen, for longer, and with a page in a browser.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.e2e.processes import ENV, serving
from tests.e2e.proxies import KINDS, Proxy, proxying
from wsext import InvalidStatus

APP = """
import os
from wsext import App, WebSocketOptions

app = App(options=WebSocketOptions(ping_interval=0.3))


@app.http("/page")
def page(request):
    return request.remote


@app.websocket("/who/<name>")
async def who(session, name):
    request = session.request
    asked = [name, request.query_string, request.remote, request.secure, request.host]
    await session.send_json(asked)
    async for message in session:
        await session.send(message)
"""


async def ask(proxy: Proxy, origin: str | None = None, **headers: str) -> Any:
    """Connect as another machine would, and take the first answer."""
    sock = socket.create_connection(("127.0.0.1", proxy.port), source_address=("127.0.0.2", 0))
    sock.setblocking(False)
    url = f"wss://localhost:{proxy.port}/who/ada?to=bob&x=%2F"
    how: dict[str, Any] = {"ssl": proxy.trust(), "headers": headers, "origin": origin}
    async with wsext.connect(url, sock=sock, **how) as session:
        return await session.receive_json()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("over", ["tcp", "unix"])
async def test_the_server_knows_who_asks_for_what(kind: str, over: str, tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text(APP)
    folder = tmp_path / "proxy"
    folder.mkdir()
    trusted, place = ("127.0.0.1", []) if over == "tcp" else ("unix", ["--uds", str(folder / "s")])
    args = ["asked:app", "--set", f"server.trusted_proxies={trusted}", *place]
    with serving(*args, cwd=tmp_path) as served:
        upstream = f"http://unix:{folder / 's'}" if over == "unix" else served.http.rstrip("/")
        with proxying(kind, folder, upstream) as proxy:
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


def get(url: str, context: ssl.SSLContext) -> bytes:
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:
        return bytes(answer.read())


async def test_pings_keep_a_silent_session_from_the_timeout_of_nginx(tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text(APP)
    folder = tmp_path / "proxy"
    folder.mkdir()
    short = {"proxy_read_timeout 60s": "proxy_read_timeout 1s"}
    with serving("asked:app", cwd=tmp_path) as served:
        with proxying("nginx", folder, served.http.rstrip("/"), short) as proxy:
            url = f"wss://localhost:{proxy.port}/who/ada"
            async with wsext.connect(url, ssl=proxy.trust()) as session:
                await session.receive()
                await asyncio.sleep(1.5)  # longer than nginx waits for anything
                await session.send("still here")
                assert await session.receive() == "still here"
