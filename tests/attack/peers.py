"""Connections that count what they send, over HTTP/1.1 and HTTP/2, with one interface."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from tests.raw import FramePeer, RawPeer
from wsext import Frame
from wsext.protocol.wire import FrameParser

__all__ = ["H2WebSocket", "Peer", "Spent", "counting", "dial", "reset"]


@dataclass
class Spent:
    """What an attacker spends."""

    bytes: int = 0
    connections: int = 0


class CountingWriter(asyncio.StreamWriter):
    """Counts what is written, and does not go on writing to a connection that is lost."""

    spent: Spent

    def write(self, data: Any) -> None:
        if self.transport.is_closing():
            raise ConnectionResetError("the connection is lost")
        self.spent.bytes += len(data)
        super().write(data)


def counting(transport: Any, reader: asyncio.StreamReader, spent: Spent) -> asyncio.StreamWriter:
    """A writer on a transport whose protocol is a stream's."""
    spent.connections += 1
    loop = asyncio.get_running_loop()
    writer = CountingWriter(transport, transport.get_protocol(), reader, loop)
    writer.spent = spent
    return writer


async def dial(
    address: tuple[str, int], context: ssl.SSLContext | None, spent: Spent, **how: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect, with TLS if there is a context; ``how`` is for ``create_connection``."""
    reader = asyncio.StreamReader(limit=1 << 18)
    loop = asyncio.get_running_loop()
    if context is not None:
        how.setdefault("server_hostname", "localhost")
    transport, _ = await loop.create_connection(
        lambda: asyncio.StreamReaderProtocol(reader), *address, ssl=context, **how
    )
    return reader, counting(transport, reader, spent)


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop a connection at once, with what its buffers hold, which then does not count as sent.

    A FIN would wait behind data that the server does not read, and the server cannot see it there.
    """
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if isinstance(writer, CountingWriter) and not writer.transport.is_closing():
        writer.spent.bytes -= writer.transport.get_write_buffer_size()
    writer.transport.abort()


class Peer(RawPeer):
    """A connection over HTTP/1.1, with TLS or without."""

    async def push(self, data: bytes) -> None:
        """Send, and wait until the system has taken most of it.

        Raises:
            ConnectionError: If the server has dropped the connection.
        """
        self.send(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # `drain` does not always let others run

    async def discard(self) -> None:
        """Read without looking, until the connection ends."""
        with suppress(OSError, ssl.SSLError):
            while await self.reader.read(1 << 18):
                pass

    def close(self) -> None:
        reset(self.writer)


class H2WebSocket(FramePeer):
    """A WebSocket that is the only stream of an HTTP/2 connection (RFC 8441)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.stream = 0
        self._changed = asyncio.Event()
        self._frames: list[Frame] = []
        self._parser = FrameParser(masked=False, max_size=1 << 26, rsv_first=0x70, rsv_rest=0x70)
        self._status: dict[str, str] | None = None
        self._keeps = True
        self._ended = False
        self._reading: asyncio.Task[None] | None = None

    async def shake(self, path: str = "/", more: str = "") -> str:
        """Open the stream; the answer's head as HTTP/1.1 would have it."""
        self.h2.initiate_connection()
        self._flush()
        self._reading = asyncio.create_task(self._read())
        await self._until(lambda: self.h2.remote_settings.enable_connect_protocol == 1)
        fields = [(":method", "CONNECT"), (":scheme", "http"), (":authority", "localhost")]
        fields += [(":protocol", "websocket"), (":path", path), ("sec-websocket-version", "13")]
        for line in more.split("\r\n"):
            name, colon, value = line.partition(": ")
            if colon:
                fields.append((name.lower(), value))
        self.stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(self.stream, fields)
        self._flush()
        await self._until(lambda: self._status is not None)
        assert self._status is not None
        status = self._status[":status"]
        first = "101 Switching Protocols" if status == "200" else status
        lines = [f"{name}: {value}" for name, value in self._status.items() if name[0] != ":"]
        return "\r\n".join([f"HTTP/1.1 {first}", *lines, "", ""])

    async def push(self, data: bytes) -> None:
        """Send as much at a time as the windows have room for.

        Raises:
            ConnectionError: If the stream or the connection has ended.
        """
        view = memoryview(data)
        while view:
            await self._until(lambda: self.h2.local_flow_control_window(self.stream) > 0)
            window = self.h2.local_flow_control_window(self.stream)
            size = min(window, self.h2.max_outbound_frame_size, len(view))
            try:
                self.h2.send_data(self.stream, bytes(view[:size]))
            except ProtocolError as error:
                raise ConnectionResetError(str(error)) from error
            self._flush()
            await self.writer.drain()
            view = view[size:]

    async def frame(self) -> Frame | None:
        with suppress(ConnectionError):
            await self._until(lambda: bool(self._frames))
        return self._frames.pop(0) if self._frames else None

    async def discard(self) -> None:
        """Do not keep what comes, until the stream ends."""
        self._keeps = False
        self._frames.clear()
        with suppress(ConnectionError):
            await self._until(lambda: False)

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        reset(self.writer)

    def _flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def _until(self, condition: Any) -> None:
        while not condition():
            if self._ended:
                raise ConnectionResetError("the stream has ended")
            self._changed.clear()
            await self._changed.wait()

    async def _read(self) -> None:
        try:
            while data := await self.reader.read(1 << 16):
                for event in self.h2.receive_data(data):
                    self._take(event)
                self._flush()
                self._changed.set()
        except (OSError, ProtocolError):
            pass
        finally:
            self._ended = True
            self._changed.set()

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if self._keeps:
                self._parser.feed(event.data, self._frames)
        elif isinstance(event, events.ResponseReceived):
            self._status = {str(name): str(value) for name, value in event.headers}
        elif isinstance(
            event, events.StreamReset | events.StreamEnded | events.ConnectionTerminated
        ):
            self._ended = True
