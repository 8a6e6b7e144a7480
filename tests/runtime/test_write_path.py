"""What happens for every write: who may write, and nothing that nobody can read any more."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
import threading
from collections.abc import Callable

import pytest

import wsext
from tests.raw import REQUEST, raw_peer
from tests.runtime.sessions import app_of, echo_app, turn
from wsext import PreparedMessage, Session, testing
from wsext.protocol.wire import frame_header


async def test_what_is_sent_after_a_reset_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app_of(handler)) as server, raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        connection: socket.socket = peer.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.writer.transport.abort()
        await turn()  # the end of the client's side is called soon
        for number in range(20):
            session.send_nowait(f"{number}")
            session.send_nowait(b"", hints={"urgent": True})
        await session.wait_closed()
    assert not [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def test_another_thread_is_told_what_to_call() -> None:
    def run(work: Callable[[], object]) -> object:
        async def main() -> None:
            await work()  # type: ignore[misc]

        return asyncio.run(main())

    loop = asyncio.get_running_loop()
    async with testing.connect(echo_app(), "/") as session:
        calls = {
            "send_nowait": [
                lambda: session.send_nowait("text"),
                lambda: session.send_nowait(PreparedMessage("text")),
                lambda: wsext.broadcast([session], "text"),
                lambda: run(lambda: session.send("text")),
                lambda: run(lambda: session.send_json([])),
            ],
            "close_nowait": [session.close_nowait, lambda: run(session.close)],
            "abort": [session.abort],
            "ping": [lambda: run(session.ping)],
            "hold_reading": [lambda: session.hold_reading(1)],
        }
        for call, ways in calls.items():
            for way in ways:
                advice = re.escape(f"call loop.call_soon_threadsafe(session.{call}, ...)")
                with pytest.raises(RuntimeError, match=advice):
                    await asyncio.to_thread(way)
        assert session.stats.messages_out == 0
        await asyncio.to_thread(loop.call_soon_threadsafe, session.send_nowait, "as advised")
        assert await session.receive() == "as advised"


async def test_waiting_messages_are_refused_in_another_thread_too() -> None:
    async def handler(session: Session) -> None:
        await session.wait_closed()

    app = app_of(handler, outgoing_bytes=1024)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        while not session.buffered_amount:
            session.send_nowait(bytes(1 << 20))
        for message in ("text", PreparedMessage("text")):
            with pytest.raises(RuntimeError, match="in another thread"):
                await asyncio.to_thread(session.send_nowait, message)
        session.abort()


def test_a_loop_may_be_taken_to_another_thread() -> None:
    loop = asyncio.new_event_loop()

    async def talk(session: Session) -> str | bytes:
        await session.send("hello")
        session.send_nowait("hello")
        return await session.receive()

    connecting = testing.connect(echo_app(), "/")
    session = loop.run_until_complete(connecting.__aenter__())
    runs = threading.Thread(target=loop.run_forever)
    runs.start()
    assert asyncio.run_coroutine_threadsafe(talk(session), loop).result(10) == "hello"
    loop.call_soon_threadsafe(loop.stop)
    runs.join()
    session.send_nowait("it is back")
    loop.run_until_complete(connecting.__aexit__(None, None, None))
    loop.close()


def test_what_a_socket_does_not_take_keeps_its_place() -> None:
    """On uvloop, where plain sockets are written to directly."""
    uvloop = pytest.importorskip("uvloop")
    messages = [bytes([number % 251]) * size for number, size in enumerate([9, 9000, 5000] * 700)]
    expected = b"".join(frame_header(2, len(each), True, 0, False) + each for each in messages)
    is_full = threading.Event()

    async def handler(session: Session) -> None:
        for number, message in enumerate(messages):
            session.send_nowait(message)
            if number % 3:
                await turn()
            if session.buffered_amount > 1 << 16:
                is_full.set()

    def read(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as peer, peer.makefile("rb") as file:
            peer.sendall(REQUEST.format(path="/", more="").encode())
            while file.readline() != b"\r\n":
                pass
            is_full.wait()
            return file.read(len(expected))

    async def main() -> None:
        async with wsext.serve(app_of(handler, outgoing_bytes=1 << 26)) as server:
            assert await asyncio.to_thread(read, server.port) == expected

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
