"""The client over HTTP/2: what it offers, what it takes, how it ends."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import pytest
import trustme
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame

import wsext
from tests.http2.peer import random_frames
from wsext import (
    App,
    ClientLimits,
    InvalidHandshake,
    InvalidStatus,
    ServerOptions,
    Session,
)
from wsext.protocol.wire import frame_header
from wsext.runtime.backoff import Backoff

#: The name of a pseudo-header that only the request has, as HPACK writes it.
CONNECT = Encoder().encode([(":protocol", "websocket")])[1:8]


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def build_app(**server: Any) -> App:
    app = App(server=ServerOptions(**server))
    app.install("permessage-deflate")
    app.websocket("/", subprotocols=["v1"])(echo)
    return app


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.mark.parametrize(
    ("tls", "choice", "version"),
    [
        (False, True, "2"),
        (False, "auto", "1.1"),
        (False, False, "1.1"),
        (True, True, "2"),
        (True, "auto", "2"),
        (True, False, "1.1"),
    ],
)
async def test_which_version_is_spoken(
    tls: bool, choice: Any, version: str, server_side: Any, client_side: Any
) -> None:
    async with wsext.serve(build_app(), ssl=server_side if tls else None) as server:
        async with wsext.connect(
            server.url,
            http2=choice,
            ssl=client_side,
            extensions=["permessage-deflate"],
            subprotocols=["v1"],
        ) as session:
            (other,) = server.sessions
            assert session.request.http_version == other.request.http_version == version
            assert session.subprotocol == "v1"
            assert session.extension("permessage-deflate")
            assert other.request.secure is tls
            await session.send("hello " * 10_000)
            assert await session.receive() == "hello " * 10_000
            await session.flush()
            assert session.buffered_amount == 0
            assert await session.ping() >= 0  # uvloop counts milliseconds
        assert session.close_info.clean


async def test_a_server_without_http2(server_side: Any, client_side: Any) -> None:
    async with wsext.serve(build_app(http2=False), ssl=server_side) as server:
        async with wsext.connect(server.url, http2="auto", ssl=client_side) as session:
            assert session.request.http_version == "1.1"
        with pytest.raises((InvalidHandshake, OSError)):
            await wsext.connect(server.url, http2=True, ssl=client_side)
    async with wsext.serve(build_app(http2=False)) as server:
        with pytest.raises(InvalidHandshake):
            await wsext.connect(server.url, http2=True)


async def test_a_context_that_offers_what_was_not_asked_for(
    server_side: Any, client_side: Any
) -> None:
    client_side.set_alpn_protocols(["h2"])
    async with wsext.serve(build_app(), ssl=server_side) as server:
        with pytest.raises(InvalidHandshake, match="offers h2"):
            await wsext.connect(server.url, ssl=client_side)


def test_another_choice_is_an_error() -> None:
    with pytest.raises(ValueError, match="'auto', not 'yes'"):
        wsext.connect("ws://127.0.0.1", http2="yes")  # type: ignore[arg-type]


@pytest.fixture
def no_h2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsext.http2.find_spec", lambda name: None)


@pytest.mark.usefixtures("no_h2")
async def test_without_the_package_everything_is_http_1(server_side: Any, client_side: Any) -> None:
    with pytest.raises(ValueError, match=r"pip install 'wsext\[http2\]'"):
        wsext.connect("ws://127.0.0.1", http2=True)
    async with (
        wsext.serve(build_app(), ssl=server_side) as server,
        wsext.connect(server.url, http2="auto", ssl=client_side) as session,
    ):
        assert not server.http2
        assert session.request.http_version == "1.1"


async def test_a_refusal_has_its_status_headers_and_body() -> None:
    async with wsext.serve(build_app()) as server:
        with pytest.raises(InvalidStatus, match="nothing here") as caught:
            await wsext.connect(server.url + "/none", http2=True)
        assert caught.value.status == 404
        assert caught.value.headers["content-length"] == "13"


async def test_reconnecting(server_side: Any, client_side: Any) -> None:
    app = App()

    @app.websocket("/")
    async def greet(session: Session) -> None:
        await session.send(session.request.http_version)
        await session.flush()
        session.abort()

    seen = []
    backoff = Backoff(0.001)
    async with wsext.serve(app) as server:
        async for session in wsext.connect(server.url, http2=True, backoff=backoff):
            seen += [message async for message in session]
            if len(seen) == 3:
                break
    assert seen == ["2", "2", "2"]


# --- foreign servers --------------------------------------------------------------------------

Answer = Callable[[H2Connection, events.Event, asyncio.StreamWriter], None]


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


@asynccontextmanager
async def foreign_server(serve: Serve) -> AsyncIterator[str]:
    """A server of connections that a coroutine serves; its URL."""
    serving: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ProtocolError):
            await serve(reader, writer)
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(run(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*serving)


def h2_server(answer: Answer, connect: int = 1) -> AbstractAsyncContextManager[str]:
    """A server that answers events as it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = connect
        h2.local_settings.acknowledge()
        h2.initiate_connection()
        writer.write(h2.data_to_send())
        while data := await reader.read(1 << 16):
            for event in h2.receive_data(data):
                answer(h2, event, writer)
            writer.write(h2.data_to_send())

    return foreign_server(serve)


async def test_a_server_without_extended_connect_is_refused() -> None:
    asked: list[Any] = []

    def answer(h2: H2Connection, event: events.Event, writer: Any) -> None:
        if isinstance(event, events.RequestReceived):
            asked.append(event)

    async with h2_server(answer, connect=0) as url:
        with pytest.raises(InvalidHandshake, match="no WebSocket over HTTP/2"):
            await wsext.connect(url, http2=True)
    assert asked == []


async def test_a_server_that_allows_no_stream_is_asked_once_it_does(caplog: Any) -> None:
    """RFC 9113 §5.1.2: the limit may be 0 for a while."""

    def settings(streams: int) -> bytes:
        frame = SettingsFrame(0, settings={SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
        frame.settings[SettingCodes.MAX_CONCURRENT_STREAMS] = streams
        return frame.serialize()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(settings(0) + PingFrame(0, opaque_data=b"asked?  ").serialize())
        assert b"asked?  " in await reader.readuntil(b"asked?  ")  # and nothing was asked before
        writer.write(settings(1))
        block = Encoder().encode([(":status", "200")])
        await reader.readuntil(CONNECT)
        writer.write(HeadersFrame(1, data=block, flags=["END_HEADERS"]).serialize())
        await reader.read()

    async with foreign_server(serve) as url:
        (await wsext.connect(url, http2=True)).abort()
    assert not [record for record in caplog.records if record.exc_info]


async def test_what_the_client_sends() -> None:
    seen: dict[str, str] = {}

    def answer(h2: H2Connection, event: events.Event, writer: Any) -> None:
        if isinstance(event, events.RequestReceived):
            seen.update(event.headers or [])
            h2.send_headers(event.stream_id, [(":status", "200")])

    async with h2_server(answer) as url:
        session = await wsext.connect(
            f"{url}/a?b=c", http2=True, origin="https://x.example", headers={"X-Token": "t"}
        )
        session.abort()
    host = url.removeprefix("ws://")
    assert seen.pop("user-agent").startswith("wsext/")
    assert seen == {
        ":method": "CONNECT",
        ":protocol": "websocket",
        ":scheme": "http",
        ":authority": host,
        ":path": "/a?b=c",
        "sec-websocket-version": "13",
        "origin": "https://x.example",
        "x-token": "t",
    }


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("sec-websocket-protocol", "other")], "not offered"),
        ([("sec-websocket-protocol", "a"), ("sec-websocket-protocol", "b")], "more than one"),
        ([("sec-websocket-extensions", "x-unknown")], "x-unknown"),
    ],
)
async def test_an_answer_that_breaks_the_rules(headers: Any, message: str) -> None:
    def answer(h2: H2Connection, event: events.Event, writer: Any) -> None:
        if isinstance(event, events.RequestReceived):
            h2.send_headers(event.stream_id, [(":status", "200"), *headers])

    async with h2_server(answer) as url:
        with pytest.raises(wsext.HandshakeError, match=message):
            await wsext.connect(url, http2=True, subprotocols=["a", "b"])


async def test_a_stream_that_is_reset_instead_of_answered() -> None:
    def answer(h2: H2Connection, event: events.Event, writer: Any) -> None:
        if isinstance(event, events.RequestReceived):
            h2.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)

    async with h2_server(answer) as url:
        with pytest.raises(InvalidHandshake, match="ended before the server answered"):
            await wsext.connect(url, http2=True)


async def test_a_session_outlives_a_graceful_goaway() -> None:
    frames: asyncio.Queue[bytes] = asyncio.Queue()

    def answer(h2: H2Connection, event: events.Event, writer: asyncio.StreamWriter) -> None:
        if isinstance(event, events.RequestReceived):
            h2.send_headers(event.stream_id, [(":status", "200")])
            writer.write(h2.data_to_send())
            writer.write(GoAwayFrame(0, last_stream_id=event.stream_id or 0).serialize())
            hello = frame_header(1, 5, True, 0, False) + b"hello"
            h2.send_data(event.stream_id, hello)
        elif isinstance(event, events.DataReceived):
            frames.put_nowait(event.data or b"")

    async with h2_server(answer) as url:
        session = await wsext.connect(url, http2=True)
        assert await session.receive() == "hello"
        await session.send("back")
        assert await frames.get()
        assert session.is_open
        session.abort()


async def test_a_flood_from_the_server_ends_the_session() -> None:
    def answer(h2: H2Connection, event: events.Event, writer: asyncio.StreamWriter) -> None:
        if isinstance(event, events.RequestReceived):
            h2.send_headers(event.stream_id, [(":status", "200")])
        elif isinstance(event, events.DataReceived):
            for _ in range(2000):
                h2.ping(b"12345678")

    async with h2_server(answer) as url:
        session = await wsext.connect(url, http2=True)
        await session.send("now")
        info = await session.wait_closed()
        assert info.code == 1006


async def test_the_body_of_a_refusal_is_bounded() -> None:
    def answer(h2: H2Connection, event: events.Event, writer: asyncio.StreamWriter) -> None:
        if isinstance(event, events.RequestReceived):
            h2.send_headers(event.stream_id, [(":status", "403")])
            for _ in range(5):
                h2.send_data(event.stream_id, bytes(16000))  # and its end never comes

    async with h2_server(answer) as url:
        with pytest.raises(InvalidStatus) as caught:
            await wsext.connect(url, http2=True, limits=ClientLimits(max_body_size=50_000))
    assert caught.value.status == 403
    assert len(caught.value.body) == 50_000


@pytest.mark.parametrize(
    ("early", "headers", "error"),
    [
        (0, [("a", "b" * 3000)], InvalidHandshake),
        (0, [(f"a{number}", "b") for number in range(30)], InvalidHandshake),
        (30, [], InvalidHandshake),
        (3, [("a", "b")], None),
    ],
)
async def test_the_answers_head_is_bounded(early: int, headers: Any, error: Any) -> None:
    def answer(h2: H2Connection, event: events.Event, writer: asyncio.StreamWriter) -> None:
        if isinstance(event, events.RequestReceived):
            for _ in range(early):
                h2.send_headers(event.stream_id, [(":status", "103"), ("link", "</x>")])
            h2.send_headers(event.stream_id, [(":status", "200"), *headers])

    limits = ClientLimits(max_header_size=2000, max_header_count=20)
    async with h2_server(answer) as url:
        opening = wsext.connect(url, http2=True, limits=limits)
        if error is None:
            (await opening).abort()
        else:
            with pytest.raises(error, match="headers"):
                await opening


async def test_the_answer_of_http_1_1_is_none() -> None:
    def answer(h2: H2Connection, event: events.Event, writer: asyncio.StreamWriter) -> None:
        if isinstance(event, events.RequestReceived):
            h2.send_headers(event.stream_id, [(":status", "101"), ("a", "b")])

    async with h2_server(answer) as url, asyncio.timeout(5):
        with pytest.raises(InvalidHandshake, match=r"101, which HTTP/2 does not have"):
            await wsext.connect(url, http2=True)


@pytest.mark.parametrize("status", ["9" * 5000, "", "20", "2000", "-20", "abc"])
async def test_a_status_that_is_none_is_a_refusal(status: str, caplog: Any) -> None:
    def answer(h2: H2Connection, event: events.Event, writer: asyncio.StreamWriter) -> None:
        if isinstance(event, events.RequestReceived):
            h2.send_headers(event.stream_id, [(":status", status)], end_stream=True)

    async with h2_server(answer) as url:
        with pytest.raises((InvalidStatus, InvalidHandshake)):
            await wsext.connect(url, http2=True)
    assert not [record for record in caplog.records if record.exc_info]


async def test_random_frames_never_raise_anything_unplanned(caplog: Any) -> None:
    seeds = iter(range(1000))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SettingsFrame(0, settings={8: 1}).serialize())
        while CONNECT not in await reader.read(1 << 16):
            pass
        seed = next(seeds)
        if seed % 2:  # it begins well
            writer.write(HeadersFrame(1, data=b"\x88", flags=["END_HEADERS"]).serialize())
            await reader.read(1 << 16)
        writer.write(random_frames(random.Random(seed), [(":status", "200")]))
        writer.write_eof()
        while await reader.read(1 << 16):
            pass

    opened = 0
    async with foreign_server(serve) as url:
        for _ in range(100):
            with suppress(wsext.HandshakeError, OSError):
                session = await wsext.connect(url, http2=True)
                opened += 1
                await session.send("now")
                await session.wait_closed()
    assert opened
    assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]
