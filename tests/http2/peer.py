"""A client that speaks HTTP/2 through the h2 library, and does what no well-behaved one does."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Encoder

from tests.raw import masked
from wsext import Frame
from wsext.protocol.wire import FrameParser

E = TypeVar("E", bound=events.Event)

VERSION = [("sec-websocket-version", "13")]


class H2Peer:
    """A connection to a server.

    Attributes:
        acknowledges: Whether data that comes is acknowledged, so that the server may send more.
        seen: Every event that nobody has waited for yet.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, settings: dict[Any, int]
    ) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = Settings(client=True, initial_values=settings)
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.acknowledges = True
        self.seen: list[events.Event] = []
        self._parsers: dict[int, FrameParser] = {}
        self._frames: dict[int, list[Frame]] = {}

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def read(self) -> None:
        """Read once; ``EOFError`` at the end of the connection."""
        data = await self.reader.read(1 << 16)
        if not data:
            raise EOFError
        for event in self.h2.receive_data(data):
            size = getattr(event, "flow_controlled_length", None)
            if size and self.acknowledges:
                self.h2.acknowledge_received_data(size, event.stream_id)
            self.seen.append(event)
        self.flush()

    async def wait(self, kind: type[E], stream: int | None = None) -> E:
        """The next event of a kind, on a stream if one is given."""
        while True:
            for event in self.seen:
                if isinstance(event, kind) and stream in (None, getattr(event, "stream_id", None)):
                    self.seen.remove(event)
                    return event
            await self.read()

    # --- requests -----------------------------------------------------------------------------

    def request(
        self,
        path: str = "/",
        headers: Iterable[tuple[str, str]] = VERSION,
        *,
        method: str = "CONNECT",
        protocol: str | None = "websocket",
        end: bool = False,
    ) -> int:
        """Send a request; the stream's number."""
        number = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", "localhost")]
        if protocol is not None:
            fields.append((":protocol", protocol))
        self.h2.send_headers(number, [*fields, (":path", path), *headers], end_stream=end)
        self.flush()
        return number

    async def response(self, stream: int) -> tuple[int, dict[str, str]]:
        """The status and headers of a stream's response."""
        event = await self.wait(events.ResponseReceived, stream)
        headers = dict(event.headers)
        return int(headers.pop(":status")), headers

    async def fetch(self, *args: Any, **how: Any) -> tuple[int, dict[str, str], bytes]:
        """Send a request; the status, headers and body of the answer."""
        stream = self.request(*args, **how)
        status, headers = await self.response(stream)
        await self.wait(events.StreamEnded, stream)
        data = [e for e in self.seen if isinstance(e, events.DataReceived)]
        return status, headers, b"".join(e.data for e in data if e.stream_id == stream)

    # --- WebSocket ----------------------------------------------------------------------------

    async def open(self, path: str = "/", headers: Iterable[tuple[str, str]] = VERSION) -> int:
        """Open a session; the stream's number."""
        stream = self.request(path, headers)
        status, _ = await self.response(stream)
        assert status == 200
        return stream

    def send(self, stream: int, opcode: int, payload: bytes = b"", end: bool = False) -> None:
        """Send a whole message, which the windows have to have room for."""
        self.send_bytes(stream, masked(opcode, payload), end)

    def send_bytes(self, stream: int, data: bytes, end: bool = False) -> None:
        for at in range(0, len(data), 16384):
            self.h2.send_data(stream, data[at : at + 16384])
        if end:
            self.h2.end_stream(stream)
        self.flush()

    async def frame(self, stream: int) -> Frame:
        """The next frame of a session."""
        frames = self._frames.setdefault(stream, [])
        parser = self._parsers.setdefault(
            stream, FrameParser(masked=False, max_size=1 << 26, rsv_first=0x70, rsv_rest=0x70)
        )
        while not frames:
            event = await self.wait(events.DataReceived, stream)
            parser.feed(event.data, frames)
        return frames.pop(0)

    async def goaway(self) -> int:
        """The error code with which the server ends the connection."""
        return int((await self.wait(events.ConnectionTerminated)).error_code)

    async def closed(self) -> None:
        """Wait for the end of the connection."""
        try:
            while await self.reader.read(1 << 16):
                pass
        except ConnectionError:
            pass


@asynccontextmanager
async def h2_peer(port: int, **settings: int) -> AsyncIterator[H2Peer]:
    """Connect to a port of this machine with prior knowledge; settings by lower-case name."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that not reading shows soon
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    codes = {SettingCodes[name.upper()]: value for name, value in settings.items()}
    peer = H2Peer(reader, writer, codes)
    try:
        peer.h2.initiate_connection()
        peer.flush()
        await peer.wait(events.RemoteSettingsChanged)
        yield peer
    finally:
        writer.transport.abort()


def random_frames(rng: random.Random, headers: list[tuple[str, str]]) -> bytes:
    """Some frames, most of them wrong, and now and then a wrong byte."""
    block = Encoder().encode(headers)
    data = bytearray()
    for _ in range(rng.randrange(1, 30)):
        kind = rng.choice([0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99])
        payload = rng.randbytes(rng.choice([0, 4, 5, 6, 8, rng.randrange(200)]))
        if rng.random() < 0.7 and kind in (0, 1, 9):
            payload = block if kind else masked(rng.choice([1, 2, 8, 9]), b"\x03\xe8")
        flags = rng.choice([0, 1, 4, 5, 8, 0x25, rng.randrange(256)])
        stream = rng.choice([0, 1, 1, 3, 3, 5, 2, rng.randrange(1 << 31)])
        data += len(payload).to_bytes(3, "big") + bytes([kind, flags])
        data += stream.to_bytes(4, "big") + payload
    if rng.random() < 0.5:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
