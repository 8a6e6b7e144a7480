"""wsext inside other people's servers, with real processes and a real browser."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from websockets.asyncio.client import connect as foreign_connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as foreign_serve
from websockets.exceptions import ConnectionClosed as ForeignClosed
from websockets.exceptions import InvalidStatus

import wsext
from tests.e2e.browser import browsing, text_of, until
from tests.e2e.processes import Served
from wsext.integrations.websockets import server_extensions

EXAMPLES = Path(__file__).parents[2] / "examples"
ENV = {**os.environ, "WSEXT_PLUGINS": "permessage-deflate,permessage-zstd"}
WORDS = "the quick brown fox jumps over the lazy dog " * 100

_TALK = """
const [url, message, done] = arguments;
const socket = new WebSocket(url);
socket.onopen = () => socket.send(message);
socket.onmessage = ({data}) => { done([socket.extensions, data === message]); socket.close(); };
socket.onerror = () => done(["error", false]);
"""


@contextmanager
def uvicorn_serving(*args: str) -> Iterator[Served]:
    """The FastAPI example under uvicorn on a free port, until the block ends."""
    command = [sys.executable, "-m", "uvicorn", "fastapi_app:app", "--app-dir", str(EXAMPLES)]
    command += ["--ws", "wsext.integrations.uvicorn:Protocol", "--port", "0", *args]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENV) as process:
        assert process.stderr is not None
        log = []
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"running on (https?://\S+)", line):
                break
        else:
            pytest.fail("uvicorn did not start: " + "".join(log))
        try:
            yield Served(process, found[1])
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@pytest.fixture(scope="module", params=["uvloop httptools", "asyncio h11"])
def server(request: pytest.FixtureRequest) -> Iterator[Served]:
    loop, http = request.param.split()
    with uvicorn_serving("--loop", loop, "--http", http) as served:
        yield served


async def test_fastapi_and_the_websockets_client(server: Served) -> None:
    async with foreign_connect(f"{server.ws}/echo") as client:
        assert [item.name for item in client.protocol.extensions] == ["permessage-deflate"]
        for message in (WORDS, b"\x00" * 100_000, "", "ünï"):
            await client.send(message)
            assert await client.recv() == message
    assert client.protocol.close_code == 1000
    with pytest.raises(InvalidStatus) as caught:
        await foreign_connect(f"{server.ws}/private")
    assert caught.value.response.status_code == 401
    assert caught.value.response.body == b'{"error":"log in first"}'


async def test_fastapi_and_a_wsext_client_with_zstd(server: Served) -> None:
    offers = ["permessage-zstd", "permessage-deflate"]
    async with wsext.connect(f"{server.ws}/echo", extensions=offers) as session:
        assert [agreed.name for agreed in session.extensions] == ["permessage-zstd"]
        for message in (WORDS, b"\x00" * 100_000, "", "ünï"):
            await session.send(message)
            assert await session.receive() == message
        assert session.stats.wire_bytes_in < session.stats.app_bytes_in / 20
    async with wsext.connect(f"{server.ws}/agreed", extensions=offers) as session:
        assert await session.receive_json() == [
            {"name": "permessage-zstd", "params": {"max_window_bits": "17"}}
        ]


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_fastapi_over_tls_and_its_end(loop: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    pem = str(tmp_path / "server.pem")
    with uvicorn_serving("--loop", loop, "--ssl-keyfile", pem, "--ssl-certfile", pem) as served:
        client = await foreign_connect(f"{served.ws}/echo", ssl=context)
        for message in (WORDS, b"\x00" * 300_000):
            await client.send(message)
            assert await client.recv() == message
        served.process.send_signal(signal.SIGTERM)
        with pytest.raises(ForeignClosed):
            await client.recv()
        assert client.protocol.close_code == 1012


@pytest.mark.browser
@pytest.mark.slow
def test_fastapi_and_a_browser(server: Served, tmp_path: Path) -> None:
    with browsing(tmp_path) as browser:
        browser.get(server.http)
        until(browser, lambda b: "extensions: permessage-deflate" in text_of(b, "#log"))
        browser.find_element("id", "text").send_keys("hello there\n")
        until(browser, lambda b: text_of(b, "#log").endswith("hello there"))
        browser.set_script_timeout(20)
        said = browser.execute_async_script(_TALK, f"{server.ws}/echo", WORDS)
        assert said[0].split(";")[0] == "permessage-deflate"
        assert said[1] is True


@pytest.mark.browser
@pytest.mark.slow
async def test_our_deflate_in_a_websockets_server_and_a_browser(tmp_path: Path) -> None:
    sizes = []

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            sizes.append(len(message))
            await connection.send(message)

    def page(connection: ServerConnection, request: Any) -> Any:
        """Something to open a WebSocket from: a browser does not from nowhere."""
        return None if "Upgrade" in request.headers else connection.respond(200, "a page")

    def talk(place: str) -> Any:
        with browsing(tmp_path) as browser:
            browser.get(f"http://{place}")
            browser.set_script_timeout(20)
            return browser.execute_async_script(_TALK, f"ws://{place}", WORDS)

    async with foreign_serve(
        echo,
        "127.0.0.1",
        0,
        extensions=server_extensions(["permessage-deflate"]),
        compression=None,
        process_request=page,
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        said = await asyncio.to_thread(talk, f"127.0.0.1:{port}/")
    assert said[0].split(";")[0] == "permessage-deflate"
    assert said[1] is True
    assert sizes == [len(WORDS)]
