"""What happens for every write of a connection: output is gathered, then handed to the transport.

Runs as it is, and compiled.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Mapping
from typing import Any

from wsext.errors import ProtocolError
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Data
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import State
from wsext.runtime.loop import refuse_other_thread
from wsext.runtime.net import descriptor_of
from wsext.runtime.settings import WebSocketOptions

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

if not cython.compiled:  # where it is, these are functions in C
    import os
    from threading import get_ident

    def send_now(descriptor: int, data: bytes, size: int) -> int:
        """Write to a socket that does not block: how many bytes it has taken; -1 if none."""
        try:
            return os.write(descriptor, data)
        except OSError:
            return -1


__all__ = ["WritePath"]

_OPEN = State.OPEN

#: Bytes that are gathered for one write.
_GATHER_AT_MOST = 1 << 16

#: asyncio's writelines() of these versions never asks to pause (CVE-2024-12254).
_NEVER_PAUSES = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)

#: Up to this many bytes, chunks are joined for one write; beyond, they are written side by side.
_JOIN_AT_MOST = sys.maxsize if _NEVER_PAUSES else 1 << 14

#: Bytes that a session sends before `send` lets others have their turn: one that sends without ever
#: having to wait would keep the event loop for itself.
_SEND_TURN = 1 << 18

#: Bytes that all sessions of an event loop may send so before it is the others' turn: each of many
#: may send less, but always one message.
_SEND_PASS = 1 << 21


class _Dirty(threading.local):
    """The links of this thread's event loop that have something to write before its next turn: one
    callback serves all of them."""

    def __init__(self) -> None:
        self.loop: Any = None
        self.links: list[WritePath] = []

    def links_of(self, loop: asyncio.AbstractEventLoop) -> list[WritePath]:
        """The list of a loop; what one that is gone has left does not count."""
        if self.loop is not loop:
            self.loop, self.links = loop, []
        return self.links


_dirty = _Dirty()


def _write_dirty(loop: asyncio.AbstractEventLoop, dirty: list[WritePath]) -> None:
    links = dirty[:]
    dirty.clear()
    turn = min(_SEND_TURN, _SEND_PASS // max(1, len(links)))
    for item in links:
        link = item
        try:
            link._write_soon(turn)
        except Exception as error:  # of one connection; the others have something to write, too
            loop.call_exception_handler({"message": "writing failed", "exception": error})


class WritePath:
    """The per-write part of a link.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
    """

    __slots__ = (
        "_descriptor",
        "_dirty",
        "_gathering",
        "_is_behind",
        "_is_dirty",
        "_loop",
        "_paused",
        "_thread",
        "_transport",
        "_turn",
        "_write",
        "connection",
        "free_until",
        "is_async",
        "is_lost",
        "options",
        "queueing",
        "turn_until",
    )

    def __init__(self, connection: Connection, options: WebSocketOptions) -> None:
        self.connection = connection
        self.options = options
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._dirty = _dirty.links_of(self._loop)
        self._is_dirty = False
        self._transport: Any = None
        self._write: Any = None
        self._descriptor = -1  # of the socket, where the transport's own way to write is slow
        self._is_behind = True  # the transport has bytes that leave before all others, or may have
        self.is_async = connection.pipeline.is_async
        self._paused = False  # the transport asks us to stop writing
        # When more bytes than this were sent, the pace has to be asked (`wsext.runtime.pacing`).
        self.free_until = 1 << 62
        # Messages have to take their place in the outbox: some wait there, a streamed message is
        # half way, or a codec is asynchronous.
        self.queueing = self.is_async
        self._gathering = False
        self._turn = _SEND_TURN  # bytes of one turn
        self.turn_until = _SEND_TURN  # when more than this was sent, it is the others' turn
        self.is_lost = False

    def bind(self, transport: Any) -> None:
        """Learn how a transport wants to be used."""
        self._transport = transport
        # aiofastnet's other method checks its argument.
        self._write = getattr(transport, "write_nocheck", transport.write)
        self._descriptor = descriptor_of(transport)

    @property
    def has_had_turn(self) -> bool:
        """Whether so much was sent in this turn of the event loop that it is the others' turn."""
        return self._sent() > self.turn_until

    def begin_turn(self) -> None:
        """The others have had their turn."""
        self._begin_turn()

    @property
    def blocked(self) -> bool:
        """Whether new data has to wait: for the peer to read, or for what was said before."""
        return self._paused or self.queueing or self._is_ahead()

    def write_out(self) -> None:
        """Hand everything that is ready to the transport, in one write."""
        self._write_out()

    def soon(self) -> None:
        """Write before the event loop's next turn, unless something does earlier."""
        self._soon()

    def send_prepared(self, message: PreparedMessage) -> bool:
        """Send a shared message; ``False`` if something waits or it cannot be shared here.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        connection = self.connection
        if get_ident() != self._thread:
            self.check_thread("session.send_nowait")
        if self._paused or self.queueing or connection.wire_bytes_out > self.free_until:
            return False
        try:
            wire = connection.share_message(message)
        except ProtocolError:
            self._soon()  # the connection was failed; its Close frame has to leave
            raise
        if wire is None:
            return False
        connection.send_shared(wire)
        if connection.journal is not None and connection.journal.is_full:
            self.fill()
        self._soon()
        return True

    def check_thread(self, call: str) -> None:
        """Refuse a call that would race with the event loop: it runs in another thread.

        Args:
            call: What was called, for the error.

        Raises:
            RuntimeError: If it does; it says what to call.
        """
        if get_ident() != self._thread:
            refuse_other_thread(self._loop, call)
            self._thread = get_ident()  # the loop came here, or rests

    # Compiled, those with an underscore are calls in C; no subclass may override them.

    def _sent(self) -> int:
        """What the application has said so far, in bytes: 64 for each message, beside its own."""
        connection = self.connection
        said = connection.app_bytes_out + connection.dropped_bytes_out
        return said + 64 * connection.messages_out

    def _begin_turn(self) -> None:
        self.turn_until = self._sent() + self._turn

    def _write_soon(self, turn: int) -> None:
        self._is_dirty = False
        self._turn = turn
        self._begin_turn()
        self._finish()

    def _send(
        self, data: Data, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send one message now; the link must not be blocked."""
        if get_ident() != self._thread:
            self.check_thread("session.send_nowait")
        # First: a codec that fails fails the connection, and its Close frame has to leave, too.
        if not self._gathering and not self._is_dirty:
            self._mark()
        connection = self.connection
        connection.send_message(data, hints, meta)
        if connection.journal is not None and connection.journal.is_full:
            self.fill()
        if connection.pending_bytes > _GATHER_AT_MOST:
            self._write_out()

    def _write_out(self) -> None:
        connection = self.connection
        if self._write is None or self.is_lost:
            return
        if self._transport.is_closing():
            return  # what cannot leave stays there, so that it does not count as sent
        pending = connection.pending_bytes
        output = connection.take_output()
        if not output:
            return
        if type(output) is not list:
            self._put_out(output)
        elif pending <= _JOIN_AT_MOST:
            self._put_out(b"".join(output))
        else:
            self._is_behind = True
            self._transport.writelines(output)

    def _put_out(self, data: bytes) -> None:
        """Give bytes to the socket, and to the transport what that does not take."""
        rest: Any = data
        if self._descriptor >= 0:
            if self._is_behind:
                self._is_behind = self._transport.get_write_buffer_size() > 0
            if not self._is_behind:
                sent = send_now(self._descriptor, data, len(data))
                if sent == len(data):
                    return
                if sent > 0:
                    rest = memoryview(data)[sent:]
                self._is_behind = True  # or it was reset: the transport finds that
        self._write(rest)

    def _finish(self) -> None:
        """Write what is ready, and go on with a close if there is one."""
        connection = self.connection
        if connection.pending_bytes:
            self._write_out()
        if connection.state is not _OPEN:
            self.progress_close()

    def _soon(self) -> None:
        if self.connection.pending_bytes > _GATHER_AT_MOST:
            # Only the transport knows whether the peer reads, so it has to be told in time.
            self._write_out()
        elif not self._gathering and not self._is_dirty:
            self._mark()

    def _mark(self) -> None:
        """Have `_write_soon` called before the event loop's next turn."""
        self._is_dirty = True
        dirty = self._dirty
        if not dirty:
            self._loop.call_soon(_write_dirty, self._loop, dirty)
        dirty.append(self)

    # --- what is rarer ------------------------------------------------------------------------

    def _is_ahead(self) -> bool:
        """Whether so much is on its way that the peer has to read first."""
        raise NotImplementedError

    def fill(self) -> None:
        """The journal is full: nothing is sent until the peer has acknowledged some of it."""
        raise NotImplementedError

    def progress_close(self) -> None:
        """Do what the connection's state asks of the transport."""
        raise NotImplementedError
