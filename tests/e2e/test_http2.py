"""HTTP/2 with other people's software: Chromium at our server, our client at hypercorn."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

import wsext
from tests.e2e.browser import browsing, find, until
from tests.e2e.chat_page import connected, entries, say
from tests.e2e.processes import serving

pytestmark = pytest.mark.slow


class Certificate:
    """One for this machine, in files, and the authority that made it."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        made = self._authority.issue_cert("localhost", "127.0.0.1")
        self.key, self.chain = folder / "key.pem", folder / "cert.pem"
        made.private_key_pem.write_to_path(self.key)
        for blob in made.cert_chain_pems:
            blob.write_to_path(self.chain, append=True)

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.browser
def test_chromium_chats_over_http2(certificate: Certificate, tmp_path: Path) -> None:
    netlog, log = tmp_path / "net.json", tmp_path / "server.log"
    tls = ("--ssl-cert", str(certificate.chain), "--ssl-key", str(certificate.key))
    flags = ("--ignore-certificate-errors", f"--log-net-log={netlog}")
    with log.open("w") as file, serving(*tls, access_log="text", stderr=file) as served:
        with browsing(tmp_path / "profile", *flags) as browser:
            browser.get(served.http)
            connected(browser)
            until(browser, lambda b: any("You are connected!" in e for e in entries(b)))
            say(browser, "hello over HTTP/2")
            until(browser, lambda b: any("hello over HTTP/2" in e for e in entries(b)))
            (extensions,) = find(browser, "#browser-extensions")
            assert "permessage-deflate" in extensions.get_attribute("textContent")
            severe = [item for item in browser.get_log("browser") if item["level"] == "SEVERE"]
            assert [item for item in severe if "favicon" not in item["message"]] == []
        # The server's word for it: the page and both of its WebSockets, all on one connection ...
        lines = [line.split("  ")[-1].split() for line in log.read_text().splitlines()]
        asked = [line for line in lines if line[-4:-3] and line[-3] == "HTTP/2"]
    targets = {(line[1], line[2].partition("?")[0], line[-1]) for line in asked}
    assert ("GET", "/", "200") in targets
    assert ("CONNECT", "/chat", "200") in targets
    assert len({line[0] for line in asked}) == 1
    assert not [line for line in lines if "HTTP/1.1" in line]
    # ... and the browser's.
    assert ":protocol: websocket" in netlog.read_text()
    assert json.loads(netlog.read_text())["constants"]


FOREIGN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await receive()
    if scope["path"] == "/refuse":
        start = {"type": "websocket.http.response.start", "status": 403}
        await send({**start, "headers": [(b"x-why", b"because")]})
        await send({"type": "websocket.http.response.body", "body": b"go away"})
        return
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    await send({"type": "websocket.send", "text": scope["http_version"]})
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "close":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
            return
        await send({"type": "websocket.send", "text": event["text"], "bytes": event["bytes"]})
"""


@pytest.fixture(scope="module")
def hypercorn(certificate: Certificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hypercorn")
    (folder / "foreign.py").write_text(FOREIGN)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        os.set_inheritable(sock.fileno(), True)
        command = [
            *(sys.executable, "-m", "hypercorn", "foreign:app", "--bind", f"fd://{sock.fileno()}"),
            *("--certfile", certificate.chain, "--keyfile", certificate.key),
            *("--websocket-ping-interval", "5", "--log-level", "critical"),
        ]
        process = subprocess.Popen(
            command, cwd=folder, pass_fds=[sock.fileno()], stderr=subprocess.DEVNULL
        )
        try:
            yield f"wss://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(15)


async def test_our_client_talks_to_hypercorn(hypercorn: str, certificate: Certificate) -> None:
    async with wsext.connect(
        hypercorn,
        http2=True,
        ssl=certificate.trusting(),
        extensions=["permessage-deflate"],
        subprotocols=["chat.v1"],
        open_timeout=30,
    ) as session:
        assert await session.receive() == "2" == session.request.http_version
        assert session.extension("permessage-deflate")
        assert session.subprotocol == "chat.v1"
        for message in ("hello", "x" * 300_000, os.urandom(1 << 20)):
            await session.send(message)
            assert await session.receive() == message
        assert 0 < await session.ping() < 10
        await session.send("close")
        with pytest.raises(wsext.ConnectionClosedError):
            await session.receive()
        assert session.close_info.remote == (4001, "as you wish")


async def test_a_refusal_by_hypercorn(hypercorn: str, certificate: Certificate) -> None:
    with pytest.raises(wsext.InvalidStatus) as caught:
        await wsext.connect(f"{hypercorn}/refuse", http2="auto", ssl=certificate.trusting())
    assert caught.value.status == 403
    assert caught.value.headers["x-why"] == "because"
    assert caught.value.body == b"go away"
