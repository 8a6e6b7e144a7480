"""One connection on one asyncio transport: reads, writes, flow control and timers.

The engine (`Connection`) decides what is said; the link decides when. Output is gathered: what is
sent while one read is handled, or before the event loop gets its turn again, leaves in one write.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from wsext.errors import LocalProtocolError, ProtocolError, QueueFull
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import Opcode
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Data, Event, Frame
from wsext.protocol.states import State
from wsext.protocol.wire import to_payload
from wsext.runtime.path import LinkPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers

__all__ = ["Link", "Receiver"]

#: How long a failed connection is kept readable, so that the peer can still read our Close frame:
#: closing a socket with unread data in it makes TCP throw away what was sent.
_LINGER = 2.0

_MAX_PENDING_CHUNKS = 64


class Receiver(Protocol):
    """Who gets what a link receives; a `Session` is one."""

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read for now."""

    def deliver(self, events: list[Event]) -> None:
        """Take events, in order."""

    def closing(self) -> None:
        """Nothing more will be received."""

    def ended(self) -> None:
        """The transport is gone."""


class Link(LinkPath, asyncio.BufferedProtocol):
    """Runs a `Connection` on a transport for a `Receiver`.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
        receiver: Who gets the events.
        timers: What runs pings and timeouts; by default the event loop.
    """

    __slots__ = (
        "_chunks",
        "_deadline",
        "_finishing",
        "_held_until",
        "_hold",
        "_keepalive",
        "_outbox_bytes",
        "_ping_id",
        "_pings",
        "_reading_paused",
        "_timers",
        "_workers",
        "_writable",
        "dropped_out",
        "latency",
        "resumed",
    )

    def __init__(
        self,
        connection: Connection,
        options: WebSocketOptions,
        receiver: Receiver,
        timers: Timers | None = None,
    ) -> None:
        LinkPath.__init__(self, connection, options, receiver)
        self.latency: float | None = None
        self.dropped_out = 0
        self.resumed = 0  # how often the peer has made room again
        self._timers: Timers = timers or self._loop
        self._reading_paused = False
        self._held_until: float | None = None
        self._hold: Any = None
        # What is rarely used is made late, or small: most connections are idle most of the time.
        self._writable: list[asyncio.Future[None]] = []
        self._outbox_bytes = 0
        self._chunks: list[bytes] = []
        self._workers: list[asyncio.Task[None]] = []
        self._keepalive: Any = None
        self._deadline: Any = None
        self._ping_id = 0
        self._pings: dict[bytes, tuple[float, asyncio.Future[float] | None]] = {}
        self._finishing = False

    # --- the transport ------------------------------------------------------------------------

    def attach(self, transport: asyncio.Transport, rest: bytes = b"") -> None:
        """Take over a transport after the opening handshake, with the bytes that came with it."""
        self.bind(transport)
        transport.set_write_buffer_limits(high=self.options.outgoing_bytes)
        transport.set_protocol(self)
        if not transport.is_reading():  # much came while the handshake was being decided
            transport.resume_reading()
        if self.options.ping_interval is not None and not self.connection.raw:
            self._keepalive = self._timers.call_later(self.options.ping_interval, self._ping)
        if rest:
            self.data_received(rest)

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows: ``peername``, ``ssl_object`` and so on."""
        return self._transport.get_extra_info(name) if self._transport else None

    def find_reset(self) -> None:
        """Notice a connection that was reset along with its last data, if some came since then.

        uvloop tells a reader once of an error and then no more; a reader that finds data there and
        leaves the error for the next time, as those of aiofastnet do, is never called again.
        """
        if self._has_read and not self._lost:
            self._has_read = False
            sock = self.get_extra_info("socket")
            if sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._transport.abort()

    def work_later(self, data: bytes) -> None:
        """Let an asynchronous codec decode it."""
        self._chunks.append(data)
        if len(self._chunks) == 1:
            self._start(self._work_incoming())
        elif len(self._chunks) > _MAX_PENDING_CHUNKS:
            self.pause_reading()

    async def _work_incoming(self) -> None:
        """Decode chunk by chunk when a codec is asynchronous; the order of messages is kept."""
        while self._chunks:
            events = await self.connection.areceive_data(self._chunks[0])
            if self.connection.saw_pong:
                self.find_pongs(events)
            if events:
                self._receiver.deliver(events)
            self._chunks.pop(0)
            if len(self._chunks) <= _MAX_PENDING_CHUNKS // 2:
                self.resume_reading()
            if self.connection.has_output:
                self.write_out()
        if self.connection.state is not State.OPEN:
            self.progress_close()

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._workers.append(task)
        task.add_done_callback(self._workers.remove)

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        for task in list(self._workers):
            task.cancel()
        self.connection.lose(exc)
        for timer in (self._keepalive, self._deadline, self._hold):
            if timer is not None:
                timer.cancel()
        self._paused = False
        self._outbox = None
        self._wake_writers()
        for _, waiter in self._pings.values():
            if waiter is not None and not waiter.done():
                waiter.cancel()
        self._pings.clear()
        self._receiver.ended()

    # --- reading ------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Stop reading: TCP will slow the peer down."""
        if not self._reading_paused and self._transport and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def hold_reading(self, seconds: float) -> None:
        """Stop reading for some time, whoever asks to read again meanwhile."""
        until = self._timers.time() + seconds
        if self._held_until is None or until > self._held_until:
            if self._hold is not None:
                self._hold.cancel()
            self._held_until = until
            self._hold = self._timers.call_later(seconds, self._end_hold)
        self.pause_reading()

    def _end_hold(self) -> None:
        self._held_until = None
        if not self._lost and not self._receiver.is_full:
            self.resume_reading()

    def resume_reading(self) -> None:
        """Read again, unless `hold_reading` is in force."""
        if self._held_until is not None and self.connection.is_open:
            return
        if self._reading_paused and self._transport and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    # --- writing ------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes that were sent by the application and not yet taken by the system."""
        transport = self._transport
        waiting = transport.get_write_buffer_size() if transport and not self._lost else 0
        return waiting + self._outbox_bytes + self.connection.pending_bytes

    @property
    def stuck_bytes(self) -> int:
        """Bytes that wait for the peer to read while nothing more is written; else 0."""
        if not self._paused or self._transport is None:
            return 0
        return int(self._transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        self._paused = True
        self.connection.hold_pongs(True)

    def resume_writing(self) -> None:
        self._paused = False
        self.resumed += 1
        self.connection.hold_pongs(False)
        self.soon()
        while self._outbox and not self._paused:
            frame = self._outbox.popleft()
            self._outbox_bytes -= len(frame.payload)
            try:
                self.connection.send_frame(frame)
            except ProtocolError:
                self._outbox = None
                self._outbox_bytes = 0
            self.write_out()
        self._wake_writers()

    def _wake_writers(self) -> None:
        while self._writable and not self._paused:
            waiter = self._writable.pop(0)
            if not waiter.done():
                waiter.set_result(None)

    async def drain(self) -> None:
        """Wait until the peer has read enough for more to be sent."""
        while self.blocked and not self._lost:
            waiter = self._loop.create_future()
            self._writable.append(waiter)
            await waiter

    async def flush(self) -> None:
        """Wait until everything sent so far is with the operating system."""
        self.write_out()
        transport = self._transport
        if transport is None:
            return
        try:
            while not self._lost and (self._outbox or transport.get_write_buffer_size()):
                transport.set_write_buffer_limits(high=0)
                if self.blocked:
                    await self.drain()
                else:  # the transport counts what it is just writing
                    await asyncio.sleep(0)
        finally:
            if not self._lost:
                transport.set_write_buffer_limits(high=self.options.outgoing_bytes)

    def send_frame(self, frame: Frame) -> None:
        """Send one frame now; nothing may be blocked and no codec asynchronous."""
        self.connection.send_frame(frame)
        self.soon()

    async def asend_frame(self, frame: Frame) -> None:
        """Send one frame through whatever the pipeline is, in order."""
        if self._send_lock is None:
            self.send_frame(frame)
            return
        async with self._send_lock:
            await self.connection.asend_frame(frame)
            self.soon()

    @property
    def is_async(self) -> bool:
        """Whether a codec is asynchronous."""
        return self._send_lock is not None

    def queue(
        self, data: Data, hints: Mapping[str, Any] | None, meta: Mapping[str, Any] | None
    ) -> None:
        """Send one message without waiting, by the overflow policy.

        Raises:
            QueueFull: If too much waits already and the policy is ``suspend``.
            LocalProtocolError: If the policy is ``close``: the session is closed with 1013.
        """
        if not self.blocked and self._send_lock is None:
            self.connection.send_message(data, hints, meta)
            self.soon()
            return
        if self._send_lock is not None:
            if len(self._workers) > _MAX_PENDING_CHUNKS:
                raise QueueFull("too many messages wait for an asynchronous codec")
            opcode, payload = to_payload(data)
            self._start(self._queue_async(Frame(opcode, payload, True, 0, hints, meta)))
            return
        policy = self.options.outgoing_overflow
        if policy == "close":
            raise self.overflow()
        opcode, payload = to_payload(data)
        limit = self.options.outgoing_bytes
        if policy == "drop-oldest":
            while self._outbox and self._outbox_bytes + len(payload) > limit:
                self._outbox_bytes -= len(self._outbox.popleft().payload)
                self.dropped_out += 1
        elif self._outbox and self._outbox_bytes + len(payload) > limit:
            raise QueueFull(f"{self.buffered} bytes wait for the peer to read")
        if self._outbox is None:
            self._outbox = deque()
        self._outbox.append(Frame(opcode, payload, True, 0, hints, meta))
        self._outbox_bytes += len(payload)

    async def _queue_async(self, frame: Frame) -> None:
        try:
            await self.asend_frame(frame)
        except ProtocolError:
            self.soon()  # the connection was failed; its Close frame has to leave

    def overflow(self) -> LocalProtocolError:
        """Close with 1013: the peer reads too slowly. The error to raise is returned."""
        error = LocalProtocolError("peer reads too slowly", CloseCode.TRY_AGAIN_LATER)
        self.fail(error)
        return error

    # --- pings --------------------------------------------------------------------------------

    def ping(self, payload: bytes | None, waiter: asyncio.Future[float] | None) -> None:
        """Send a ping; the waiter gets the latency in seconds when its pong comes."""
        if payload is None:
            self._ping_id = (self._ping_id + 1) & 0xFFFFFFFF
            payload = self._ping_id.to_bytes(4, "big")
        elif payload in self._pings:
            raise ValueError("a ping with this payload is already under way")
        self._pings[payload] = (self._timers.time(), waiter)
        self.connection.send_control(Opcode.PING, payload)
        self.write_out()

    def take_pong(self, payload: bytes) -> None:
        """A pong has come."""
        if payload not in self._pings:
            return  # unsolicited pongs are legal (RFC 6455 §5.5.3)
        now = self._timers.time()
        # A pong answers the most recent ping, and with it all the earlier ones.
        for key in list(self._pings):
            sent, waiter = self._pings.pop(key)
            if waiter is not None and not waiter.done():
                waiter.set_result(now - sent)
            if key == payload:
                self.latency = now - sent
                return

    def _ping(self) -> None:
        if not self.connection.is_open:
            return
        self._heard = False
        self.ping(None, None)
        timeout = self.options.ping_timeout
        if timeout is None:
            self._keepalive = self._timers.call_later(self.options.ping_interval or 0, self._ping)
        else:
            self._keepalive = self._timers.call_later(timeout, self._check_alive)

    def _check_alive(self) -> None:
        # While the application is the slow one, a pong may wait unread behind its messages.
        if self._heard or self._reading_paused:
            rest = (self.options.ping_interval or 0) - (self.options.ping_timeout or 0)
            self._keepalive = self._timers.call_later(max(rest, 0), self._ping)
            return
        self.fail(LocalProtocolError("ping timeout", CloseCode.INTERNAL_ERROR))

    # --- the end ------------------------------------------------------------------------------

    def fail(self, error: ProtocolError) -> None:
        """Fail the connection with the error's code."""
        self.connection.fail(error)
        self.write_out()
        self.progress_close()

    def send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, if it has not begun; the peer has `close_timeout` for it."""
        self._flush_outbox()
        if self.connection.send_close(code, reason):
            self.write_out()
        self.progress_close()

    def _flush_outbox(self) -> None:
        """What was accepted before the close goes before the Close frame."""
        while self._outbox and self.connection.is_open:
            frame = self._outbox.popleft()
            try:
                self.connection.send_frame(frame)
            except ProtocolError:
                break
        self._outbox = None
        self._outbox_bytes = 0

    async def settle(self) -> None:
        """Wait for messages that an asynchronous codec is still working on."""
        if self._send_lock is not None:
            async with self._send_lock:
                pass

    def progress_close(self) -> None:
        """Do what the connection's state asks of the transport."""
        transport = self._transport
        if self._lost or transport is None:
            return
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None
        self.resume_reading()  # the peer's Close may stand behind data that nobody wants any more
        state = self.connection.state
        if state is not State.CLOSE_SENT:
            self._receiver.closing()
        if state is State.CLOSED and self.connection.role == "server":
            self._close_transport(self.options.close_timeout)
        elif state is State.FAILED and not self._finishing:
            self._finishing = True
            if transport.can_write_eof() and not transport.is_closing():
                transport.write_eof()
                self._arm(min(_LINGER, self.options.close_timeout))
            else:
                self._close_transport(min(_LINGER, self.options.close_timeout))
        elif not self._finishing and self._deadline is None:
            self._arm(self.options.close_timeout)

    def _close_transport(self, within: float) -> None:
        if self._finishing and self.connection.state is State.CLOSED:
            return
        self._finishing = True
        if self._transport is not None:
            self._transport.close()
        self._arm(within)

    def _arm(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._timers.call_later(seconds, self.abort)

    def close_transport(self) -> None:
        """Close the transport after what is written; raw sessions end like this."""
        self.write_out()
        self._close_transport(self.options.close_timeout)

    def abort(self) -> None:
        """Drop the transport at once."""
        if self._transport is not None and not self._lost:
            self._transport.abort()
