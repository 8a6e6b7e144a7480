"""One stream as a transport, carried by nothing but a list of what it asks for."""

from __future__ import annotations

import asyncio
from typing import Any

from h2.errors import ErrorCodes

from wsext.http2.stream import StreamTransport


class Carried:
    """A carrier that only notes what its streams want."""

    def __init__(self) -> None:
        self.blocked: set[StreamTransport] = set()
        self.acknowledged = 0
        self.resets: list[ErrorCodes] = []
        self.forgotten = 0
        self.on_the_way = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1)}.get(name, default)

    def acknowledge(self, stream: StreamTransport, taken: int) -> None:
        self.acknowledged += taken

    def send_soon(self, stream: StreamTransport) -> None:
        """Nothing is sent before the test takes it."""

    def unwritten(self, stream: StreamTransport) -> int:
        return self.on_the_way

    def reset(self, number: int, code: ErrorCodes) -> None:
        self.resets.append(code)

    def forget(self, stream: StreamTransport) -> None:
        self.forgotten += 1


class Told(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.events: list[str] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.fails = False

    def data_received(self, data: bytes) -> None:
        if self.fails:
            raise ValueError("bad")
        self.data.append(data)

    def eof_received(self) -> bool:
        self.events.append("eof")
        return False

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


def make() -> tuple[StreamTransport, Carried, Told]:
    carrier, protocol = Carried(), Told()
    return StreamTransport(carrier, 1, protocol), carrier, protocol


async def test_what_is_not_read_is_not_acknowledged() -> None:
    stream, carrier, protocol = make()
    stream.receive(b"one", 3)
    assert (protocol.data, carrier.acknowledged) == ([], 0)
    stream.resume_reading()
    await asyncio.sleep(0)
    assert (protocol.data, carrier.acknowledged) == ([b"one"], 3)
    stream.receive(b"two", 10)  # padding counts, too
    assert (protocol.data, carrier.acknowledged) == ([b"one", b"two"], 13)
    stream.pause_reading()
    stream.receive(b"three", 5)
    stream.receive_end()
    assert protocol.events == []
    stream.resume_reading()
    await asyncio.sleep(0)
    assert protocol.data[2:] == [b"three"]
    assert protocol.events == ["eof"]


async def test_writing_is_paused_and_resumed_by_what_waits() -> None:
    stream, carrier, protocol = make()
    stream.set_write_buffer_limits(high=10, low=4)
    stream.writelines([b"12345", b"", memoryview(b"678901")])
    assert protocol.events == ["pause"]
    assert stream in carrier.blocked
    assert stream.take(8) == b"12345678"
    carrier.on_the_way = 8  # taken, but the socket has not written it
    stream.check_low()
    assert stream.get_write_buffer_size() == 11
    assert protocol.events == ["pause"]
    carrier.on_the_way = 0
    stream.check_low()
    assert protocol.events == ["pause", "resume"]
    assert not carrier.blocked
    assert stream.take(99) == b"901"


async def test_both_ends_make_an_end() -> None:
    stream, carrier, protocol = make()
    stream.write(b"last")
    stream.close()
    stream.write(b"too late")
    assert stream.is_closing()
    assert not stream.is_done
    assert stream.take(99) == b"last"
    assert stream.is_done
    stream.sent_end()
    assert await protocol.lost is None
    assert (carrier.forgotten, carrier.resets) == (1, [])
    stream.abort()  # and nothing more
    assert carrier.resets == []


async def test_an_abort_is_a_reset_and_a_reset_by_the_peer_is_an_error() -> None:
    stream, carrier, protocol = make()
    stream.abort()
    assert carrier.resets == [ErrorCodes.CANCEL]
    assert await protocol.lost is None
    stream, carrier, protocol = make()
    stream.lose(ConnectionResetError("gone"))
    assert isinstance(await protocol.lost, ConnectionResetError)
    assert carrier.resets == []


async def test_a_protocol_that_fails_takes_only_its_stream_with_it() -> None:
    stream, carrier, protocol = make()
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    protocol.fails = True
    stream.resume_reading()
    stream.receive(b"x", 1)
    assert carrier.resets == [ErrorCodes.INTERNAL_ERROR]
    assert carrier.acknowledged == 1
    assert isinstance(told[0]["exception"], ValueError)
    await protocol.lost


async def test_it_knows_what_its_connection_knows() -> None:
    stream, _, _ = make()
    assert stream.get_extra_info("peername") == ("192.0.2.1", 1)
    assert stream.get_extra_info("nothing", 5) == 5
