"""The server over HTTP/2: handshakes, statuses, ordinary requests, sessions, drain."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from h2 import events
from h2.errors import ErrorCodes

import wsext
from tests.http2.peer import VERSION, H2Peer, h2_peer
from tests.raw import fetch, masked, raw_peer
from wsext import App, Listener, Request, Response, Server, ServerOptions, Session, WebSocketOptions
from wsext.http2 import PREFACE

DEFLATE = [*VERSION, ("sec-websocket-extensions", "permessage-deflate")]


async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def build_app(**server: Any) -> App:
    options = WebSocketOptions(close_timeout=0.5)
    app = App(options=options, server=ServerOptions(**server))
    app.install("permessage-deflate")
    app.websocket("/")(echo)
    app.websocket("/chat", subprotocols=["v2", "v1"])(echo)
    app.websocket("/mine", options={"origins": ("https://mine.example",)})(echo)
    app.http("/page")(
        lambda request: Response(body="page", headers={"Connection": "x", "X-A": "b"})
    )

    @app.http("/form", methods=["POST"])
    def form(request: Request) -> dict[str, str]:
        return dict(request.form)

    def guard(request: Request) -> Response | None:
        return Response(401, "who are you?", {"WWW-Authenticate": "Basic"})

    app.websocket("/guarded", guards=[guard])(echo)

    @app.websocket("/version")
    async def version(session: Session) -> None:
        request = session.request
        await session.send(f"{request.http_version} {request.method} {request.host} {request.path}")

    @app.websocket("/shout")
    class Shout(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(message.upper())

    @app.websocket_raw("/raw")
    async def raw(session: Session) -> None:
        frame = await session.receive_frame()
        await session.send_frame(frame)

    return app


@pytest.fixture
async def server(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    async with wsext.serve(build_app()) as server:
        yield server
    assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]


@pytest.fixture
async def peer(server: Server) -> AsyncIterator[H2Peer]:
    async with h2_peer(server.port) as peer:
        yield peer


async def works(peer: H2Peer) -> None:
    stream = await peer.open()
    peer.send(stream, 1, b"still here")
    assert (await peer.frame(stream)).payload == b"still here"
    peer.send(stream, 8, b"\x03\xe8")
    await peer.wait(events.StreamEnded, stream)


async def test_a_session_is_a_stream(peer: H2Peer) -> None:
    assert peer.h2.remote_settings.enable_connect_protocol == 1
    stream = peer.request()
    status, headers = await peer.response(stream)
    assert (status, headers) == (200, {})
    peer.send(stream, 1, "grüße".encode())
    assert (await peer.frame(stream)).payload == "grüße".encode()
    peer.send(stream, 9, b"ping")
    frame = await peer.frame(stream)
    assert (frame.opcode, frame.payload) == (10, b"ping")
    peer.send(stream, 8, b"\x0f\xa1bye")
    frame = await peer.frame(stream)
    assert (frame.opcode, frame.payload) == (8, b"\x0f\xa1bye")
    await peer.wait(events.StreamEnded, stream)


async def test_what_is_agreed_is_in_the_response(peer: H2Peer) -> None:
    offers = [*DEFLATE, ("sec-websocket-protocol", "v1"), ("sec-websocket-protocol", "v2")]
    stream = peer.request("/chat", offers)
    status, headers = await peer.response(stream)
    assert status == 200
    assert headers["sec-websocket-protocol"] == "v2"
    assert headers["sec-websocket-extensions"] == "permessage-deflate"
    assert "sec-websocket-accept" not in headers


async def test_many_sessions_and_requests_share_a_connection(peer: H2Peer) -> None:
    streams = [await peer.open("/chat") for _ in range(20)]
    for number, stream in enumerate(streams):
        peer.send(stream, 2, b"%d" % number)
    assert (await peer.fetch("/page", (), method="GET", protocol=None, end=True))[2] == b"page"
    for number, stream in enumerate(streams):
        assert (await peer.frame(stream)).payload == b"%d" % number


async def test_handlers_see_the_version_and_the_authority(peer: H2Peer) -> None:
    stream = await peer.open("/version?x=1")
    assert (await peer.frame(stream)).payload == b"2 CONNECT localhost /version"


async def test_listeners_and_raw_routes(peer: H2Peer) -> None:
    stream = await peer.open("/shout")
    peer.send(stream, 1, b"hello")
    assert (await peer.frame(stream)).payload == b"HELLO"
    stream = await peer.open("/raw")
    peer.send_bytes(stream, masked(2, b"half", fin=False))
    frame = await peer.frame(stream)
    assert (frame.payload, frame.fin) == (b"half", False)
    await peer.wait(events.StreamEnded, stream)


@pytest.mark.parametrize(
    ("path", "headers", "how", "status", "header"),
    [
        ("/none", VERSION, {}, 404, None),
        ("/page", VERSION, {}, 404, None),
        ("/", (), {}, 400, None),
        ("/", [("sec-websocket-version", "8")], {}, 426, ("sec-websocket-version", "13")),
        ("/", VERSION, {"protocol": "connect-udp"}, 501, None),
        ("/", VERSION, {"method": "GET", "protocol": None}, 405, ("allow", "CONNECT")),
        ("/page", (), {"method": "POST", "protocol": None}, 405, ("allow", "GET, HEAD")),
        ("/chat", [*VERSION, ("sec-websocket-protocol", "v9")], {}, 400, None),
        ("/mine", [*VERSION, ("origin", "https://evil.example")], {}, 403, None),
        ("/guarded", VERSION, {}, 401, ("www-authenticate", "Basic")),
        ("/", [*VERSION, ("x", "y" * 20_000)], {}, 431, None),
        ("/", [*VERSION, *[("x", "y")] * 120], {}, 431, None),
        ("/?" + "y" * 17_000, VERSION, {}, 431, None),
        ("nowhere", VERSION, {}, 400, None),
        ("/\x1b[2J", VERSION, {}, 400, None),
        ("/", VERSION, {"method": "GE\x07T", "protocol": None}, 400, None),
    ],
)
async def test_a_refusal_has_status_headers_and_body_and_ends_only_its_stream(
    peer: H2Peer, path: str, headers: Any, how: Any, status: int, header: tuple[str, str] | None
) -> None:
    got, answered, body = await peer.fetch(path, headers, **how)
    assert got == status
    assert 0 < len(body) < 200
    assert answered["content-length"] == str(len(body))
    assert "connection" not in answered
    if header is not None:
        assert answered[header[0]] == header[1]
    await works(peer)


async def test_ordinary_requests(peer: H2Peer) -> None:
    how: Any = {"method": "GET", "protocol": None, "end": True}
    status, headers, body = await peer.fetch("/page", (), **how)
    assert (status, body, headers["x-a"]) == (200, b"page", "b")
    status, headers, body = await peer.fetch("/page", (), **{**how, "method": "HEAD"})
    assert (status, body, headers["content-length"]) == (200, b"", "4")


FORM = [("content-type", "application/x-www-form-urlencoded")]


async def test_a_form(peer: H2Peer) -> None:
    how: Any = {"method": "POST", "protocol": None}
    stream = peer.request("/form", FORM, **how)
    peer.send_bytes(stream, b"user=")
    peer.send_bytes(stream, b"Ada", end=True)
    assert (await peer.response(stream))[0] == 200
    data = await peer.wait(events.DataReceived, stream)
    assert data.data == b'{"user":"Ada"}'
    for headers in ([("content-length", "70000")], [("origin", "http://elsewhere")]):
        status, _, _ = await peer.fetch("/form", [*FORM, *headers], **how)
        assert status in (413, 403)
    stream = peer.request("/form", [*FORM, ("expect", "100-continue")], **how)
    informed = await peer.wait(events.InformationalResponseReceived, stream)
    assert dict(informed.headers) == {":status": "100"}
    peer.send_bytes(stream, b"x" * 65536)
    peer.send_bytes(stream, b"x")  # one more than there may be
    assert (await peer.response(stream))[0] == 413
    await works(peer)


async def test_a_request_whose_body_never_ends_is_answered_and_reset(peer: H2Peer) -> None:
    stream = peer.request("/page", (), method="POST", protocol=None)
    peer.send_bytes(stream, b"x" * 1000)
    assert (await peer.response(stream))[0] == 405
    await peer.wait(events.StreamEnded, stream)
    reset = await peer.wait(events.StreamReset, stream)
    assert reset.error_code == ErrorCodes.NO_ERROR


async def test_a_broken_rule_fails_only_its_session(peer: H2Peer) -> None:
    other = await peer.open()
    stream = await peer.open()
    peer.send_bytes(stream, b"\x81\x05hello")  # not masked
    frame = await peer.frame(stream)
    assert (frame.opcode, frame.payload[:2]) == (8, b"\x03\xea")
    await peer.wait(events.StreamEnded, stream)
    peer.send(other, 1, b"still here")
    assert (await peer.frame(other)).payload == b"still here"


async def test_streams_that_end_without_a_close_frame(server: Server, peer: H2Peer) -> None:
    for end in ("end_stream", "reset_stream"):
        stream = await peer.open()
        (session,) = server.sessions
        getattr(peer.h2, end)(stream)
        peer.flush()
        info = await session.wait_closed()
        assert (info.code, info.clean) == (1006, False)
        await server.wait_idle(5)
        assert not server.sessions


async def test_an_aborted_session_is_a_reset_stream(server: Server, peer: H2Peer) -> None:
    stream = await peer.open()
    (session,) = server.sessions
    session.abort()
    assert (await peer.wait(events.StreamReset, stream)).error_code == ErrorCodes.CANCEL
    await works(peer)


async def test_frames_may_come_before_the_answer(server: Server, peer: H2Peer) -> None:
    stream = peer.request()
    peer.send(stream, 1, b"early")
    assert (await peer.response(stream))[0] == 200
    assert (await peer.frame(stream)).payload == b"early"
    peer.send(stream, 8, b"\x03\xe8", end=True)
    assert (await peer.frame(stream)).opcode == 8
    await peer.wait(events.StreamEnded, stream)


async def test_a_codec_that_compresses(peer: H2Peer, server: Server) -> None:
    stream = await peer.open("/", DEFLATE)
    peer.send(stream, 1, b"abc " * 200)
    frame = await peer.frame(stream)
    assert frame.rsv
    assert len(frame.payload) < 100
    (session,) = server.sessions
    assert session.extension("permessage-deflate")


async def test_the_preface_may_come_byte_by_byte(server: Server) -> None:
    async with raw_peer(server.port) as peer:
        for at in range(len(PREFACE)):
            peer.send(PREFACE[at : at + 1])
            await peer.writer.drain()
        peer.send(bytes.fromhex("000000040000000000"))  # empty SETTINGS
        assert (await peer.reader.readexactly(9))[3] == 4  # SETTINGS


@pytest.mark.parametrize(
    "data", [b"PRI * HTTP/2.0\r\n\r\nXX", b"PRI / HTTP/1.1\r\nHost: x\r\n\r\n"]
)
async def test_what_only_looks_like_the_preface_is_http_1(server: Server, data: bytes) -> None:
    assert (await fetch(server.port, data))[0] in (400, 405, 404)


async def test_http2_can_be_turned_off() -> None:
    async with wsext.serve(build_app(http2=False)) as server:
        assert not server.http2
        assert (await fetch(server.port, PREFACE))[0] == 400


async def test_the_access_log_has_the_version(
    peer: H2Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "wsext.access")
    await works(peer)
    line, *_ = [r.getMessage() for r in caplog.records if r.name == "wsext.access"]
    assert line.endswith("CONNECT / HTTP/2 -> 200")


# --- the end ----------------------------------------------------------------------------------


async def test_a_drain_says_goaway_and_1001_and_takes_no_more(caplog: Any) -> None:
    async with wsext.serve(build_app()) as server, h2_peer(server.port) as peer:
        stream = await peer.open()
        idle = h2_peer(server.port)
        async with idle as other:
            closing = asyncio.create_task(server.close(5))
            assert await other.goaway() == ErrorCodes.NO_ERROR
            await other.closed()
        # The h2 library forgets all streams at a GOAWAY, so this peer reads the bytes.
        data = await peer.reader.readuntil(b"\x88\x19\x03\xe9server is shutting down")
        assert data[3] == 7  # GOAWAY
        assert int.from_bytes(data[9:13], "big") == stream
        too_late = peer.h2.get_next_available_stream_id()
        peer.request()
        peer.send(stream, 8, b"\x03\xe9", end=True)
        rest = await peer.reader.read()
        refused = bytes.fromhex("0000040300") + too_late.to_bytes(4, "big") + b"\0\0\0\x07"
        assert refused in rest  # REFUSED_STREAM
        await closing
        assert not server.sessions
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_a_connection_of_sessions_does_not_hold_up_a_restart() -> None:
    async with wsext.serve(build_app()) as server:
        async with wsext.connect(server.url, http2=True) as session, asyncio.timeout(1.5):
            retiring = asyncio.create_task(server.retire())
            assert (await session.wait_closed()).code == 1012
        await retiring


async def test_an_idle_connection_is_closed() -> None:
    app = build_app(http2_idle_timeout=0.05)
    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        stream = await peer.open()
        peer.send(stream, 8, b"\x03\xe8", end=True)
        await peer.wait(events.StreamEnded, stream)
        assert await peer.goaway() == ErrorCodes.NO_ERROR
        await peer.closed()


async def test_a_connection_without_a_request_is_closed() -> None:
    app = build_app(handshake_timeout=0.1)
    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        await peer.closed()


async def test_a_stream_whose_handshake_takes_too_long_is_reset() -> None:
    app = build_app(handshake_timeout=0.1)

    async def guard(request: Request) -> None:
        await asyncio.Event().wait()

    app.websocket("/slow", guards=[guard])(echo)
    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        stream = peer.request("/slow")
        assert (await peer.wait(events.StreamReset, stream)).error_code == ErrorCodes.CANCEL
        await works(peer)


async def test_a_handler_s_header_that_cannot_be_sent_is_a_500(caplog: Any) -> None:
    app = build_app()
    app.http("/bad")(lambda request: Response(headers={"x": "a\r\nb: c"}))
    how: Any = {"method": "GET", "protocol": None, "end": True}
    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        assert (await peer.fetch("/bad", (), **how))[0] == 500
        await works(peer)
        assert (await fetch(server.port, b"GET /bad HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 500
    assert len([r for r in caplog.records if "cannot be sent" in r.getMessage()]) == 2


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("000003000000000001616263", ErrorCodes.PROTOCOL_ERROR),  # DATA on no stream
        ("ffffff000000000001", ErrorCodes.FRAME_SIZE_ERROR),  # a frame of 16 MiB begins
        ("000002080000000000ffff", ErrorCodes.FRAME_SIZE_ERROR),  # a short WINDOW_UPDATE
        ("00000401050000000180808080", ErrorCodes.COMPRESSION_ERROR),  # no HPACK (RFC 9113 §4.3)
        ("0000050900000000010102030405", ErrorCodes.PROTOCOL_ERROR),  # CONTINUATION of nothing
        ("000004030000000000ffffffff", ErrorCodes.PROTOCOL_ERROR),  # RST_STREAM of no stream
        ("000006040100000000006300000000", ErrorCodes.FRAME_SIZE_ERROR),  # more than SETTINGS ACK
        ("0000080700000000010000000000000000", ErrorCodes.PROTOCOL_ERROR),  # GOAWAY of a stream
    ],
)
async def test_a_broken_frame_ends_the_connection_with_its_code(
    server: Server, data: str, code: ErrorCodes
) -> None:
    async with h2_peer(server.port) as peer:
        peer.writer.write(bytes.fromhex(data))
        assert await peer.goaway() == code
        assert not [e for e in peer.seen if isinstance(e, events.ConnectionTerminated)]
        assert await peer.reader.read() == b""  # one GOAWAY is enough
    async with h2_peer(server.port) as peer:
        await works(peer)
