"""DATA and windows, which are handled without h2: what is taken, and that the rules hold."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from h2 import events
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, HeadersFrame, WindowUpdateFrame

import wsext
from tests.http2.peer import VERSION, H2Peer, h2_peer
from tests.raw import masked
from wsext import App, Server, ServerOptions, Session
from wsext.http2.data import Data, data_frame, sort_frames

WINDOW = 65535  # the smallest
X = b"x"


def update(more: int, stream: int = 1) -> bytes:
    return bytes.fromhex("00000408") + b"\0" + stream.to_bytes(4, "big") + more.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("frames", "data", "more", "rest"),
    [
        (b"", [], None, b""),
        (data_frame(1, X), [Data(1, X, 1)], None, b""),
        (
            data_frame(3, b"yy") + data_frame(1, X),
            [Data(3, b"yy", 2), Data(1, X, 1)],
            None,
            b"",
        ),
        (data_frame(5, X), [], None, data_frame(5, X)),
        (data_frame(1, b""), [], None, data_frame(1, b"")),
        (data_frame(1, b"\2x\0\0", 8), [Data(1, X, 4)], None, b""),
        (data_frame(1, b"\0", 8), [Data(1, b"", 1)], None, b""),
        (data_frame(1, b"\4x\0\0", 8), [], None, data_frame(1, b"\4x\0\0", 8)),
        (data_frame(1, X, 1), [Data(1, X, 1)], None, data_frame(1, b"", 1)),
        (data_frame(1, b"\1x\0", 9), [Data(1, X, 3)], None, data_frame(1, b"", 1)),
        (data_frame(1, X) + update(7), [Data(1, X, 1)], (1, 7), b""),
        (update(9, 0), [], (0, 9), b""),
        (update(0), [], None, update(0)),
        (data_frame(1, X) + b"PING", [Data(1, X, 1)], None, b"PING"),
    ],
    ids=[
        "nothing",
        "one",
        "two",
        "no tunnel",
        "empty",
        "padded",
        "only padding",
        "too much padding",
        "the end",
        "padded, the end",
        "and a window",
        "a window",
        "no window",
        "and others",
    ],
)
def test_data_and_windows_are_taken_out_of_frames(
    frames: bytes, data: list[Data], more: tuple[int, int] | None, rest: bytes
) -> None:
    assert sort_frames(frames, {1, 3}.__contains__) == (data, more, rest)


# --- against a server -------------------------------------------------------------------------


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    app = App(server=ServerOptions(http2_window=WINDOW))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    @app.websocket("/late", options={"incoming_bytes": 1000})
    async def late(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server:
        yield server


@pytest.fixture
async def peer(server: Server) -> AsyncIterator[H2Peer]:
    async with h2_peer(server.port) as peer:
        yield peer


async def echoes(peer: H2Peer, stream: int) -> None:
    peer.send(stream, 1, b"still here")
    assert (await peer.frame(stream)).payload == b"still here"


async def test_padding_is_given_back_with_the_data(peer: H2Peer) -> None:
    stream = await peer.open()
    for _ in range(2 * WINDOW // 256):
        peer.h2.send_data(stream, masked(1, b"x"), pad_length=255)  # raises without a window
        peer.flush()
        assert (await peer.frame(stream)).payload == b"x"


async def test_who_sends_more_than_its_window_breaks_the_rules(peer: H2Peer) -> None:
    stream = await peer.open("/late")
    for _ in range(5):
        peer.writer.write(DataFrame(stream, masked(2, bytes(16000))).serialize())
    assert await peer.goaway() == ErrorCodes.FLOW_CONTROL_ERROR


async def test_a_stream_s_window_that_is_too_large_resets_the_stream(peer: H2Peer) -> None:
    first, second = await peer.open(), await peer.open()
    peer.writer.write(WindowUpdateFrame(first, window_increment=(1 << 31) - 1).serialize())
    reset = await peer.wait(events.StreamReset, first)
    assert reset.error_code == ErrorCodes.FLOW_CONTROL_ERROR
    await echoes(peer, second)


async def test_a_connection_s_window_that_is_too_large_ends_it(peer: H2Peer) -> None:
    await peer.open()
    peer.writer.write(WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize())
    assert await peer.goaway() == ErrorCodes.FLOW_CONTROL_ERROR


async def test_settings_that_make_a_window_too_large_end_the_connection(peer: H2Peer) -> None:
    stream = await peer.open()
    peer.writer.write(WindowUpdateFrame(stream, window_increment=1 << 30).serialize())
    peer.writer.write(bytes.fromhex("000006040000000000" + "00047fffffff"))
    assert await peer.goaway() == ErrorCodes.FLOW_CONTROL_ERROR


async def test_a_window_for_a_stream_that_never_was_ends_the_connection(peer: H2Peer) -> None:
    peer.writer.write(WindowUpdateFrame(9, window_increment=1).serialize())
    assert await peer.goaway() == ErrorCodes.PROTOCOL_ERROR


async def test_nothing_may_stand_within_a_header_block(peer: H2Peer) -> None:
    """RFC 9113 §6.10; also not what h2 does not see."""
    stream = await peer.open()
    peer.writer.write(HeadersFrame(stream + 2, b"\x82").serialize())
    peer.writer.write(DataFrame(stream, masked(1, b"x")).serialize())
    assert await peer.goaway() == ErrorCodes.PROTOCOL_ERROR


async def test_windows_follow_the_settings_while_a_stream_is_open(server: Server) -> None:
    async with h2_peer(server.port, initial_window_size=0) as peer:
        stream = await peer.open()
        peer.send(stream, 1, b"x" * 100)
        peer.h2.ping(bytes(8))
        peer.flush()
        await peer.wait(events.PingAckReceived)
        assert not any(isinstance(event, events.DataReceived) for event in peer.seen)
        for size in (10, 5, 200):
            peer.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: size})
            peer.flush()
            await peer.wait(events.SettingsAcknowledged)
        assert (await peer.frame(stream)).payload == b"x" * 100


async def test_a_body_is_compared_with_its_length(peer: H2Peer) -> None:
    """What is no tunnel is h2's: it knows Content-Length."""
    stream = await peer.open()
    fields = [*VERSION, ("content-length", "5")]
    post = peer.request("/", fields, method="POST", protocol=None)
    peer.h2.send_data(post, b"12345", end_stream=True)
    peer.flush()
    status, _ = await peer.response(post)
    assert status >= 400
    await echoes(peer, stream)
    short = peer.request("/", fields, method="POST", protocol=None)
    peer.writer.write(DataFrame(short, b"1234", flags=["END_STREAM"]).serialize())
    assert await peer.goaway() == ErrorCodes.PROTOCOL_ERROR
