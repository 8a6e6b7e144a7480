"""Attacks of a server on `wsext.connect`. The attacked process also serves, so honest sessions on
it show how long its event loop is busy with what the hostile server sends."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress

from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame

from tests.attack.logs import CONTROLS
from tests.attack.registry import attack
from tests.attack.target import DROPPED, Handle, Target, upgrade
from tests.codecs import deflated
from tests.hostile import BOMB
from wsext.protocol.wire import frame_header

CLIENT = ("client",)
KIB, MIB = 1 << 10, 1 << 20


def frame(opcode: int, payload: bytes = b"", fin: bool = True, rsv: int = 0) -> bytes:
    """A server's frame."""
    return frame_header(opcode, len(payload), fin, rsv, False) + payload


def sending(data: bytes, more: str = "") -> Handle:
    """A server that sends the same for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer, more)
        discarding = asyncio.ensure_future(_discard(reader))
        try:
            while not discarding.done():
                writer.write(data)
                await writer.drain()
        finally:
            discarding.cancel()

    return handle


async def _discard(reader: asyncio.StreamReader) -> None:
    with suppress(*DROPPED):
        while await reader.read(1 << 16):
            pass


def from_server(
    name: str, promise: str, data: bytes, *, more: str = "", kind: str = "reads", sessions: int = 2
) -> None:
    """An attack of a server that sends the same for ever to so many clients."""

    @attack(f"a server that sends {name}", promise, fronts=CLIENT, sessions=sessions)
    async def run(target: Target) -> None:
        async with target.hostile(sending(data, more)) as port:
            await target.dial(port, sessions, kind)
            await target.rest()


INFLATED = bytes(512 * KIB)
ANSWER = "Sec-WebSocket-Extensions: {}\r\n"
DEFLATED = frame(2, deflated(INFLATED), rsv=0x40)
from_server(
    "small messages that inflate to 512 KiB",
    "many small messages that inflate",
    DEFLATED * 100,
    more=ANSWER.format("permessage-deflate"),
    kind="silent",
)
from_server(
    "small messages that inflate, to a reader",
    "one connection that keeps the process busy, or many of them",
    DEFLATED * 100,
    more=ANSWER.format("permessage-deflate"),
)
from_server(
    "bombs",
    "a compression bomb",
    frame(2, BOMB, rsv=0x40),
    more=ANSWER.format("permessage-deflate"),
)
from_server("one-byte messages", "a flood of messages", frame(2, b"x") * 20_000)
from_server(
    "one-byte messages that nobody takes",
    "messages faster than the app takes them",
    frame(2, b"x") * 20_000,
    kind="silent",
)
from_server(
    "messages of 1 MiB that nobody takes",
    "messages faster than the app takes them",
    frame(2, bytes(MIB)),
    kind="silent",
)
from_server(
    "empty fragments",
    "a message in a million fragments",
    frame(2, b"x", False) + frame(0, b"", False) * 20_000,
)
from_server("pings", "a flood of pings", frame(9, b"p" * 125) * 500)
from_server("pongs", "a flood of pongs", frame(10) * 20_000)
from_server(
    "messages that are too large", "a frame or message that is too large", frame(2, bytes(3 * MIB))
)
from_server("frames that break RFC 6455", "frames that break RFC 6455", b"\x83\x80\x01\x02\x03\x04")


@attack(
    "a server that never reads",
    "a peer that never reads",
    fronts=CLIENT,
    sessions=8,
)
async def never_reads(target: Target) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    async with target.hostile(handle) as port:
        await target.dial(port, 8, "sends")
        await target.rest()


def answers(name: str, promise: str, handle: Handle, kind: str = "reads") -> None:
    """An attack of a server whose answer is the matter, on ever new connections."""

    @attack(f"a server {name}", promise, fronts=CLIENT, sessions=8)
    async def run(target: Target) -> None:
        async with target.hostile(handle) as port:
            while target.time_is_left:
                await target.dial(port, 4, kind)
                await asyncio.sleep(0.1)


def endless(head: bytes, part: bytes) -> Handle:
    """A server that begins to answer, and then sends the same for ever."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()

    return handle


async def _answers_byte_by_byte(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    for byte in b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.01)


async def _says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    await asyncio.sleep(60)


_EARLY = HeadersFrame(1, data=Encoder().encode([(":status", "103")]), flags=["END_HEADERS"])
_SETTINGS = SettingsFrame(0, settings={SettingsFrame.ENABLE_CONNECT_PROTOCOL: 1})


async def _hints_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_SETTINGS.serialize())
    await reader.read(1 << 16)
    await asyncio.sleep(0.05)  # the request is on its way
    while True:
        writer.write(_EARLY.serialize() * 1000)
        await writer.drain()


async def _agrees_to_everything(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    value = "permessage-deflate, " * 350 + "permessage-deflate"
    await upgrade(reader, writer, ANSWER.format(value) * 8)


answers(
    "whose answer never ends",
    "an answer without end, or with endless headers",
    endless(b"HTTP/1.1 101 Switching Protocols\r\n", b"X: y\r\n" * 1000),
)
answers(
    "whose refusal has a body without end",
    "a refusal with a body without end",
    endless(b"HTTP/1.1 404 Not Found\r\n\r\n", bytes(65536)),
)
answers(
    "that says 100 Continue without end",
    "an answer without end, or with endless headers",
    endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
)
answers(
    "that answers byte by byte",
    "an answer byte by byte; TLS that never ends",
    _answers_byte_by_byte,
)
answers(
    "that never begins TLS", "an answer byte by byte; TLS that never ends", _says_nothing, "tls"
)
answers(
    "that hints over HTTP/2 without end",
    "an answer without end, or with endless headers",
    _hints_without_end,
    "http2",
)
answers(
    "that agrees to one offer 2,800 times", "thousands of extension offers", _agrees_to_everything
)
from_server(
    "a Close frame of 100,000 bytes", "frames that break RFC 6455", frame(8, bytes(100_000))
)


@attack(
    "a server that accepts and closes with 1013 at once",
    "a server that is always left again",
    fronts=CLIENT,
    sessions=4,
    seconds=8,
)
async def accepts_and_closes(target: Target) -> None:
    came: list[float] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(time.monotonic())
        await upgrade(reader, writer)
        writer.write(frame(8, b"\x03\xf5"))
        await reader.read()
        writer.close()

    async with target.hostile(handle) as port:
        await target.dial(port, 1, "again")
        await target.rest()
    # Waits of 0.5, 1, 2, 4 s are five attempts in eight seconds.
    assert len(came) <= 4 + 0.6 * target.seconds, f"{len(came)} attempts in {target.seconds} s"


@attack(
    "a server that drops whoever has connected",
    "a server that is always left again",
    fronts=CLIENT,
    sessions=4,
    seconds=8,
)
async def accepts_and_drops(target: Target) -> None:
    came = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came
        came += 1
        await upgrade(reader, writer)
        writer.transport.abort()

    async with target.hostile(handle) as port:
        await target.dial(port, 1, "again")
        await target.rest()
    assert came <= 4 + 0.6 * target.seconds, f"{came} attempts in {target.seconds} s"


@attack(
    "a server that says controls to a terminal",
    "control characters in messages, reasons, headers",
    fronts=CLIENT,
    seconds=1,
)
async def controls(target: Target) -> None:
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\u202e"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        writer.write(frame(8, b"\x0f\xa1" + evil.encode()))
        await reader.read(100)
        writer.close()

    async with target.hostile(handle) as port:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wsext", "connect", f"ws://127.0.0.1:{port}/"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(10):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        assert b"4001" in said, said
        assert not CONTROLS.search(said), f"raw controls: {said!r}"
