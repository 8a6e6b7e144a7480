"""What a server does is the same in its own process and in a worker's."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

import wsext
from tests.e2e.processes import Served, serving
from tests.http2.peer import VERSION, h2_peer
from tests.raw import REQUEST, fetch, raw_peer
from tests.server.apps import admitted, via

ROOT = str(Path(__file__).parent.parent.parent)
APP = ("tests.server.features:app", "--app-dir", ROOT)

HOSTS = pytest.mark.parametrize(
    "host",
    [
        "alone",
        pytest.param(
            "worker",
            marks=pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no workers there"),
        ),
    ],
    scope="module",
)
WORKERS: dict[str, tuple[str, ...]] = {"alone": (), "worker": ("--workers", "1")}


@pytest.fixture(scope="module")
def served(host: str) -> Iterator[Served]:
    """The features on TCP."""
    with serving(*APP, "--health", *WORKERS[host]) as served:
        yield served


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(host: str, authority: trustme.CA, tmp_path_factory: Any) -> Iterator[Served]:
    """The features on TLS."""
    both = tmp_path_factory.mktemp("tls") / "both.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(both)
    with serving(*APP, "--ssl-cert", str(both), *WORKERS[host]) as served:
        yield served


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def get(served: Served, path: str) -> tuple[int, bytes]:
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    status, _, body = await fetch(served.port, request)
    return status, body


@asynccontextmanager
async def open_until_refused(url: str, **how: Any) -> AsyncIterator[tuple[int, Any]]:
    """As many sessions as there is a place for; their number, and the refusal of one more."""
    sessions: list[wsext.Session] = []
    try:
        while True:
            try:
                sessions.append(await wsext.connect(url, **how))
            except wsext.InvalidStatus as error:
                yield len(sessions), error
                return
    finally:
        for session in sessions:
            await session.close()


@HOSTS
async def test_messages_and_extensions(served: Served) -> None:
    async with wsext.connect(served.ws, extensions=["permessage-deflate"]) as session:
        assert session.extension("permessage-deflate")
        await session.send("hello " * 1000)
        assert await session.receive() == "hello " * 1000


@HOSTS
@pytest.mark.parametrize("http2", [True, False])
async def test_tls_speaks_both_versions_of_http(
    secure: Served, trusting: ssl.SSLContext, http2: bool
) -> None:
    version = "2" if http2 else "1.1"
    async with wsext.connect(f"{secure.ws}/who", ssl=trusting, http2=http2) as session:
        assert await session.receive() == f"{version} True 127.0.0.1"


@HOSTS
async def test_http2_without_tls(served: Served) -> None:
    async with h2_peer(served.port) as peer:
        assert (await peer.response(peer.request()))[0] == 200
        wrong = [*VERSION, ("sec-websocket-extensions", ";;;")]
        assert (await peer.fetch("/", wrong))[0] == 400


@HOSTS
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (REQUEST.format(path="/", more="Sec-WebSocket-Extensions: ;;;\r\n").encode(), 400),
        (REQUEST.format(path="/", more="Origin: http://evil.example\r\n").encode(), 403),
        (REQUEST.format(path="/none", more="").encode(), 404),
        (REQUEST.format(path="/", more="X: y\r\n" * 30).encode(), 431),
    ],
)
async def test_handshakes_are_refused(served: Served, request_: bytes, status: int) -> None:
    assert (await fetch(served.port, request_))[0] == status


@HOSTS
async def test_the_backplane_runs_before_there_is_a_room(served: Served) -> None:
    status, body = await get(served, "/backplane")
    state = json.loads(body)
    assert (status, state["started"], state["connected"]) == (200, True, True)


@HOSTS
async def test_health(served: Served) -> None:
    assert await get(served, "/readyz") == (200, b'{"status":"ready"}')


@HOSTS
async def test_there_is_a_limit_of_connections(served: Served) -> None:
    async with open_until_refused(served.ws) as (count, error):
        assert 10 <= count <= 20
        assert (error.status, error.headers["Retry-After"]) == (503, "5")
    await (await admitted(served.ws)).close()


@HOSTS
async def test_there_is_a_limit_of_connections_per_address(served: Served) -> None:
    mine = via("203.0.113.7")
    async with open_until_refused(served.ws, headers=mine) as (count, error):
        assert (count, error.status) == (2, 429)
        async with wsext.connect(f"{served.ws}/who", headers=via("203.0.113.8")) as other:
            assert await other.receive() == "1.1 False 203.0.113.8"
    await (await admitted(served.ws, headers=mine)).close()


@HOSTS
async def test_a_handshake_has_a_time_limit(served: Served) -> None:
    async with raw_peer(served.port) as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost")
        assert await slow.reader.read() == b""


@HOSTS
async def test_sessions_that_cannot_begin_keep_no_place(served: Served) -> None:
    for _ in range(25):  # more than there are places
        session = await admitted(f"{served.ws}/broken")
        assert (await session.wait_closed()).code == 1011


@HOSTS
async def test_a_signal_drains_a_unix_socket_and_the_access_log_tells(
    host: str, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    options = ("--uds", str(path), "--access-log", "json", *WORKERS[host])
    with serving(*APP, *options, access_log=None, stderr=subprocess.PIPE) as served:
        url = f"ws+unix:{path}:/"
        async with wsext.connect(url) as session, wsext.connect(url, headers=via("198.51.100.1")):
            await session.send("hello")
            assert await session.receive() == "hello"
            served.process.send_signal(signal.SIGTERM)
            assert (await session.wait_closed()).remote == (1001, "server is shutting down")
        assert served.process.stderr is not None
        lines = await asyncio.to_thread(served.process.stderr.read)
        assert await asyncio.to_thread(served.process.wait, 10) == 0
    log = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    told = {(item["event"], item["remote"], item.get("code")) for item in log}
    assert told == {
        ("request", "unix", None),
        ("request", "198.51.100.1", None),
        ("session", "unix", 1001),
        ("session", "198.51.100.1", 1001),
    }
    assert not path.exists()
