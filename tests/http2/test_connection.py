"""Flow control in both directions, floods, and what a peer can make the server keep."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from h2 import events
from h2.errors import ErrorCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

import wsext
from tests.http2.peer import H2Peer, h2_peer, random_frames
from tests.raw import masked, raw_peer
from tests.waiting import at_rest, until
from wsext import App, Server, ServerOptions, Session, WebSocketOptions
from wsext.http2 import PREFACE

WINDOW = 65535
INBOX = 100_000


def short_of_memory() -> socket.socket:
    """A listening socket whose connections buffer little, so that not reading shows soon."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
    sock.bind(("127.0.0.1", 0))
    return sock


CONNECT = [
    *((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http")),
    *((":authority", "x"), (":path", "/"), ("sec-websocket-version", "13")),
]


REQUEST = HeadersFrame(1, data=Encoder().encode(CONNECT), flags=["END_HEADERS"])


class Held:
    """Handlers that read or write only when they are let."""

    def __init__(self) -> None:
        self.read = asyncio.Event()
        self.session: Session | None = None
        self.sent = 0


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
async def server(held: Held, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Server]:
    options = WebSocketOptions(
        incoming_bytes=INBOX, outgoing_bytes=65536, close_timeout=0.5, max_message_size=1 << 22
    )
    app = App(options=options, server=ServerOptions(http2_window=WINDOW, http2_streams=10))
    app.install("permessage-deflate")

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    @app.websocket("/late")
    async def late(session: Session) -> None:
        await held.read.wait()
        size = 0
        async for message in session:
            size += len(message)
            if message == b"end":
                await session.send(str(size))

    @app.websocket("/pour")
    async def pour(session: Session) -> None:
        held.session = session
        while True:
            await session.send(bytes(1000))
            held.sent += 1000

    async with wsext.serve(app, sock=short_of_memory()) as server:
        yield server
        async with wsext.connect(server.url, http2=True) as session:
            await session.send("a normal session")
            assert await session.receive() == "a normal session"
    assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]


async def echoes(peer: H2Peer, stream: int) -> None:
    peer.send(stream, 1, b"and this one goes on")
    assert (await peer.frame(stream)).payload == b"and this one goes on"


# --- flow control -----------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"initial_window_size": 1000}, {"max_frame_size": 65536}])
@pytest.mark.parametrize("deflate", [False, True])
async def test_large_messages_come_back_whole_on_many_streams(
    server: Server, settings: dict[str, int], deflate: bool
) -> None:
    """The peer sends as its windows allow; all streams together, messages of all sizes."""
    rng = random.Random(8441)
    largest = 20_000 if "initial_window_size" in settings else 200_000
    offer = [("sec-websocket-extensions", "permessage-deflate")] if deflate else []
    async with h2_peer(server.port, **settings) as peer:
        texts: dict[int, list[bytes]] = {}
        to_send: dict[int, bytes] = {}
        for _ in range(4):
            stream = await peer.open("/", [("sec-websocket-version", "13"), *offer])
            sizes = [0, 1, 125, 126, largest, *(rng.randrange(largest) for _ in range(3))]
            rng.shuffle(sizes)
            texts[stream] = [bytes(rng.randbytes(size // 4) * 4) for size in sizes]
            to_send[stream] = b"".join(masked(2, text) for text in texts[stream])
        while to_send:
            sent = 0
            for stream, data in list(to_send.items()):
                room = min(peer.h2.local_flow_control_window(stream), rng.randrange(1, 16384))
                peer.h2.send_data(stream, data[:room])
                to_send[stream] = data[room:]
                sent += room
                if not to_send[stream]:
                    del to_send[stream]
            peer.flush()
            if not sent:
                await peer.read()
        for stream, expected in texts.items():
            inflate = zlib.decompressobj(-15)
            for text in expected:
                frame = await peer.frame(stream)
                data = bytes(frame.payload)
                if frame.rsv:
                    data = inflate.decompress(data + b"\0\0\xff\xff")
                assert data == text
                assert frame.rsv or not deflate or len(text) < 1000


@pytest.mark.parametrize("deflate", [False, True])
async def test_both_sides_pour_at_once(server: Server, deflate: bool) -> None:
    extensions = ["permessage-deflate"] if deflate else []
    options = WebSocketOptions(max_message_size=1 << 22)
    opening = wsext.connect(server.url, http2=True, extensions=extensions, options=options)
    rng = random.Random(1)
    messages = [rng.randbytes(rng.choice([10, 10_000, 1_000_000])) for _ in range(30)]
    async with opening as session:

        async def send() -> None:
            for message in messages:
                await session.send(message)

        sending = asyncio.create_task(send())
        for message in messages:
            assert await session.receive() == message
        await sending


async def fill(peer: H2Peer, stream: int, message: bytes) -> int:
    """Send messages until no window is left; how many bytes went out."""
    data, total = masked(2, message), 0
    pending = b""
    while True:
        pending = pending or data
        room = min(peer.h2.local_flow_control_window(stream), len(pending), 16384)
        if room:
            peer.h2.send_data(stream, pending[:room])
            peer.flush()
            pending, total = pending[room:], total + room
            continue
        reading = asyncio.create_task(peer.read())
        for _ in range(60):  # turns of the loop that both sides run on, however slow it is
            await asyncio.sleep(0.005)
            if reading.done():
                break
        else:
            reading.cancel()
            await asyncio.wait([reading])
            return total
        await reading


async def test_who_does_not_read_makes_the_peer_wait_and_nobody_else(
    server: Server, held: Held
) -> None:
    async with h2_peer(server.port) as peer:
        other, stream = await peer.open(), await peer.open("/late")
        total = await fill(peer, stream, bytes(1000))
        assert total <= INBOX + WINDOW + 20_000
        for _ in range(20):
            await echoes(peer, other)
        assert peer.h2.local_flow_control_window(stream) == 0
        held.read.set()
        while peer.h2.local_flow_control_window(stream) == 0:  # until the window opens
            await peer.read()


async def test_everything_held_back_is_delivered(server: Server, held: Held) -> None:
    options = WebSocketOptions(close_timeout=5)
    async with wsext.connect(server.url + "/late", http2=True, options=options) as session:

        async def send() -> None:
            for _ in range(1000):
                await session.send(bytes(1000))
            await session.send(b"end")

        sending = asyncio.create_task(send())
        await until(lambda: session.buffered_amount >= 65536)
        assert not sending.done()
        held.read.set()
        assert await session.receive() == "1000003"


async def test_a_peer_that_opens_no_window_holds_up_only_its_session(
    server: Server, held: Held
) -> None:
    async with h2_peer(server.port) as peer:
        peer.acknowledges = False
        stream = await peer.open("/pour")
        got = 0
        while got < 65535:  # the window of the connection, too
            got += len((await peer.wait(events.DataReceived, stream)).data or b"")
        session = held.session
        assert session is not None
        await until(lambda: session.buffered_amount > 65536)
        sent = await at_rest(lambda: held.sent)
        assert sent <= 65535 + 65536 + 2000
        peer.h2.increment_flow_control_window(10_000)  # the connection's, and not the stream's
        other = await peer.open()
        await echoes(peer, other)
        peer.h2.increment_flow_control_window(100_000)
        peer.h2.increment_flow_control_window(100_000, stream)
        peer.flush()
        while held.sent == sent:
            await peer.read()


async def test_a_peer_that_reads_nothing_at_all_makes_nothing_grow(
    server: Server, held: Held
) -> None:
    async with h2_peer(server.port, initial_window_size=1 << 30) as peer:
        peer.h2.increment_flow_control_window(1 << 30)
        stream = await peer.open("/pour")
        peer.writer.transport.pause_reading()
        session = held.session
        assert session is not None
        await at_rest(lambda: held.sent)  # the system's buffers are full
        assert session.buffered_amount < 65536 * 4
        peer.h2.reset_stream(stream)
        peer.flush()
        assert (await session.wait_closed()).code == 1006


# --- floods -----------------------------------------------------------------------------------


def _resets(peer: H2Peer) -> None:
    for _ in range(200):
        peer.h2.reset_stream(peer.request(), ErrorCodes.CANCEL)


def _overflows(peer: H2Peer) -> None:
    """The peer makes the server reset its streams (CVE-2025-8671)."""
    for _ in range(200):
        number = peer.request()
        update = WindowUpdateFrame(number, window_increment=(1 << 31) - 1)
        peer.writer.write(update.serialize())
        peer.h2.reset_stream(number)
        peer.h2.clear_outbound_data_buffer()


def _refusals(peer: H2Peer) -> None:
    peer.h2.remote_settings[3] = 1000
    peer.h2.remote_settings.acknowledge()
    for _ in range(115):
        peer.request()


def _frames(*frames: Any) -> Any:
    def flood(peer: H2Peer) -> None:
        data = b"".join(frame.serialize() for frame in frames)
        peer.writer.write(data * 2000)

    return flood


def _on_a_stream_that_the_peer_has_reset(*frames: Any) -> Any:
    def flood(peer: H2Peer) -> None:
        peer.h2.reset_stream(1)
        peer.flush()
        _frames(*frames)(peer)

    return flood


def _headers_without_end(peer: H2Peer) -> None:
    peer.writer.write(HeadersFrame(1, data=b"").serialize())
    peer.writer.write(ContinuationFrame(1, data=b"x" * 16000).serialize() * 60)


@pytest.mark.parametrize(
    "flood",
    [
        _resets,
        _overflows,
        _refusals,
        _headers_without_end,
        _on_a_stream_that_the_peer_has_reset(DataFrame(1, data=b"x")),
        _on_a_stream_that_the_peer_has_reset(REQUEST),
        _on_a_stream_that_the_peer_has_reset(WindowUpdateFrame(1, window_increment=1)),
        _frames(DataFrame(1, data=b"", pad_length=3, flags=["PADDED"])),
        _frames(GoAwayFrame(0)),
        lambda peer: peer.writer.write(bytes.fromhex("000001 63 00 00000000 78") * 2000),
        _frames(PingFrame(0, opaque_data=b"12345678")),
        _frames(SettingsFrame(0, settings={4: 70000})),
        _frames(PriorityFrame(1, depends_on=3)),
        _frames(DataFrame(1)),
        _frames(WindowUpdateFrame(0, window_increment=1)),
        _frames(WindowUpdateFrame(1, window_increment=1)),
    ],
    ids=["resets", "overflows", "refusals", "headers", *("frames" + str(n) for n in range(12))],
)
async def test_a_flood_is_told_to_calm_down(server: Server, flood: Any) -> None:
    async with h2_peer(server.port) as peer:
        await peer.open()
        flood(peer)
        peer.flush()
        # An aborted transport may take the GOAWAY with it, if the peer has not read for long.
        assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM
        await peer.closed()
    await server.wait_idle(5)
    assert not server.sessions


async def test_others_have_their_turn_while_much_of_one_connection_waits(server: Server) -> None:
    async with h2_peer(server.port) as busy, h2_peer(server.port) as other:
        stream, echoing = await busy.open(), await other.open()
        pong = b"".join(DataFrame(stream, data=bytes([byte])).serialize() for byte in masked(10))
        busy.writer.write(pong * 6000)
        busy.h2.ping(b"the last")
        busy.flush()
        answered = asyncio.create_task(busy.wait(events.PingAckReceived))
        turns = 0
        while not answered.done():
            await echoes(other, echoing)
            turns += 1
        assert turns >= 5


async def test_data_on_its_way_to_a_stream_that_was_reset_harms_no_other(server: Server) -> None:
    async with h2_peer(server.port) as peer:
        streams = [await peer.open() for _ in range(10)]
        peer.h2.remote_settings[3] = 1000
        peer.h2.remote_settings.acknowledge()
        for _ in range(60):  # more than the window of the connection: it is given back
            refused = peer.request()
            for _ in range(3):
                peer.h2.send_data(refused, bytes(10_000))
            peer.flush()
            await peer.wait(events.StreamReset, refused)
        await echoes(peer, streams[0])


async def test_a_peer_that_pings_slowly_and_never_reads_is_dropped() -> None:
    app = App(server=ServerOptions(http2_control_rate=1e9))
    ping = PingFrame(0, opaque_data=b"12345678").serialize() * 1000
    sock = short_of_memory()
    async with wsext.serve(app, sock=sock) as server, h2_peer(server.port) as peer:
        peer.writer.transport.pause_reading()

        async def pour() -> None:
            while True:
                peer.writer.write(ping)
                await peer.writer.drain()
                await asyncio.sleep(0)

        with pytest.raises(ConnectionError):
            await pour()


@pytest.mark.parametrize(
    "breach",
    [
        bytes(100_000),  # DATA on stream 0
        HeadersFrame(1, data=Encoder().encode(CONNECT)).serialize()
        + ContinuationFrame(1).serialize() * 2000,
        REQUEST.serialize() + RstStreamFrame(1).serialize() * 2000,
        b"\xff" * 100_000,
    ],
    ids=["data", "continuations", "resets", "a frame of 16 MiB"],
)
async def test_a_connection_that_has_failed_keeps_nothing(server: Server, breach: bytes) -> None:
    """It stays for two seconds, so that the peer reads the GOAWAY, and holds nothing meanwhile."""
    here = [tracemalloc.Filter(True, f"*/{name}/*") for name in ("wsext/http2", "h2", "hyperframe")]
    gc.collect()
    gc.disable()  # nor should it take a collection to free it
    tracemalloc.start()
    try:
        async with AsyncExitStack() as stack:
            for _ in range(4):
                peer = await stack.enter_async_context(raw_peer(server.port))
                peer.send(PREFACE + SettingsFrame(0).serialize() + breach)
                await asyncio.wait_for(peer.reader.read(), 10)  # to its end
            assert len(server.connections) == 4
            held = tracemalloc.take_snapshot().filter_traces(here).statistics("filename")
    finally:
        tracemalloc.stop()
        gc.enable()
    assert sum(one.size for one in held) < 4 * 4096, held


async def test_a_header_bomb_ends_the_connection(server: Server) -> None:
    async with h2_peer(server.port) as peer:
        peer.request("/", [("x", "y" * 3000)])  # goes into the table, and then 60 times out of it
        peer.h2.encoder.header_table_size = 4096
        peer.request("/", [("x", "y" * 3000)] * 60)
        assert await peer.goaway() == ErrorCodes.ENHANCE_YOUR_CALM


async def test_a_stream_too_many_is_refused_and_the_rest_go_on(server: Server) -> None:
    async with h2_peer(server.port) as peer:
        assert peer.h2.remote_settings.max_concurrent_streams == 10
        streams = [await peer.open() for _ in range(10)]
        peer.h2.remote_settings[3] = 1000  # the peer forgets what it was told
        peer.h2.remote_settings.acknowledge()
        reset = await peer.wait(events.StreamReset, peer.request())
        assert reset.error_code == ErrorCodes.REFUSED_STREAM
        for stream in streams:
            await echoes(peer, stream)


async def test_the_limit_of_connections_counts_sessions() -> None:
    app = App(server=ServerOptions(max_connections=3))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with wsext.serve(app) as server, h2_peer(server.port) as peer:
        one, _two = await peer.open(), await peer.open()  # and the connection itself
        refused = peer.request(end=True)
        status, headers = await peer.response(refused)
        assert status == 503
        assert "retry-after" in headers
        await peer.wait(events.StreamEnded, refused)
        peer.send(one, 8, b"\x03\xe8", end=True)
        await peer.wait(events.StreamEnded, one)
        await until(lambda: len(server.sessions) == 1)
        await peer.open()


async def test_streams_that_come_and_go_leave_nothing(server: Server) -> None:
    async with h2_peer(server.port) as peer:
        for _ in range(100):
            stream = await peer.open()
            peer.send(stream, 8, b"\x03\xe8", end=True)
            await peer.wait(events.StreamEnded, stream)
        await server.wait_idle(5)
        await peer.open()
        (session,) = server.sessions
        assert len(server.connections) == 2  # the connection itself, and its stream
        carrier = session.request.get_extra_info("carrier")
        assert len(carrier.streams) == 1
        assert not carrier.blocked


async def test_random_frames_never_raise(server: Server) -> None:
    for seed in range(200):
        async with raw_peer(server.port) as peer:
            peer.send(PREFACE + SettingsFrame(0).serialize())
            peer.send(random_frames(random.Random(seed), CONNECT))
            peer.writer.write_eof()
            await peer.reader.read()  # whatever it is, it has an end
