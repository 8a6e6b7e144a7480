"""Frames: of WebSocket, and of HTTP/2."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.fuzz.source import LIMIT, Source
from wsext import App, Frame, RemoteProtocolError, ServerOptions, Session
from wsext.http2 import PREFACE
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Message
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.wire import FrameParser, frame_header
from wsext.testing import Conditions, World, simulate

__all__ = ["http2", "wire"]

_WIRE_CODES = {CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG}


def _parse(chunks: list[bytes], in_place: bool, **options: Any) -> tuple[list[Frame], int | None]:
    parser, frames = FrameParser(max_size=LIMIT, **options), []
    try:
        for chunk in chunks:
            while in_place and chunk and (room := parser.room()) is not None:
                size = min(len(room), len(chunk))
                room[:size] = chunk[:size]
                parser.advance(size)
                parser.feed(b"", frames)
                chunk = chunk[size:]
            parser.feed(chunk, frames)
    except RemoteProtocolError as error:
        assert error.code in _WIRE_CODES
        return frames, error.code
    return frames, None


def _back_to_bytes(frames: list[Frame]) -> bytes:
    return b"".join(
        frame_header(frame.opcode, len(frame.payload), frame.fin, frame.rsv, False)
        + bytes(frame.payload)
        for frame in frames
    )


def wire(data: bytes) -> None:
    """Frames: cutting changes nothing, limits hold, what was parsed is written and parsed alike;
    and a connection takes the same bytes without an exception."""
    source = Source(data)
    choice = source.byte()
    bits = {"rsv_first": 0x70, "rsv_rest": 0x40, "rsv_control": 0x10} if choice & 1 else {}
    options: dict[str, Any] = {"masked": bool(choice & 2), **bits}
    if choice & 4:
        options["opcodes"] = frozenset({3, 11})
    chunks = list(source.cuts())
    whole = b"".join(chunks)
    outcome = _parse([whole], False, **options)
    assert _parse(chunks, bool(choice & 8), **options) == outcome
    frames, _ = outcome
    assert all(len(frame.payload) <= LIMIT for frame in frames)
    options["masked"] = False
    assert _parse([_back_to_bytes(frames)], False, **options) == (frames, None)
    _connection(chunks, "server" if choice & 2 else "client", raw=bool(choice & 16))


def _connection(chunks: list[bytes], role: str, raw: bool) -> None:
    connection = Connection(role, Pipeline(max_message_size=LIMIT), max_message_size=LIMIT, raw=raw)
    for chunk in chunks:
        for event in connection.receive_data(chunk):
            if isinstance(event, Message):
                assert event.size <= LIMIT
                assert len(event.data) <= LIMIT
        assert connection.held_bytes <= LIMIT
    sent = b"".join(bytes(part) for part in connection.data_to_send())
    answers, error = _parse([sent], False, masked=role == "client")
    assert error is None, "what a connection answers is well-formed"
    failed = connection.failure is not None
    assert failed == (connection.state.name == "FAILED")
    if failed:
        assert answers[-1].opcode == 8, "a fault is answered with a Close frame"


# --- HTTP/2 -----------------------------------------------------------------------------------

#: A request for a session on stream 1, as its fields without compression.
_REQUEST = b"".join(
    b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    for name, value in (
        *((b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http")),
        *((b":authority", b"x"), (b":path", b"/"), (b"sec-websocket-version", b"13")),
    )
)
_START = (
    PREFACE
    + bytes.fromhex("000000 04 00 00000000")
    + len(_REQUEST).to_bytes(3, "big")
    + bytes.fromhex("01 04 00000001")
    + _REQUEST
)


_APP = App(server=ServerOptions(http2_streams=3, http2_window=65535, handshake_timeout=5.0))


@_APP.websocket("/")
async def _echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


def _frames_of(data: bytes) -> bytes:
    """Frames whose lengths fit, so that what is inside of them is met: a byte each for the type,
    the flags, the stream and the length."""
    out = bytearray()
    while len(data) >= 4:
        kind, flags, stream, size = data[0] % 12, data[1], data[2] % 12, data[3] % 64
        payload, data = data[4 : 4 + size], data[4 + size :]
        if kind == 1 and flags & 0x80:
            payload = _REQUEST
        out += len(payload).to_bytes(3, "big") + bytes([kind, flags])
        out += stream.to_bytes(4, "big") + payload
    return bytes(out)


def http2(data: bytes) -> None:
    """Frames of HTTP/2 to a server: nothing raises, nothing is left over, and another connection is
    served meanwhile and afterwards."""
    source = Source(data)
    choice = source.byte()
    chunks = list(source.cuts())
    sent = b"".join(chunks)
    if choice & 1:
        chunks = [_frames_of(sent)]
    start = PREFACE if choice & 2 else _START

    async def scenario(world: World) -> None:
        server = await world.serve(_APP)
        async with (
            world.connect(server, "/", http2=bool(choice & 4)) as session,
            world.raw_peer(server, shake=False) as peer,
        ):
            peer.send(start)
            for chunk in chunks:
                peer.send(chunk)
                await asyncio.sleep(0)
            await session.send("still there?")
            assert await session.receive() == "still there?"
        await asyncio.sleep(10)
        assert not server.sessions
        assert not world.errors

    simulate(scenario, weather=Conditions())
