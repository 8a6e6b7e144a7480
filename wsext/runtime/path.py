"""The data path: what happens for every read and for every message. Runs as it is, and compiled.

`LinkPath` is what a `Link` does per read and per write, `SessionPath` what a `Session` does per
message. Everything rarer is in ``link.py`` and ``session.py``.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from wsext.errors import ProtocolError
from wsext.protocol.codes import Opcode
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Data, Event, Frame, Message
from wsext.protocol.prepared import PreparedMessage
from wsext.protocol.states import State
from wsext.runtime.inbox import DONE, Inbox
from wsext.runtime.settings import WebSocketOptions

__all__ = ["LinkPath", "SessionPath"]

_OPEN = State.OPEN

#: Bytes that are read at once, at most.
_READ_SIZE = 1 << 18

#: Bytes that are gathered for one write.
_GATHER_AT_MOST = 1 << 16

#: asyncio's writelines() of these versions never asks to pause (CVE-2024-12254).
_NEVER_PAUSES = (3, 12) <= sys.version_info < (3, 12, 9) or (3, 13) <= sys.version_info < (3, 13, 2)

#: Up to this many bytes, chunks are joined for one write; beyond, they are written side by side.
_JOIN_AT_MOST = sys.maxsize if _NEVER_PAUSES else 1 << 14


class _Shared(threading.local):
    """What all connections of a thread's event loop share.

    A buffer to read into: what is read is handled before anything else is, and a read of 64 bytes
    must not cost an allocation of the most that could have come. And the links that have something
    to write before the loop's next turn: one callback serves all of them.
    """

    def __init__(self) -> None:
        self.buffer = bytearray(_READ_SIZE)
        self.view = memoryview(self.buffer)
        self.loop: Any = None
        self.dirty: list[LinkPath] = []

    def dirty_of(self, loop: asyncio.AbstractEventLoop) -> list[LinkPath]:
        """The list of a loop; what one that is gone has left does not count."""
        if self.loop is not loop:
            self.loop, self.dirty = loop, []
        return self.dirty


_shared = _Shared()


def _write_dirty(loop: asyncio.AbstractEventLoop, dirty: list[LinkPath]) -> None:
    links = dirty[:]
    dirty.clear()
    for link in links:
        try:
            link.write_soon()
        except Exception as error:  # of one connection; the others have something to write, too
            loop.call_exception_handler({"message": "writing failed", "exception": error})


class LinkPath:
    """The per-read and per-write part of a link.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
        receiver: Who gets the events.
    """

    def __init__(self, connection: Connection, options: WebSocketOptions, receiver: Any) -> None:
        self.connection = connection
        self.options = options
        self._receiver = receiver
        self._session = receiver if isinstance(receiver, SessionPath) else None
        self._loop = asyncio.get_running_loop()
        proactor = getattr(asyncio, "ProactorEventLoop", None)
        if proactor is not None and isinstance(self._loop, proactor):
            self._buffer = bytearray(_READ_SIZE // 4)  # Windows reads into it in the background
            self._view: memoryview | bytearray = memoryview(self._buffer)
        else:
            self._buffer = _shared.buffer
            self._view = _shared.view
        self._dirty = _shared.dirty_of(self._loop)
        self._is_dirty = False
        self._transport: Any = None
        self._write: Any = None
        self._paused = False  # the transport asks us to stop writing
        self._outbox: deque[Frame] | None = None  # made when something has to wait
        self._send_lock = asyncio.Lock() if connection.pipeline.is_async else None
        self._gathering = False
        self._heard = False  # since the last ping
        self._has_read = False  # since `find_reset` has looked
        self._in_place = False  # the buffer that was asked for is the payload's own
        self._lost = False

    def bind(self, transport: Any) -> None:
        """Learn how a transport wants to be used."""
        self._transport = transport
        self._write = transport.write
        if hasattr(transport, "write_nocheck"):  # aiofastnet
            self._write = transport.write_nocheck
            # It looks into an array without asking for a view. (Others may take slices of it.)
            self._view = self._buffer

    # --- reading ------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview | bytearray:
        """As of an asyncio.BufferedProtocol."""
        if self._send_lock is None:
            room = self.connection.room()
            self._in_place = room is not None
            if room is not None:  # the rest of a large payload, without a copy
                return room
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """As of an asyncio.BufferedProtocol."""
        if self._in_place:
            self._in_place = False
            self._take(None, nbytes)
        elif self._send_lock is None:
            self._take(self._buffer, nbytes)
        else:
            self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._send_lock is None:
            self._take(data, len(data))
        else:
            self._heard = self._has_read = True
            self.work_later(data)

    def _take(self, data: bytes | bytearray | None, size: int) -> None:
        self._heard = self._has_read = True
        connection = self.connection
        self._gathering = True
        try:
            received = connection.receive(data, size)
            if type(received) is Message:
                if self._session is not None:
                    self._session._deliver_one(received)
                else:
                    self._receiver.deliver([received])
            elif received:
                if connection.saw_pong:
                    self.find_pongs(received)
                self._receiver.deliver(received)
        finally:
            self._gathering = False
        if connection.pending_bytes:
            self._write_out()
        if connection.state is not _OPEN:
            self.progress_close()

    def find_pongs(self, events: list[Event]) -> None:
        """Take note of the pongs among the events."""
        self.connection.saw_pong = False
        for event in events:
            if type(event) is Frame and event.opcode == Opcode.PONG:
                self.take_pong(bytes(event.payload))

    # --- writing ------------------------------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether new data has to wait for the peer to read."""
        return self._paused or bool(self._outbox)

    def write_out(self) -> None:
        """Hand everything that is ready to the transport, in one write."""
        self._write_out()

    def soon(self) -> None:
        """Write before the event loop's next turn, unless something does earlier."""
        self._soon()

    def write_soon(self) -> None:
        """What `soon` asked for."""
        self._is_dirty = False
        if self.connection.pending_bytes:
            self._write_out()
        if self.connection.state is not _OPEN:
            self.progress_close()

    def send_prepared(self, message: PreparedMessage) -> bool:
        """Send a shared message; ``False`` if something waits or it cannot be shared here.

        Raises:
            ProtocolError: If a codec fails; the connection is failed.
        """
        if self._paused or self._outbox:
            return False
        connection = self.connection
        try:
            wire = connection.share_message(message)
        except ProtocolError:
            self._soon()  # the connection was failed; its Close frame has to leave
            raise
        if wire is None:
            return False
        connection.send_shared(wire)
        self._soon()
        return True

    # Compiled, those with an underscore are calls in C; no subclass may override them.

    def _is_clear(self) -> bool:
        """Whether a message can be sent now: nothing waits, and no codec is asynchronous."""
        return not self._paused and self._send_lock is None and not self._outbox

    def _send(
        self, data: Data, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send one message now; the link has to be clear."""
        self.connection.send_message(data, hints, meta)
        self._soon()

    def _write_out(self) -> None:
        connection = self.connection
        pending = connection.pending_bytes
        output = connection.take_output()
        if not output or self._write is None or self._lost:
            return
        if connection.state is not _OPEN and self._transport.is_closing():
            return
        if type(output) is not list:
            self._write(output)
        elif pending <= _JOIN_AT_MOST:
            self._write(b"".join(output))
        else:
            self._transport.writelines(output)

    def _soon(self) -> None:
        if self.connection.pending_bytes > _GATHER_AT_MOST:
            # Only the transport knows whether the peer reads, so it has to be told in time.
            self._write_out()
        elif not self._gathering and not self._is_dirty:
            self._is_dirty = True
            dirty = self._dirty
            if not dirty:
                self._loop.call_soon(_write_dirty, self._loop, dirty)
            dirty.append(self)

    # --- what is rarer ------------------------------------------------------------------------

    def work_later(self, data: bytes) -> None:
        """Let an asynchronous codec decode it."""
        raise NotImplementedError

    def take_pong(self, payload: bytes) -> None:
        """A pong has come."""
        raise NotImplementedError

    def progress_close(self) -> None:
        """Do what the connection's state asks of the transport."""
        raise NotImplementedError


class SessionPath:
    """The per-message part of a session; `Session` sets its link and its inbox."""

    __slots__ = ("_connection", "_inbox", "_link", "_on_message", "_raw", "_streaming")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw = connection.raw
        self._on_message: Any = None
        self._streaming: asyncio.Lock | None = None
        self._link: LinkPath
        self._inbox: Inbox

    # --- receiving ----------------------------------------------------------------------------

    def deliver(self, events: list[Event]) -> None:
        """Called by the link with what has come."""
        on_message = self._on_message
        if on_message is not None and not self._raw:
            for event in events:
                if type(event) is Message:
                    self._listen(on_message, event)
            if self._link.blocked:  # a listener cannot wait, so the peer has to
                self.resume_later()
            return
        inbox = self._inbox
        count = 0
        for event in events:
            if type(event) is Message or self._raw:
                count += 1
                if not inbox.put(event):
                    self.overflow()
        if count:
            inbox.wake(count)

    def _deliver_one(self, message: Message) -> None:
        if self._on_message is not None:
            self._listen(self._on_message, message)
            if self._link.blocked:
                self.resume_later()
            return
        inbox = self._inbox
        if not inbox.put(message):
            self.overflow()
        inbox.wake(1)

    def _listen(self, on_message: Any, message: Message) -> None:
        try:
            on_message(self, message.data)
        except Exception as error:
            self.listener_failed(error)

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """The next message: ``str`` for text, ``bytes`` for binary.

        Raises:
            ConnectionClosed: When the session has ended and nothing waits any more.
        """
        return self._inbox.data()

    def receive_message(self) -> Coroutine[Any, Any, Message]:
        """The next message with its type and metadata.

        Raises:
            ConnectionClosed: As `receive`.
        """
        return self._inbox.message()

    def receive_frame(self) -> Coroutine[Any, Any, Frame]:
        """The next frame: on a raw session as it came, otherwise a whole message as one frame.

        Raises:
            ConnectionClosed: As `receive`.
        """
        return self._inbox.frame()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Iterate over messages until the session ends; normal ends finish the loop silently."""
        return self._inbox

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._inbox.__anext__()

    # --- sending ------------------------------------------------------------------------------

    def send(
        self,
        data: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, None]:
        """Send a message; waits while the peer reads too slowly.

        Args:
            data: ``str`` becomes a text message, bytes-like a binary one, an asynchronous iterator
                of either one message in fragments, sent as they come.
            hints: For the extensions, for example ``{"compress": False}``; never sent.
            meta: Metadata beside the message, for extensions that carry some.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            TypeError: If the data is of another type.
        """
        link = self._link
        if (
            (type(data) is str or type(data) is bytes)
            and self._connection.state is _OPEN
            and self._streaming is None
            and link._is_clear()
        ):
            link._send(data, hints, meta)
            return DONE
        return self.send_slowly(data, hints, meta)

    def send_nowait(
        self,
        data: Any,
        *,
        hints: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a message without waiting; when the peer is slow, the overflow policy decides.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            QueueFull: If too much waits and the policy is ``suspend``.
        """
        link = self._link
        if self._connection.state is not _OPEN:
            raise self.closed_error()
        if type(data) is PreparedMessage:
            if link.send_prepared(data):
                return
        elif link._is_clear():
            link._send(data, hints, meta)
            return
        self.queue(data, hints, meta)

    # --- what is rarer ------------------------------------------------------------------------

    def send_slowly(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> Coroutine[Any, Any, None]:
        """Send what cannot be sent at once."""
        raise NotImplementedError

    def queue(
        self, data: Any, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send by the overflow policy."""
        raise NotImplementedError

    def listener_failed(self, error: Exception) -> None:
        """A listener's method has raised."""
        raise NotImplementedError

    def resume_later(self) -> None:
        """Read no more until the peer has read."""
        raise NotImplementedError

    def overflow(self) -> None:
        """The inbox has passed its bounds."""
        raise NotImplementedError

    def closed_error(self) -> Exception:
        """What is raised once the session has ended."""
        raise NotImplementedError
