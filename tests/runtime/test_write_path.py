"""What happens for every write: nothing is written where nobody can read it any more."""

from __future__ import annotations

import logging
import socket
import struct

import pytest

import wsext
from tests.raw import raw_peer
from tests.runtime.sessions import app_of, turn
from wsext import Session


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
