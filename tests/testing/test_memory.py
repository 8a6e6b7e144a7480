"""Transports in memory keep the promises of real ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wsext.testing.clock import settle
from wsext.testing.memory import MemoryTransport, Wire


class Reader(asyncio.Protocol):
    """Remembers what comes."""

    def __init__(self, keeps_open: bool = True) -> None:
        self.events: list[Any] = []
        self.data = b""
        self._keeps_open = keeps_open

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.events.append("end")
        return self._keeps_open

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(exc)


def connected(**options: Any) -> tuple[MemoryTransport, Reader, MemoryTransport, Reader]:
    wire = Wire(**options)
    client, server = Reader(), Reader()
    wire.client.set_protocol(client)
    wire.server.set_protocol(server)
    return wire.client, client, wire.server, server


async def test_bytes_come_in_order_and_never_within_the_write() -> None:
    seen: list[tuple[str, bytes]] = []
    client, reader, server, other = connected(tap=lambda side, data: seen.append((side, data)))
    client.write(b"one ")
    client.writelines([b"two ", bytearray(b"three")])
    server.write(b"answer")
    assert (reader.data, other.data) == (b"", b"")
    await settle()
    assert (reader.data, other.data) == (b"answer", b"one two three")
    assert b"".join(data for side, data in seen if side == "client") == b"one two three"


async def test_who_writes_too_much_is_told_to_pause_until_it_is_read() -> None:
    client, reader, server, other = connected()
    client.set_write_buffer_limits(high=10)
    server.pause_reading()
    client.write(b"x" * 10)
    assert reader.events == []
    client.write(b"x")
    assert reader.events == ["pause"]
    assert client.get_write_buffer_size() == 11
    await settle()
    assert other.data == b""
    server.resume_reading()
    await settle()
    assert (other.data, reader.events) == (b"x" * 11, ["pause", "resume"])
    assert client.get_write_buffer_size() == 0


async def test_an_end_is_told_after_what_was_written_before_it() -> None:
    client, reader, server, other = connected()
    client.write(b"last")
    client.write_eof()
    await settle()
    assert (other.data, other.events) == (b"last", ["end"])
    server.write(b"answer")  # the other direction is still open
    await settle()
    assert reader.data == b"answer"
    with pytest.raises(RuntimeError, match="after write_eof"):
        client.write(b"more")


async def test_closing_lets_what_was_written_arrive() -> None:
    client, reader, server, other = connected()
    client.write(b"last")
    client.close()
    assert client.is_closing()
    await settle()
    assert other.data == b"last"
    server.close()
    await settle()
    assert (reader.events[-1], other.events[-1]) == (None, None)


async def test_closing_with_unread_data_resets_as_tcp_does() -> None:
    """RFC 9293 §3.10.7.4."""
    client, _, server, other = connected()
    client.pause_reading()
    server.write(b"nobody reads this")
    await settle()
    client.close()
    await settle()
    assert isinstance(other.events[-1], ConnectionResetError)


async def test_an_abort_is_the_end_of_both() -> None:
    client, reader, server, other = connected()
    client.abort()
    server.write(b"into the void")
    await settle()
    assert reader.events == [None]
    assert len(other.events) == 1 or other.events[0] == "end"
    assert other.data == b""


async def test_it_knows_whom_it_talks_to() -> None:
    client, _, _, _ = connected()
    assert client.get_extra_info("peername") == ("memory", 0)
    assert client.get_extra_info("socket", "none") == "none"
