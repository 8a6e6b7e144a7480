"""What leaves: in one write, in turns, within the windows, and the end of a stream last."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame, WindowUpdateFrame

from tests.http2.test_connection import CONNECT
from tests.waiting import until
from wsext.http2 import PREFACE
from wsext.http2.connection import HTTP2Connection
from wsext.http2.frames import Limits
from wsext.http2.stream import StreamTransport


class Socket(asyncio.Transport):
    """Keeps what is written, a list of frames for each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[list[tuple[int, int, int, int]]] = []

    def write(self, data: Any) -> None:
        frames = []
        while data:
            size = int.from_bytes(data[:3], "big")
            frames.append((data[3], data[4], int.from_bytes(data[5:9], "big"), size))
            data = data[9 + size :]
        self.writes.append(frames)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Serving:
    """A server's end of a connection with some streams that were answered."""

    def __init__(self) -> None:
        self.socket = Socket()
        loop = asyncio.get_running_loop()
        self.connection = HTTP2Connection(Limits(), loop, client_side=False)
        self.streams: list[StreamTransport] = []

    async def begin(self, streams: int, settings: dict[int, int] | None = None) -> None:
        """Open the streams; what that has written is forgotten."""
        self.connection.start(self.socket, PREFACE + SettingsFrame(0, settings).serialize())
        encoder = Encoder()
        for number in range(1, 2 * streams, 2):
            head = HeadersFrame(number, encoder.encode(CONNECT), flags=["END_HEADERS"])
            await self.receive(head.serialize())
            stream = self.connection.open_stream(number, asyncio.Protocol())
            self.connection.send_headers(stream, [(":status", "200")])
            self.streams.append(stream)
        await until(lambda: self._answered() == streams)
        self.socket.writes = []

    def _answered(self) -> int:
        return sum(frame[0] == 1 for write in self.socket.writes for frame in write)

    async def receive(self, data: bytes) -> None:
        """Have the connection handle some bytes, now or in a later turn."""
        self.connection.data_received(data)
        await until(lambda: not self.connection.is_queued)

    async def written(self) -> list[list[tuple[int, int, int, int]]]:
        """What was written since this was asked last: type, flags, stream and size of frames."""
        await until(lambda: bool(self.socket.writes))
        writes, self.socket.writes = self.socket.writes, []
        return writes


async def test_what_streams_write_leaves_in_one_write() -> None:
    serving = Serving()
    await serving.begin(3)
    for stream in serving.streams:
        stream.write(b"x" * 10)
    assert await serving.written() == [[(0, 0, 1, 10), (0, 0, 3, 10), (0, 0, 5, 10)]]


async def test_streams_take_turns() -> None:
    serving = Serving()
    await serving.begin(2)
    for stream in serving.streams:
        stream.write(b"x" * 20_000)
    assert await serving.written() == [
        [(0, 0, 1, 16384), (0, 0, 3, 16384), (0, 0, 1, 3616), (0, 0, 3, 3616)]
    ]


@pytest.mark.parametrize("number", [0, 1])
async def test_no_more_leaves_than_the_windows_take(number: int) -> None:
    serving = Serving()
    await serving.begin(1, {4: 1000} if number else {4: 1 << 20})
    room = 1000 if number else 65535
    serving.streams[0].write(b"x" * 70_000)
    sent = [frame for write in await serving.written() for frame in write]
    assert sum(size for *_, size in sent) == room
    await serving.receive(WindowUpdateFrame(number, window_increment=7).serialize())
    assert await serving.written() == [[(0, 0, 1, 7)]]


async def test_the_end_comes_after_all_data_and_needs_no_window() -> None:
    serving = Serving()
    await serving.begin(1, {4: 10})
    serving.streams[0].write(b"x" * 10)
    serving.streams[0].write_eof()
    assert await serving.written() == [[(0, 0, 1, 10), (0, 1, 1, 0)]]
