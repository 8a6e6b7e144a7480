"""The fronts on trio: a server and a client of `wsext.trio`, in memory."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import trio
import trio.testing

import wsext.trio
from tests.outcomes.faulty import NAME
from tests.trio.peers import RawPeer, run
from wsext import App, Frame, SharedContext
from wsext.protocol.handshake import build_request
from wsext.protocol.http import serialize_request
from wsext.testing.engines import parse_wire, write_wire
from wsext.testing.on_trio import serving

__all__ = ["Recorded", "open_session", "talk"]

#: What masks the frames of the peer.
_KEY = b"mask"


class Recorded(trio.abc.HalfCloseableStream):
    """A stream that keeps what travels on it.

    Attributes:
        sent, received: The bytes.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.sent = bytearray()
        self.received = bytearray()

    async def send_all(self, data: Any) -> None:
        self.sent += data
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> Any:
        data = await self.inner.receive_some(max_bytes)
        self.received += data
        return data

    async def aclose(self) -> None:
        await self.inner.aclose()


def talk(app: App, message: bytes, seen: Any) -> None:
    """Be a client of a server on trio: do the handshake, send a message, and close once it has come
    back."""

    async def scenario() -> None:
        async with serving(app) as (_, listener):
            stream = Recorded(listener.open())
            peer = RawPeer(stream)
            await peer.send(serialize_request(build_request("memory", "/", extensions=NAME)))
            head = await peer.read_head()
            if head:
                seen.status = int(head.split()[1])
            seen.agreed = NAME in head
            if seen.status == 101:
                await peer.send(write_wire([Frame(2, message)], _KEY))
                frame = await peer.frame()
                if frame is not None and frame.opcode < 8:
                    await peer.send(write_wire([Frame(8, b"\x03\xe8")], _KEY))
                while frame is not None:
                    seen.take([frame])
                    frame = await peer.frame()
            await trio.aclose_forcefully(stream)
            seen.wire = bytes(stream.received)

    run(scenario)


def open_session(app: App, installed: Any, options: Any, seen: Any) -> None:
    """Be a client on trio of an app that sends one message: tell it again."""

    async def scenario() -> None:
        async with serving(app) as (_, listener):
            stream = Recorded(listener.open())
            url = "ws://memory/talk"
            try:
                async with wsext.trio.connect(
                    url, stream=stream, extensions=installed, options=options
                ) as session:
                    seen.agreed = session.extension(NAME, None) is not None
                    with suppress(wsext.ConnectionClosed):
                        message = await session.receive()
                        wsext.broadcast([session], message, context=SharedContext())
                        await session.wait_closed()
            except Exception as error:
                seen.raised = error
            head, _, rest = bytes(stream.sent).partition(b"\r\n\r\n")
            seen.status = 101 if head else 0
            seen.wire = bytes(stream.sent)
            seen.take(parse_wire(rest, True))

    run(scenario)
