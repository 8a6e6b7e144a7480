"""A peer that sends and reads bytes, for what no well-behaved client does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ssl import Purpose, SSLContext, create_default_context

import trustme

from wsext import Frame
from wsext.protocol.wire import FrameParser, apply_mask, frame_header

KEY = b"\x01\x02\x03\x04"

REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


def masked(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame as bytes."""
    header = frame_header(opcode, len(payload), fin, rsv, True)
    return header + KEY + apply_mask(payload, KEY)


class FramePeer:
    """What every peer that reads frames can do."""

    async def frame(self) -> Frame | None:
        """The next frame, or ``None`` at the end of the stream."""
        raise NotImplementedError

    async def close_code(self) -> int | None:
        """The code of the server's Close frame; what comes before it is skipped."""
        while (frame := await self.frame()) is not None:
            if frame.opcode == 8:
                return int.from_bytes(frame.payload[:2], "big") if frame.payload else 1005
        return None


class RawPeer(FramePeer):
    """A TCP connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._parser = FrameParser(masked=False, max_size=1 << 26, rsv_first=0x70, rsv_rest=0x70)
        self._frames: list[Frame] = []

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def read_head(self) -> str:
        """The head of the server's HTTP response."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def shake(self, path: str = "/", more: str = "") -> str:
        """Do the opening handshake; the response's head."""
        self.send(REQUEST.format(path=path, more=more).encode())
        return await self.read_head()

    async def frame(self) -> Frame | None:
        while not self._frames:
            data = await self.reader.read(1 << 16)
            if not data:
                return None
            self._parser.feed(data, self._frames)
        return self._frames.pop(0)


def contexts() -> tuple[SSLContext, SSLContext]:
    """TLS for a server called ``localhost``, and for its clients."""
    authority = trustme.CA()
    server = create_default_context(Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    client = create_default_context()
    authority.configure_trust(client)
    return server, client


@asynccontextmanager
async def raw_peer(port: int, ssl: SSLContext | None = None) -> AsyncIterator[RawPeer]:
    """Connect to a port of this machine, which is called ``localhost`` where there is TLS."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that not reading shows soon
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    name = None if ssl is None else "localhost"
    reader, writer = await asyncio.open_connection(sock=sock, ssl=ssl, server_hostname=name)
    try:
        yield RawPeer(reader, writer)
    finally:
        writer.transport.abort()


async def fetch(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; the status, headers and body of the answer."""
    async with raw_peer(port) as peer:
        peer.send(request)
        head = await peer.read_head()
        body = await peer.reader.read()
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body
